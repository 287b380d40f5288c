"""The index held against the resources themselves."""

from __future__ import annotations

from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hie_server.fhir.composites import components
from hie_server.fhir.index import index, parameters_for
from hie_server.fhir.match import satisfies
from hie_server.fhir.query import Clause, parse_query
from tests.fhir.generated import VALUES, matches, resources

INDIA = ZoneInfo("Asia/Kolkata")
NOW = 1_700_000_000_000


def is_composite(resource: dict[str, Any], code: str) -> bool:
    return parameters_for(resource["resourceType"])[code].type == "composite"


@st.composite
def asked(draw: st.DrawFn) -> tuple[dict[str, Any], str, str]:
    """A resource, and a search of its type by any of the parameters that it has values for."""
    resource = draw(resources)
    found = index(resource)
    present = {term.parameter for term in found.terms}
    present |= {each.parameter.partition("$")[0].partition("|")[0] for each in found.ranges}
    composites = sorted(each for each in present if is_composite(resource, each))
    # As often as all the others: they are few, and hard.
    known = draw(st.sampled_from([sorted(present), composites or sorted(present)]))
    code = draw(st.sampled_from(known or ["_profile", "_tag"]))
    type = resource["resourceType"]
    kind = parameters_for(type)[code].type
    modifiers = [modifier for each, modifier in VALUES if each == kind]
    modifier = draw(st.sampled_from([*modifiers, "missing"] if modifiers else [""]))
    if modifier == "missing":
        value = draw(st.sampled_from(["true", "false"]))
    elif kind == "composite":
        wanted = [VALUES[each.type, ""] for each in components(parameters_for(type)[code])]
        value = ",".join(draw(st.lists(st.tuples(*wanted).map("$".join), min_size=1, max_size=2)))
    else:
        value = ",".join(draw(st.lists(VALUES[kind, modifier], min_size=1, max_size=2)))
    return resource, f"{code}:{modifier}" if modifier else code, value


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(asked(), st.sampled_from([UTC, INDIA]))
def test_an_index_answers_what_the_resource_says(
    case: tuple[dict[str, Any], str, str], zone: Any
) -> None:
    resource, name, value = case
    query = parse_query(resource["resourceType"], [(name, value)], zone=zone, now_ms=NOW)
    [clause] = query.clauses
    by_index = matches(index(resource, zone), clause)
    by_body = satisfies(resource, clause, zone, NOW)
    if clause.exact:
        assert by_index is by_body
    else:
        assert by_index or not by_body


def clause(kind: str, name: str, value: str) -> Clause:
    return parse_query(kind, [(name, value)]).clauses[0]


PATIENT = {
    "resourceType": "Patient",
    "id": "a",
    "meta": {"lastUpdated": "2024-05-31T10:00:00.123Z", "profile": ["http://p.example/A|1.0"]},
    "identifier": [
        {
            "type": {"coding": [{"system": "http://t", "code": "MR"}], "text": "Record number"},
            "system": "http://hospital.example",
            "value": "7",
        }
    ],
    "active": True,
    "name": [{"family": "Śarmā", "given": ["Ramesh Chandra"], "text": "रमेश शर्मा"}],
    "telecom": [{"system": "phone", "value": "+919876543210"}],
    "birthDate": "1981-01",
    "generalPractitioner": [{"reference": "Practitioner/p/_history/2"}],
    "managingOrganization": {"identifier": {"system": "http://facility.example", "value": "IN27"}},
}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("_id", "a", True),
        ("_id", "b,c", False),
        ("_lastUpdated", "2024-05-31", True),
        ("_lastUpdated", "gt2024-05-31T10:00:00.123Z", False),
        ("_lastUpdated", "ge2024-05-31T10:00:00.123Z", True),
        ("identifier", "7", True),
        ("identifier", "http://hospital.example|7", True),
        ("identifier", "|7", False),
        ("identifier", "http://hospital.example|", True),
        ("identifier:of-type", "http://t|MR|7", True),
        ("identifier:of-type", "http://t|MR|8", False),
        ("identifier:text", "record", True),
        ("identifier:text", "NUMBER", True),
        ("identifier:text", "cord", False),
        ("active", "true", True),
        ("active:not", "true", False),
        ("gender:not", "male", True),
        ("gender:missing", "true", True),
        ("gender:missing", "false", False),
        ("family", "sarma", True),
        ("family:exact", "sarma", False),
        ("family:exact", "Śarmā", True),
        ("given", "chandra", False),
        ("given:contains", "CHANDRA", True),
        ("given", "ramesh chandra d", False),
        ("name", "रमेश", True),
        ("name", "रमश", False),
        ("phone", "+919876543210", True),
        ("email", "+919876543210", False),
        ("birthdate", "1981", True),
        ("birthdate", "1981-01-01", False),
        ("birthdate", "ap1981-01-01", True),
        ("general-practitioner", "p", True),
        ("general-practitioner", "Practitioner/p", True),
        ("general-practitioner:Organization", "p", False),
        ("organization:identifier", "http://facility.example|IN27", True),
        ("organization:identifier", "IN28", False),
        ("organization", "IN27", False),
        ("_profile", "http://p.example/A", True),
        ("_profile", "http://p.example/A|2.0", False),
        ("deceased", "false", True),
        ("death-date:missing", "true", True),
    ],
)
def test_a_patient_is_found(name: str, value: str, expected: bool) -> None:
    asked = clause("Patient", name, value)
    assert satisfies(PATIENT, asked) is expected
    if asked.exact and asked.kind not in ("id", "updated"):
        assert matches(index(PATIENT), asked) is expected


def test_a_resource_never_stored_has_no_last_update() -> None:
    assert not satisfies({"resourceType": "Patient"}, clause("Patient", "_lastUpdated", "2024"))


def test_a_text_is_looked_for_in_displays() -> None:
    code = {"coding": [{"code": "x", "display": "Systolic blood pressure"}]}
    observation = {"resourceType": "Observation", "code": code, "status": "final"}
    assert satisfies(observation, clause("Observation", "code:text", "blood"))
    assert not satisfies(observation, clause("Observation", "status:text", "final"))


def test_a_document_bundle_is_found_by_its_composition() -> None:
    entry = [{"resource": {"resourceType": "Composition", "id": "c"}}]
    bundle = {"resourceType": "Bundle", "type": "document", "entry": entry}
    for name, expected in (("composition", True), ("message", False)):
        asked = clause("Bundle", name, "c")
        assert satisfies(bundle, asked) is matches(index(bundle), asked) is expected


def test_a_source_that_is_an_attachment_is_no_reference() -> None:
    consent = {"resourceType": "Consent", "sourceAttachment": {"url": "Binary/1"}}
    asked = clause("Consent", "source-reference", "Consent/1")
    assert satisfies(consent, asked) is matches(index(consent), asked) is False


def test_sampled_data_is_present_but_in_no_range() -> None:
    samples = {"origin": {"value": 0}, "period": 10, "dimensions": 1, "data": "1 2"}
    observation = {"resourceType": "Observation", "valueSampledData": samples}
    for suffix, value, expected in (("", "ge0", False), (":missing", "false", True)):
        asked = clause("Observation", f"value-quantity{suffix}", value)
        assert satisfies(observation, asked) is matches(index(observation), asked) is expected
