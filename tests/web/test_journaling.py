"""Every request is in the journal before its answer leaves; a write and its entry are one."""

from __future__ import annotations

import base64
from contextlib import contextmanager
from typing import Any, Iterator

import pytest

from hie_server.fhir.validator import validate
from hie_server.identity import people
from tests.support import Api, District, Json, body_of, consent, ids, observation

REFUSES_ALL = {"$jsonSchema": {"required": ["a property that no entry has"]}}
FORM = "application/x-www-form-urlencoded"


@contextmanager
def broken_journal(district: District) -> Iterator[None]:
    """The database refuses every new entry, as it would with its disk full."""
    district.records.db.command("collMod", "journal", validator=REFUSES_ALL)
    try:
        yield
    finally:
        district.records.db.command("collMod", "journal", validator={})


def seen_as(event: Json) -> tuple[str, str, str]:
    """(interaction, what was asked, outcome)."""
    queries = [each["query"] for each in event["entity"] if "query" in each]
    asked = base64.b64decode(queries[0]).decode() if queries else ""
    return event.get("subtype", [{"code": ""}])[0]["code"], asked, event["outcome"]


def last(district: District) -> Json:
    return district.journal()[-1]


def patients_of(event: Json) -> list[str]:
    references = [each.get("what", {}).get("reference", "") for each in event["entity"]]
    return [each for each in references if each.startswith("Patient/")]


def test_each_outcome_is_journaled_as_a_valid_audit_event(
    district: District, hospital: str, api: Api
) -> None:
    patient = district.citizen(hospital)
    reference = api.store(observation(patient))
    stale = {"headers": {"If-Match": 'W/"7"'}}
    reader = district.api(hospital, "system/Condition.r")
    body = body_of(api.get(reference))
    outcomes: list[tuple[Any, int, tuple[str, str, str]]] = [
        (lambda: api.get(reference), 200, ("read", reference, "0")),
        (lambda: api.get("Observation/none"), 404, ("read", "Observation/none", "4")),
        (lambda: reader.get(reference), 403, ("read", reference, "4")),
        (lambda: api.get("Observation?x=1"), 400, ("search-type", "Observation?x=1", "4")),
        (lambda: api.post("Observation", b"{"), 400, ("create", "Observation", "4")),
        (lambda: api.post("Observation", {"resourceType": "Observation"}), 422,
         ("create", "Observation", "4")),
        (lambda: api.put(reference, body, **stale), 412, ("update", reference, "4")),
        (lambda: api.put("Observation/x", body), 405, ("update", "Observation/x", "4")),
        (lambda: api.get(f"{reference}/_history/1"), 200,
         ("vread", f"{reference}/_history/1", "0")),
        (lambda: api.get(f"{reference}/_history"), 200,
         ("history-instance", f"{reference}/_history", "0")),
        (lambda: api("POST", "Observation/_search", b"code=a%20b", content_type=FORM), 200,
         ("search-type", "Observation?code=a+b", "0")),
        (lambda: api.delete(reference), 204, ("delete", reference, "0")),
        (lambda: api.get(reference), 410, ("read", reference, "4")),
    ]
    for ask, status, entry in outcomes:
        before = len(district.journal())
        assert ask().status_code == status, entry
        journal = district.journal()
        assert len(journal) == before + 1, entry
        assert seen_as(journal[-1]) == entry
        assert validate(journal[-1]) == []


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "Observation", {"headers": {"Accept": "text/html"}}, 406),
        ("GET", "Observation/1/nonsense", {}, 404),
        ("PATCH", "Observation/1", {}, 405),
        ("OPTIONS", "Observation/1", {}, 200),
        ("GET", "Observation?code=" + "a" * 9_000, {}, 414),
        ("GET", "Observation", {"headers": {"X-Long": "a" * 17_000}}, 431),
        ("GET", "Observation/a%00b", {}, 404),
        ("GET", "Observation?code=%00%ff", {}, 400),
    ],
)
def test_what_no_handler_takes_is_journaled_as_well(
    district: District, api: Api, method: str, path: str, more: Json, status: int
) -> None:
    before = len(district.journal())
    assert api(method, path, **more).status_code == status
    assert len(district.journal()) == before + 1
    assert validate(last(district)) == []
    assert api.get("AuditEvent").status_code == 200


def test_a_write_names_its_patient_version_and_the_callers_request_id(
    district: District, hospital: str, api: Api
) -> None:
    patient = district.citizen(hospital)
    answer = api.post("Observation", observation(patient), headers={"X-Request-Id": "abc-1"})
    assert answer.headers["X-Request-Id"] == "abc-1"
    event = last(district)
    stored = f"Observation/{body_of(answer)['id']}/_history/1"
    references = [each.get("what", {}).get("reference") for each in event["entity"]]
    assert stored in references and patient in references
    assert event["entity"][0]["what"]["identifier"]["value"] == "abc-1"
    assert {"reference": hospital} in [each["who"] for each in event["agent"]]


def test_an_odd_request_id_is_replaced(district: District, api: Api) -> None:
    answer = api.get("Observation", headers={"X-Request-Id": "a b\tc" * 20})
    assert len(answer.headers["X-Request-Id"]) == 36


def test_a_page_names_each_patient_once(district: District, hospital: str, api: Api) -> None:
    first, second = district.citizen(hospital), district.citizen(hospital)
    for patient in (first, second, first):
        api.store(observation(patient))
    assert len(ids(api.get("Observation"))) == 3
    of_the_page = [sorted(patients_of(each)) for each in district.journal()[-3:]]
    assert sorted(of_the_page) == sorted([[first], [second], sorted([first, second])])


def test_requests_without_a_valid_token_are_counted_not_journaled(district: District) -> None:
    for header in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp4"}):
        answer = district.app.test_client().get("/fhir/Observation", headers=header)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="hie"')
    assert [each for each in district.journal() if seen_as(each)[0] != "create"] == []
    assert [row["count"] for row in district.records.db.refused.find()] in ([3], [1, 2], [2, 1])


def test_a_write_whose_entry_fails_stores_nothing(district: District, api: Api) -> None:
    with broken_journal(district):
        answer = api.post("Observation", observation())
    assert answer.status_code == 503 and answer.headers["Retry-After"]
    assert district.records.db.resources.count_documents({"type": "Observation"}) == 0


def test_an_update_or_delete_whose_entry_fails_leaves_the_record_as_it_was(
    district: District, api: Api
) -> None:
    reference = api.store(observation())
    body = body_of(api.get(reference))
    with broken_journal(district):
        assert api.put(reference, {**body, "status": "amended"}).status_code == 503
        assert api.delete(reference).status_code == 503
    assert body_of(api.get(reference)) == body
    assert district.records.db.history.count_documents({}) == 0


def test_a_consent_whose_entry_fails_is_not_given(district: District, hospital: str) -> None:
    patient = district.citizen(hospital)
    phone = district.api(patient)
    before = people.of_patient(district.records, patient)
    with broken_journal(district):
        assert phone.post("Consent", consent(patient, hospital)).status_code == 503
    assert people.of_patient(district.records, patient) == before
    assert ids(phone.get("Consent")) == []


def test_a_read_whose_entry_fails_gives_503_and_nothing_of_the_record(
    district: District, api: Api
) -> None:
    reference = api.store({**observation(), "note": [{"text": "secret"}]})
    with broken_journal(district):
        for path in (reference, "Observation", f"{reference}/_history", "Observation/none"):
            answer = api.get(path)
            assert answer.status_code == 503 and answer.headers["Retry-After"]
            assert "secret" not in answer.text
            assert "ETag" not in answer.headers and "Last-Modified" not in answer.headers


def test_the_citizen_sees_refused_reads_with_their_reason(
    district: District, hospital: str, api: Api
) -> None:
    patient = district.citizen(hospital)
    reference = api.store(observation(patient))
    stranger = district.facility("Referral Hospital")
    other = district.api(stranger)
    asked = {
        reference: "read",
        f"{reference}/_history/1": "vread",
        f"{reference}/_history": "history-instance",
        f"Observation?patient={patient}": "search-type",
    }
    for path in asked:
        other.get(path)
    district.exchange.refusals.settle()
    phone = district.api(patient)
    refused = [e["resource"] for e in body_of(phone.get("AuditEvent?outcome=4"))["entry"]]
    assert sorted(each["subtype"][0]["code"] for each in refused) == sorted(asked.values())
    for event in refused:
        assert event["outcomeDesc"] == "no consent permits"
        assert {"reference": stranger} in [each["who"] for each in event["agent"]]
        assert patients_of(event) == [patient]
        assert validate(event) == []


def test_the_facility_sees_its_own_requests_without_patient_or_reason_of_a_refusal(
    district: District, hospital: str, api: Api
) -> None:
    patient = district.citizen(hospital)
    reference = api.store(observation(patient))
    other = district.api(district.facility("Referral Hospital"))
    other.get(reference)
    district.exchange.refusals.settle()
    events = [e["resource"] for e in body_of(other.get("AuditEvent"))["entry"]]
    assert [seen_as(each) for each in events] == [("read", reference, "4")]
    assert "outcomeDesc" not in events[0] and patients_of(events[0]) == []
    for search in (f"patient={patient}", f"entity={patient}", "_summary=count&action=E"):
        assert "entry" not in body_of(other.get(f"AuditEvent?{search}"))
    counted = body_of(other.get("AuditEvent?_summary=count&outcome=4"))
    assert counted["total"] == 1


def test_nobody_reads_another_facilitys_entry(
    district: District, hospital: str, api: Api
) -> None:
    api.get("Observation")
    mine = ids(api.get("AuditEvent"))[0]
    assert api.get(mine).status_code == 200
    other = district.api(district.facility("Referral Hospital"))
    assert other.get(mine).status_code == 404
    assert other.get(mine).data == other.get("AuditEvent/none").data


def test_a_linked_facilitys_refused_read_is_shown_to_the_citizen(
    district: District, hospital: str, api: Api
) -> None:
    patient = district.citizen(hospital)
    reference = api.store(observation(patient))
    linked = district.facility("Referral Hospital")
    people.link(district.records, patient, linked)
    assert district.api(linked).get(reference).status_code == 404
    reasons = [each.get("outcomeDesc") for each in district.journal()]
    assert "no consent permits" in reasons


def test_the_journal_is_written_by_the_exchange_alone(api: Api) -> None:
    event = {
        "resourceType": "AuditEvent",
        "type": {"system": "urn:x", "code": "a"},
        "recorded": "2026-01-15T06:30:00Z",
        "agent": [{"requestor": True}],
        "source": {"observer": {"display": "me"}},
    }
    assert api.post("AuditEvent", event).status_code == 405
    assert api.put("AuditEvent/1", {**event, "id": "1"}).status_code == 405
    assert api.delete("AuditEvent/1").status_code == 405


def test_a_facility_is_not_shown_which_consents_let_it_read(district: District) -> None:
    holder, asker = district.facility(), district.facility("Another")
    citizen = district.citizen(linked_to=holder)
    record = district.api(holder).store(observation(citizen))
    granted = district.api(citizen).store(consent(citizen, asker))
    assert district.api(asker).get(record).status_code == 200
    seen = {who: district.api(who).get("AuditEvent?subtype=read").text for who in (citizen, asker)}
    assert granted in seen[citizen] and granted not in seen[asker]
