from __future__ import annotations

from typing import Any

import pytest

from hie_server.fhir.targets import Scope, contained_faults, reference_faults

PATIENT = frozenset(["Patient"])
ANY: frozenset[str] = frozenset()


def faults(
    reference: dict[str, Any], targets: frozenset[str] = PATIENT, scope: Scope = Scope()
) -> list[str]:
    return [f"{key}: {fault}" for key, fault in reference_faults(reference, targets, scope)]


def container(*contained: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "contained": list(contained)}


PERSON = {"resourceType": "Patient", "id": "p"}
DEVICE = {"resourceType": "Device", "id": "d"}
INSIDE = Scope().enter(container(PERSON, DEVICE, "wrong"), False)


@pytest.mark.parametrize(
    "reference",
    [
        {"reference": "Patient/1"},
        {"reference": "Patient/1/_history/2"},
        {"reference": "http://x.example/fhir/Patient/1"},
        {"reference": "http://x.example/anything"},
        {"reference": "http://x.example/Nonsense/1"},
        {"reference": "urn:uuid:1"},
        {"reference": "Patient/1", "type": "Patient"},
        {"type": "Patient"},
        {"type": "http://hl7.org/fhir/StructureDefinition/Patient"},
        {"type": "http://x.example/StructureDefinition/Own"},
        {"identifier": {"value": "1"}},
        {"display": "someone"},
    ],
)
def test_a_reference_to_an_allowed_type(reference: dict[str, Any]) -> None:
    assert not faults(reference)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ({"reference": "Practi/1"}, 'reference: "Practi/1" isn\'t a reference'),
        ({"reference": "Observation/1"}, "reference: It can't refer to Observation: expected P"),
        ({"reference": "http://x.example/fhir/Observation/1"}, "can't refer to Observation"),
        ({"reference": "http://x.example/fhir/Observation/1/_history/2"}, "Observation"),
        ({"reference": "Patient?identifier=1"}, "isn't a reference"),
        ({"reference": "#nobody"}, "isn't a reference"),
        ({"reference": "#"}, "isn't a reference"),
        ({"type": "Observation"}, "type: It can't refer to Observation"),
        ({"reference": "Patient/1", "type": "Group"}, "type: "),
        ({"reference": "x" * 500}, 'reference: "' + "x" * 39 + "…"),
    ],
)
def test_a_wrong_reference(reference: dict[str, Any], says: str) -> None:
    assert len(faults(reference)) == 1 and says in faults(reference)[0]


def test_any_type_can_be_named_where_none_is_asked_for() -> None:
    assert not faults({"reference": "Observation/1", "type": "Observation"}, ANY)


def test_a_contained_resource_has_to_be_of_the_type_too() -> None:
    assert not faults({"reference": "#p"}, PATIENT, INSIDE)
    assert "Device" in faults({"reference": "#d"}, PATIENT, INSIDE)[0]


def test_a_contained_resource_refers_to_its_neighbours_and_its_container() -> None:
    scope = INSIDE.enter(PERSON, True)
    assert not faults({"reference": "#"}, frozenset(["Observation"]), scope)
    assert not faults({"reference": "#d"}, ANY, scope)
    assert "Observation" in faults({"reference": "#"}, PATIENT, scope)[0]


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_a_conditional_reference_in_what_is_to_be_processed(kind: str) -> None:
    bundle = {"resourceType": "Bundle", "type": kind}
    scope = Scope().enter(bundle, False).enter({"resourceType": "Observation"}, False)
    assert not faults({"reference": "Patient?identifier=a|1"}, PATIENT, scope)
    assert "Group" in faults({"reference": "Group?identifier=1"}, PATIENT, scope)[0]
    assert "isn't a reference" in faults({"reference": "Practi?identifier=1"}, ANY, scope)[0]


def test_a_bundle_of_another_type_holds_no_conditional_references() -> None:
    scope = Scope().enter({"resourceType": "Bundle", "type": "document"}, False)
    assert faults({"reference": "Patient?identifier=1"}, PATIENT, scope)


@pytest.mark.parametrize(
    ("contained", "says"),
    [
        ({"resourceType": "Patient"}, "needs an id"),
        ({"resourceType": "Patient", "id": "p", "contained": []}, "dom-2"),
        ({"resourceType": "Patient", "id": "p", "meta": {"versionId": "1"}}, "dom-4"),
        ({"resourceType": "Patient", "id": "p", "meta": {"lastUpdated": "2020"}}, "dom-4"),
        ({"resourceType": "Patient", "id": "p", "meta": {"security": []}}, "dom-5"),
        ({"resourceType": "Patient", "id": "q"}, "dom-3"),
    ],
)
def test_a_contained_resource_that_cannot_be(contained: dict[str, Any], says: str) -> None:
    resource = container(contained) | {"subject": {"reference": "#p"}}
    found = list(contained_faults(resource))
    assert [n for n, _ in found] == [0] and says in found[0][1]


def test_two_contained_resources_of_one_id() -> None:
    resource = container(PERSON, PERSON) | {"subject": {"reference": "#p"}}
    assert [n for n, _ in contained_faults(resource)] == [1]


def test_a_contained_resource_that_refers_to_its_container_is_used() -> None:
    provenance = {"resourceType": "Provenance", "id": "v", "target": [{"reference": "#"}]}
    assert not list(contained_faults(container(provenance)))


@pytest.mark.parametrize("contained", ["wrong", {}, [5], None])
def test_what_is_not_contained_resources_is_for_others_to_say(contained: Any) -> None:
    assert not list(contained_faults({"contained": contained}))
