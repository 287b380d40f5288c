"""A row says nothing in the clear but ids of our own making, dates, ranks and sizes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from bson import BSON

from hie_server.fhir.outcomes import FhirError
from hie_server.fhir.resources import dump, parse
from hie_server.store.database import Store
from hie_server.store.records import (
    MOST_BYTES,
    history_of,
    instant_text,
    open_body,
    row_of,
    stamp,
    tombstone_of,
)
from hie_server.store.sealing import SealError
from tests.support import TERMINOLOGY, Json, observation

NOW = datetime(2026, 1, 15, 6, 30, tzinfo=UTC)
CUSTODIAN = "Organization/6f1c64a5-9c1f-4bb7-8a6b-7a2d9f6f5a10"
OWN = "Patient/6f1c64a5-9c1f-4bb7-8a6b-7a2d9f6f5a11"
ID = "6f1c64a5-9c1f-4bb7-8a6b-7a2d9f6f5a12"
TELLING = observation(
    "Patient/9876543210",
    "86406-8",
    meta={"security": [{"system": f"{TERMINOLOGY}v3-ActCode", "code": "HIV"}]},
    identifier=[{"system": "urn:lab", "value": "LAB-4711"}],
    performer=[{"reference": "Practitioner/ravi-kumar", "display": "Ravi Kumar"}],
    focus=[{"reference": "Patient/9123456789"}],
    note=[{"text": "HIV reaktiv; मरीज़ को बताया"}],
    valueString="reactive",
)


def row_for(store: Store, resource: Json, **more: Any) -> Json:
    stamped = stamp(resource, ID, 1, NOW)
    return row_of(stamped, CUSTODIAN, NOW, store, UTC, **more)


def test_nothing_that_was_said_is_in_the_row(store: Store) -> None:
    row = row_for(store, TELLING)
    on_disk = BSON.encode(row)
    for said in (
        "9876543210", "9123456789", "86406-8", "HIV", "reaktiv", "reactive", "मरीज़", "LAB-4711",
        "ravi", "Ravi", "Kumar", "loinc",
    ):
        assert said.encode() not in on_disk, said
    assert ID.encode() in on_disk and CUSTODIAN.encode() in on_disk


def test_the_body_opens_to_what_was_stored(store: Store) -> None:
    row = row_for(store, TELLING)
    body = parse(open_body(row, store.seal))
    assert {**body, "meta": {"security": body["meta"]["security"]}} == {**TELLING, "id": ID}
    assert body["meta"]["lastUpdated"] == "2026-01-15T06:30:00.000Z"


def test_a_patient_of_our_own_making_stays_readable_and_another_is_hashed(store: Store) -> None:
    own = row_for(store, observation(OWN, focus=[{"reference": "Patient/9123456789"}]))
    assert own["patient"] == OWN
    assert [each.startswith("Patient/~") for each in own["others"]] == [True]
    foreign = row_for(store, observation("Patient/9876543210"))
    assert foreign["patient"] == store.seal.opaque("Patient/9876543210")


def test_a_body_of_another_row_or_version_does_not_open(store: Store) -> None:
    row = row_for(store, observation())
    for change in ({"_id": "Observation/other"}, {"version": 2}):
        with pytest.raises(SealError):
            open_body({**row, **change}, store.seal)


def test_a_past_version_opens_as_what_it_was(store: Store) -> None:
    row = row_for(store, observation())
    past = history_of(row)
    assert past["_id"] == f"Observation/{ID}/1" and past["resource"] == row["_id"]
    assert open_body(past, store.seal) == open_body(row, store.seal)
    assert "ranges" not in past


def test_a_tombstone_keeps_whose_it_was_and_what_access_is_decided_by(store: Store) -> None:
    row = row_for(store, observation(OWN), extra=[("Consent", "-grantee", "", CUSTODIAN)])
    gone = tombstone_of(row, NOW + timedelta(days=1))
    for name in ("custodian", "patient", "others", "rank", "labels", "kinds", "when"):
        assert gone[name] == row[name]
    assert gone["version"] == 2 and gone["tombstone"] and gone["body"] is None
    assert {bytes(each) for each in gone["index"]} == {
        store.seal.term("Consent", "-grantee", "", CUSTODIAN),
        store.seal.term("*", "-ref", "", OWN),
    }


def test_the_custodian_is_what_the_caller_is_never_what_the_body_says(store: Store) -> None:
    claimed = {**observation(), "custodian": {"reference": "Organization/other"}}
    assert row_for(store, claimed)["custodian"] == CUSTODIAN


def test_stamping_keeps_the_order_and_what_the_client_labelled() -> None:
    given = {"status": "final", "meta": {"versionId": "9", "tag": [1]}, "id": "x",
             "resourceType": "Observation"}
    stamped = stamp(given, ID, 3, NOW)
    assert list(stamped) == ["resourceType", "id", "meta", "status"]
    assert stamped["id"] == ID
    assert stamped["meta"] == {
        "versionId": "3", "lastUpdated": "2026-01-15T06:30:00.000Z", "tag": [1],
    }


def test_an_instant_is_written_in_utc_to_the_millisecond() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    moment = datetime(2026, 1, 15, 12, 0, 0, 999_999, tzinfo=india)
    assert instant_text(moment) == "2026-01-15T06:30:00.999Z"


def test_what_is_too_large_to_be_kept_is_refused(store: Store) -> None:
    room = MOST_BYTES - len(dump(stamp(observation(note=[{"text": ""}]), ID, 1, NOW)))
    row_for(store, observation(note=[{"text": "a" * room}]))
    with pytest.raises(FhirError) as refused:
        row_for(store, observation(note=[{"text": "a" * (room + 1)}]))
    assert refused.value.status == 422 and refused.value.issues[0].code == "too-long"
