"""The CapabilityStatement says what is served, and is itself valid."""

from __future__ import annotations

from hie_server.fhir.capability import statement
from hie_server.fhir.definitions import resource_types
from hie_server.fhir.index import parameters_for
from hie_server.fhir.validator import validate

ONLY = {"AuditEvent": ("date", "patient")}


def test_lists_every_type_with_its_parameters() -> None:
    told = statement("https://hie.example/fhir", "https://hie.example/oauth/token", ONLY)
    assert [each for each in validate(told) if each.severity == "error"] == []
    types = {each["type"]: each for each in told["rest"][0]["resource"]}
    assert types.keys() == resource_types()
    named = {each["name"] for each in types["Observation"]["searchParam"]}
    assert named == {"_id", "_lastUpdated", *parameters_for("Observation")}


def test_what_nobody_writes_is_read_only() -> None:
    told = statement("https://hie.example/fhir", "https://hie.example/oauth/token", ONLY)
    audit = next(each for each in told["rest"][0]["resource"] if each["type"] == "AuditEvent")
    assert {each["code"] for each in audit["interaction"]} == {"read", "search-type"}
    named = {each["name"] for each in audit["searchParam"]}
    assert named == {"_id", "_lastUpdated", "date", "patient"}
