"""Token, scope and consent become one Access: who reads what of a citizen's record."""

from __future__ import annotations

from typing import Any, Iterator

import pytest

from hie_server.config import Settings
from hie_server.fhir.outcomes import FhirError
from hie_server.fhir.query import parse_query
from hie_server.fhir.resources import is_id
from hie_server.identity import people
from tests.conftest import MakeStore
from tests.support import Api, District, Json, body_of, consent, ids, observation, open_district


@pytest.fixture
def district(settings: Settings, make_store: MakeStore) -> Iterator[District]:
    make_store()
    yield from open_district(settings)


@pytest.fixture
def home(district: District) -> str:
    """The hospital that treats the citizen."""
    return district.facility("Sadar Hospital")


@pytest.fixture
def other(district: District) -> str:
    return district.facility("Referral Hospital")


@pytest.fixture
def citizen(district: District, home: str) -> str:
    return district.citizen(home)


def local_patient(district: District, facility: str, citizen: str) -> str:
    """The facility's own Patient for this citizen, linked."""
    patient = district.api(facility).store({"resourceType": "Patient", "active": True})
    people.link(district.records, citizen, facility, patient)
    return patient


def permit(district: District, citizen: str, facility: str, **provision: Any) -> str:
    given = consent(citizen, facility, **provision)
    return district.api(citizen).store(given)


def status(api: Api, path: str) -> int:
    return api.get(path).status_code


def test_without_a_scope_nothing_is_even_looked_up(district: District, home: str) -> None:
    rules = district.exchange.rules
    caller = district.caller(home, "system/Condition.r")
    for refused in (
        lambda: rules.to_read(caller, "Observation", "1"),
        lambda: rules.to_search(caller, parse_query("Condition", [])),
        lambda: rules.to_write(caller, "Condition", "c"),
        lambda: rules.viewer(caller, "s"),
    ):
        with pytest.raises(FhirError) as error:
            refused()
        assert error.value.status == 403


def test_a_citizens_scope_is_no_facilitys_and_the_other_way_round(
    district: District, home: str, citizen: str
) -> None:
    assert status(district.api(home, "patient/*.cruds"), "Observation") == 403
    assert status(district.api(citizen, "system/*.cruds"), "Observation") == 403
    assert status(district.api(home, "user/*.cruds"), "Observation") == 200


def test_a_search_that_names_nobody_covers_ones_own_custody_alone(
    district: District, home: str, other: str, citizen: str
) -> None:
    district.api(home).store(observation(citizen))
    permit(district, citizen, other)
    mine = district.api(other).store(observation(citizen, "718-7"))
    assert ids(district.api(other).get("Observation")) == [mine]
    assert ids(district.api(other).get("Observation?code=4548-4")) == []


def test_consent_covers_linked_local_patients_until_the_link_is_undone(
    district: District, home: str, other: str, citizen: str
) -> None:
    """And no record is rewritten by either."""
    local = local_patient(district, home, citizen)
    reference = district.api(home).store(observation(local))
    before = list(district.records.db.resources.find({"_id": {"$in": [local, reference]}}))
    permit(district, citizen, other)
    phone, asking = district.api(citizen), district.api(other)
    for api in (phone, asking):
        assert status(api, reference) == 200
        for named in (citizen, local):
            assert ids(api.get(f"Observation?patient={named}")) == [reference]
    assert body_of(asking.get(reference))["subject"] == {"reference": local}
    people.unlink(district.records, citizen, home, local)
    for api in (phone, asking):
        assert status(api, reference) == 404
        assert ids(api.get(f"Observation?patient={citizen}")) == []
        assert ids(api.get(f"Observation?patient={local}")) == []
    assert status(district.api(home), reference) == 200
    after = list(district.records.db.resources.find({"_id": {"$in": [local, reference]}}))
    assert after == before


def test_a_patient_that_the_caller_may_not_read_stays_literal(
    district: District, home: str, other: str, citizen: str
) -> None:
    """An unlinked facility finds its own records about whom it named, and nothing wider."""
    local = local_patient(district, home, citizen)
    asking = district.api(other)
    about_local = asking.store(observation(local))
    about_citizen = asking.store(observation(citizen))
    assert ids(asking.get(f"Observation?patient={citizen}")) == [about_citizen]
    assert ids(asking.get(f"Observation?patient={local}")) == [about_local]
    assert status(district.api(citizen), about_citizen) == 404
    assert ids(district.api(citizen).get("Observation")) == []


def test_a_linked_facility_sees_who_the_citizen_is_but_not_others_records(
    district: District, home: str, other: str, citizen: str
) -> None:
    reference = district.api(home).store(observation(citizen))
    people.link(district.records, citizen, other)
    asking = district.api(other)
    assert status(asking, citizen) == 200
    assert status(asking, reference) == 404
    assert ids(asking.get(f"Observation?patient={citizen}")) == []
    identity = citizen.partition("/")[2]
    assert is_id(identity) and ids(asking.get(f"Patient?_id={identity}")) == [citizen]
    stranger = district.api(district.facility("Clinic"))
    assert status(stranger, citizen) == 404
    assert ids(stranger.get(f"Patient?_id={identity}")) == []


def test_consent_never_permits_a_write(
    district: District, home: str, other: str, citizen: str
) -> None:
    reference = district.api(home).store(observation(citizen))
    permit(district, citizen, other)
    asking = district.api(other)
    body = body_of(asking.get(reference))
    assert asking.put(reference, {**body, "status": "amended"}).status_code == 405
    assert asking.delete(reference).status_code == 405
    assert district.api(citizen).delete(reference).status_code == 405
    assert district.api(home).get(reference).headers["ETag"] == 'W/"1"'


def test_a_record_of_two_persons_is_not_shared(
    district: District, home: str, other: str, citizen: str
) -> None:
    second = district.citizen(home, "Sunita Devi")
    both = district.api(home).store(observation(citizen, focus=[{"reference": second}]))
    for each in (citizen, second):
        permit(district, each, other)
    asking = district.api(other)
    assert status(district.api(home), both) == 200
    phones = [district.api(each) for each in (citizen, second)]
    assert [status(api, both) for api in (asking, *phones)] == [404] * 3
    for each in (citizen, second):
        assert ids(asking.get(f"Observation?patient={each}")) == []


PATIENTLESS: list[tuple[Json, str]] = [
    ({"resourceType": "Binary", "contentType": "text/plain", "data": "aGVsbG8="}, "derivedFrom"),
    ({"resourceType": "Medication", "status": "active"}, "focus"),
    ({"resourceType": "Practitioner", "active": True}, "performer"),
]


@pytest.mark.parametrize(("record", "element"), PATIENTLESS)
def test_a_record_about_nobody_shows_through_a_readable_referrer_of_its_custodian(
    district: District, home: str, other: str, citizen: str, record: Json, element: str
) -> None:
    keeper, asking, phone = map(district.api, (home, other, citizen))
    hidden = keeper.store(record)
    asking.store(observation(citizen, focus=[{"reference": hidden}]))
    assert [status(each, hidden) for each in (asking, phone)] == [404, 404]
    referrer = keeper.store(observation(citizen, **_referring(element, hidden)))
    assert [status(each, hidden) for each in (asking, phone)] == [404, 200]
    given = permit(district, citizen, other)
    assert [status(each, hidden) for each in (asking, phone)] == [200, 200]
    assert status(asking, f"{hidden}/_history/1") == 200
    assert ids(asking.get(record["resourceType"])) == []
    phone.delete(given)
    assert status(asking, hidden) == 404
    permit(district, citizen, other)
    keeper.delete(referrer)
    assert [status(each, hidden) for each in (asking, phone, keeper)] == [404, 404, 200]


def _referring(element: str, reference: str) -> Json:
    if element == "derivedFrom":
        url = {"contentType": "text/plain", "url": reference}
        return {"extension": [{"url": "urn:x:attached", "valueAttachment": url}]}
    return {element: [{"reference": reference}]}


def test_a_record_with_a_patient_never_shows_through_a_referrer(
    district: District, home: str, other: str, citizen: str
) -> None:
    """A Device names its patient though its type is not of a person's record: consent decides."""
    keeper = district.api(home)
    device = keeper.store({"resourceType": "Device", "patient": {"reference": citizen}})
    keeper.store(observation(citizen, device={"reference": device}))
    observations = {"system": "http://hl7.org/fhir/resource-types", "code": "Observation"}
    permit(district, citizen, other, **{"class": [observations]})
    assert len(ids(district.api(other).get(f"Observation?patient={citizen}"))) == 1
    assert status(district.api(other), device) == 404


def test_a_citizen_writes_about_themselves_alone(
    district: District, home: str, citizen: str
) -> None:
    phone = district.api(citizen)
    second = district.citizen(home)
    own = phone.store(observation(citizen))
    assert status(phone, own) == 200
    with_another = observation(citizen, focus=[{"reference": second}])
    for about in (observation(second), observation(), with_another):
        assert phone.post("Observation", about).status_code == 422
    for kind in ("Patient", "RelatedPerson", "Person"):
        assert phone.post(kind, {"resourceType": kind}).status_code == 405
    assert status(district.api(home), own) == 404


def test_explains_a_refusal_for_the_citizen_with_its_reason(
    district: District, home: str, other: str, citizen: str
) -> None:
    reference = district.api(home).store(observation(citizen))
    asking = district.api(other)
    given = permit(district, citizen, other, code=[{"coding": [{"system": "urn:x", "code": "1"}]}])
    asking.get(reference)
    district.api(citizen).delete(given)
    asking.get(reference)
    asking.get("Observation/none")
    asking.get(f"Observation?patient={citizen}")
    district.api(home).get(f"Observation?patient={citizen}")
    reasons = [e["outcomeDesc"] for e in district.journal() if "outcomeDesc" in e]
    assert sorted(reasons) == ["no consent permits"] * 2 + ["not among what is permitted"]
