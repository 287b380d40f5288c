"""An event as FHIR's AuditEvent: valid whatever happened, and found by what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hie_server.audit.events import Entity, Event, from_json, render
from hie_server.fhir.resources import dump, parse
from hie_server.fhir.validator import validate

PATIENT, RECORD = "Patient/00000000-0000-4000-8000-00000000000a", "Observation/1/_history/2"
BARE = Event("1", "2026-01-15T06:30:00.000Z", "read", 200, request="r-1")
FULL = replace(
    BARE,
    interaction="search-type",
    client="client-1",
    facility="Organization/1",
    practitioner="Practitioner/1",
    purpose="TREAT",
    token="ab" * 32,
    asked="Observation?patient=Patient/9&code=http%3A%2F%2Floinc.org%7C4548-4",
    entities=(Entity(PATIENT, RECORD, ("Consent/1/_history/1", "Consent/2/_history/3")),),
)
EVENTS = {
    "a bare read": BARE,
    "a search by a practitioner": FULL,
    "a citizen's write": replace(BARE, interaction="create", status=201, citizen=PATIENT),
    "a refused read": replace(FULL, status=404, entities=()),
    "its explanation": replace(FULL, status=403, refusal_of="7", reason="no consent permits"),
    "no interaction of FHIR's": replace(BARE, interaction="", status=405, asked=""),
    "a token": replace(BARE, interaction="token", asked="system/*.cruds", client="client-1"),
    "the exchange's failure": replace(FULL, status=503),
    "the largest page": replace(
        FULL,
        entities=tuple(
            Entity(f"Patient/{n}", None, (f"Consent/{n}/_history/1", "Consent/x/_history/1"))
            for n in range(1_000)
        ),
    ),
}


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_is_a_valid_audit_event(name: str) -> None:
    assert [each for each in validate(render(EVENTS[name])) if each.severity == "error"] == []


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_kept_and_read_back_as_it_was(name: str) -> None:
    assert from_json(parse(dump(EVENTS[name].as_json()))) == EVENTS[name]


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, "0"), (304, "0"), (400, "4"), (404, "4"), (500, "8"), (503, "8")]
)
def test_an_outcome_says_whose_fault_it_was(status: int, outcome: str) -> None:
    assert render(replace(BARE, status=status))["outcome"] == outcome


@pytest.mark.parametrize(
    ("interaction", "action"),
    [
        ("create", "C"),
        ("update", "U"),
        ("delete", "D"),
        ("vread", "R"),
        ("search-type", "E"),
        ("", "E"),
    ],
)
def test_an_action_is_one_of_five(interaction: str, action: str) -> None:
    assert render(replace(BARE, interaction=interaction))["action"] == action


def test_who_asked_is_the_person_where_there_is_one() -> None:
    requestors = {
        agent["who"].get("reference", "client"): agent["requestor"]
        for agent in render(FULL)["agent"]
    }
    assert requestors == {"client": False, "Organization/1": False, "Practitioner/1": True}
    assert render(BARE)["agent"][0]["requestor"] is True


def test_only_the_first_half_of_a_tokens_hash_is_shown() -> None:
    assert render(FULL)["agent"][0]["policy"] == ["urn:hie:token:" + "ab" * 16]


def test_a_patient_concerned_twice_is_named_once() -> None:
    entities = (Entity(PATIENT, RECORD), Entity(PATIENT, "Observation/2/_history/1"))
    event = replace(BARE, citizen=PATIENT, entities=entities)
    assert event.patients() == (PATIENT,)
    patients = [e for e in render(event)["entity"] if e.get("what") == {"reference": PATIENT}]
    assert len(patients) == 1
