"""Who may write and read a Consent, and from when on it counts."""

from __future__ import annotations

import threading
from typing import Any, Iterator

import pytest

from hie_server.authz import grants
from hie_server.config import Settings
from hie_server.fhir.validator import validate
from hie_server.identity import people
from tests.conftest import MakeStore
from tests.support import District, Json, body_of, consent, ids, observation, open_district


@pytest.fixture
def district(settings: Settings, make_store: MakeStore) -> Iterator[District]:
    make_store()
    yield from open_district(settings)


@pytest.fixture
def home(district: District) -> str:
    return district.facility("Sadar Hospital")


@pytest.fixture
def other(district: District) -> str:
    return district.facility("Referral Hospital")


@pytest.fixture
def citizen(district: District, home: str) -> str:
    return district.citizen(home)


def epoch(district: District, citizen: str) -> int:
    person = people.of_patient(district.records, citizen)
    assert person is not None
    return person.epoch


def test_the_consents_of_these_tests_are_valid(citizen: str, other: str) -> None:
    for kind in ("permit", "deny"):
        assert validate(consent(citizen, other, kind)) == []


@pytest.mark.parametrize("claimed", ["active", "inactive", "rejected", "draft"])
def test_a_facility_proposes_and_never_grants(
    district: District, other: str, citizen: str, claimed: str
) -> None:
    asking = district.api(other)
    refused = asking.post("Consent", {**consent(citizen, other), "status": claimed})
    assert refused.status_code == 422
    assert body_of(refused)["issue"][0]["expression"] == ["Consent.status"]


def test_a_proposal_is_read_by_the_citizen_it_names_and_permits_nothing(
    district: District, home: str, other: str, citizen: str
) -> None:
    reference = district.api(home).store(observation(citizen))
    asking, phone = district.api(other), district.api(citizen)
    proposal = asking.store({**consent(citizen, other), "status": "proposed"})
    assert ids(phone.get("Consent?status=proposed")) == [proposal]
    assert asking.get(reference).status_code == 404
    assert district.api(home).get(proposal).status_code == 404
    body = {**body_of(asking.get(proposal)), "status": "active"}
    assert asking.put(proposal, body).status_code == 422
    assert phone.put(proposal, body).status_code == 405
    granted = phone.store({**consent(citizen, other), "sourceReference": {"reference": proposal}})
    assert asking.get(reference).status_code == 200
    assert asking.get(granted).status_code == 200


def test_a_facility_reads_the_grant_that_names_it_alone(
    district: District, home: str, other: str, citizen: str
) -> None:
    third = district.facility("Clinic")
    phone, asking = district.api(citizen), district.api(other)
    alone = phone.store(consent(citizen, other))
    shared = consent(citizen, other)
    shared["provision"]["actor"] += consent(citizen, third)["provision"]["actor"]
    both = phone.store(shared)
    to_third = phone.store(consent(citizen, third))
    refusal = phone.store(consent(citizen, home, "deny"))
    nested = consent(citizen, other)
    nested["provision"]["provision"] = [consent(citizen, other, "deny")["provision"]]
    excepted = phone.store(nested)
    assert sorted(ids(phone.get("Consent"))) == sorted([alone, both, to_third, refusal, excepted])
    assert ids(asking.get("Consent")) == ids(asking.get(f"Consent?patient={citizen}")) == [alone]
    for hidden in (both, to_third, refusal, excepted):
        for path in (hidden, f"{hidden}/_history", f"{hidden}/_history/1"):
            assert asking.get(path).status_code == 404
    assert district.api(home).get(refusal).status_code == 404


def test_a_facility_that_a_grant_no_longer_names_does_not_read_it(
    district: District, other: str, citizen: str
) -> None:
    third = district.facility("Clinic")
    phone, asking = district.api(citizen), district.api(other)
    reference = phone.store(consent(citizen, other))
    now_third = {**consent(citizen, third), "id": reference.partition("/")[2]}
    assert phone.put(reference, now_third).status_code == 200
    for path in (reference, f"{reference}/_history", f"{reference}/_history/1"):
        assert asking.get(path).status_code == 404
    assert district.api(third).get(reference).status_code == 200
    assert district.api(third).get(f"{reference}/_history/1").status_code == 404


@pytest.mark.parametrize(
    "revoke",
    [
        lambda phone, reference, body: phone.delete(reference),
        lambda phone, reference, body: phone.put(reference, {**body, "status": "inactive"}),
    ],
    ids=["deleted", "inactive"],
)
def test_a_consent_counts_from_its_commit_to_its_revocation(
    district: District, home: str, other: str, citizen: str, revoke: Any
) -> None:
    reference = district.api(home).store(observation(citizen))
    asking, phone = district.api(other), district.api(citizen)
    for _ in range(3):
        assert asking.get(reference).status_code == 404
        before = epoch(district, citizen)
        granted = phone.post("Consent", consent(citizen, other))
        assert epoch(district, citizen) == before + 1
        assert asking.get(reference).status_code == 200
        body = body_of(granted)
        assert revoke(phone, f"Consent/{body['id']}", body).status_code in (200, 204)
        assert epoch(district, citizen) == before + 2
    assert asking.get(reference).status_code == 404


def test_a_refused_consent_leaves_the_epoch_alone(
    district: District, other: str, citizen: str
) -> None:
    before = epoch(district, citizen)
    wrong = consent(citizen, other, purpose=[])
    assert district.api(citizen).post("Consent", wrong).status_code == 422
    assert epoch(district, citizen) == before


def test_granting_what_a_standing_refusal_voids_is_409_naming_it(
    district: District, other: str, citizen: str
) -> None:
    phone = district.api(citizen)
    refusal = phone.store(consent(citizen, other, "deny"))
    refused = phone.post("Consent", consent(citizen, other))
    assert refused.status_code == 409
    assert refusal in body_of(refused)["issue"][0]["diagnostics"]
    assert phone.post("Consent", consent(citizen, district.facility("Clinic"))).status_code == 201
    phone.delete(refusal)
    assert phone.post("Consent", consent(citizen, other)).status_code == 201


def test_a_refusal_may_be_turned_into_a_grant(
    district: District, other: str, citizen: str
) -> None:
    phone = district.api(citizen)
    refusal = phone.store(consent(citizen, other, "deny"))
    turned = {**consent(citizen, other), "id": refusal.partition("/")[2]}
    assert phone.put(refusal, turned).status_code == 200


def test_a_veto_hides_what_a_grant_permits(
    district: District, home: str, other: str, citizen: str
) -> None:
    reference = district.api(home).store(observation(citizen))
    kept = district.api(home).store(observation(citizen, "718-7"))
    phone, asking = district.api(citizen), district.api(other)
    phone.store(consent(citizen, other))
    code = [{"coding": [{"system": "http://loinc.org", "code": "4548-4"}]}]
    phone.store(consent(citizen, other, "deny", code=code))
    found = asking.get(f"Observation?patient={citizen}&_total=accurate")
    assert (ids(found), body_of(found)["total"]) == ([kept], 1)
    assert asking.get(reference).status_code == 404


def test_a_citizen_consents_for_themselves_alone(
    district: District, home: str, other: str, citizen: str
) -> None:
    second = district.citizen(home)
    phone = district.api(citizen)
    assert phone.post("Consent", consent(second, other)).status_code == 422
    nobody: Json = {k: v for k, v in consent(citizen, other).items() if k != "patient"}
    assert phone.post("Consent", nobody).status_code == 422


def test_another_purpose_than_was_permitted_finds_nothing(
    district: District, home: str, other: str, citizen: str
) -> None:
    reference = district.api(home).store(observation(citizen))
    district.api(citizen).store(consent(citizen, other))
    assert district.api(other, purpose="TREAT").get(reference).status_code == 200
    for purpose in ("HRESCH", "BTG", "HPAYMT"):
        assert district.api(other, purpose=purpose).get(reference).status_code == 404


def test_consents_granted_at_once_all_count(district: District, citizen: str, home: str) -> None:
    facilities = [district.facility(f"Clinic {n}") for n in range(8)]
    reference = district.api(home).store(observation(citizen))
    phone = district.api(citizen)
    before = epoch(district, citizen)
    threads = [
        threading.Thread(target=phone.post, args=("Consent", consent(citizen, each)))
        for each in facilities
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert epoch(district, citizen) == before + 8
    assert {district.api(each).get(reference).status_code for each in facilities} == {200}


def test_the_compiled_consents_are_kept_until_the_epoch_moves(
    district: District, other: str, citizen: str
) -> None:
    store, zone = district.records, district.exchange.settings.timezone
    phone = district.api(citizen)
    phone.store(consent(citizen, other))
    person = people.of_patient(store, citizen)
    assert person is not None
    first = grants.of_person(store, zone, person)
    assert grants.of_person(store, zone, person) is first and len(first) == 1
    phone.store(consent(citizen, other))
    moved = people.of_patient(store, citizen)
    assert moved is not None and len(grants.of_person(store, zone, moved)) == 2
