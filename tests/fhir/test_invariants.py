from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from hie_server.fhir.definitions import types
from hie_server.fhir.invariants import Invariant, invariants


def rule(path: str, key: str) -> Invariant:
    found = {each.key: each for each in invariants(types()[path].rules, path)}
    return found[key]


@pytest.mark.parametrize(
    ("path", "key", "element", "holds"),
    [
        ("Goal.target", "gol-1", {"detailString": "x", "measure": {"text": "m"}}, True),
        ("Goal.target", "gol-1", {"detailString": "x"}, False),
        ("Parameters.parameter", "inv-1", {"name": "a", "valueDecimal": Decimal("1.10")}, True),
        ("Parameters.parameter", "inv-1", {"name": "a"}, False),
        ("Parameters.parameter", "inv-1", {"name": "a", "valueString": "x", "part": [{}]}, False),
        ("Questionnaire.item", "que-1", {"linkId": "1", "type": "group"}, False),
        ("Questionnaire.item", "que-1", {"linkId": "1", "type": "string"}, True),
        ("Linkage", "lnk-1", {"item": [{}]}, False),
    ],
)
def test_an_invariant_evaluated_by_fhirpath(
    path: str, key: str, element: dict[str, Any], holds: bool
) -> None:
    found = rule(path, key)
    assert found.is_costly and found.holds(element, element) is holds


def test_the_resource_is_known_to_its_elements() -> None:
    found = rule("StructureDefinition.snapshot", "sdf-8")
    snapshot = {"element": [{"path": "Patient"}, {"path": "Patient.name"}]}
    resource = {"resourceType": "StructureDefinition", "kind": "resource", "snapshot": snapshot}
    assert found.holds(snapshot, resource | {"type": "Patient"})
    assert not found.holds(snapshot, resource | {"type": "Person"})


def test_nothing_is_printed_while_evaluating(capsys: pytest.CaptureFixture[str]) -> None:
    item = {"linkId": "1", "type": "group", "item": [{"linkId": "2", "type": "string"}]}
    assert rule("Questionnaire.item", "que-1").holds(item, {})
    assert capsys.readouterr().out == ""


def test_everyday_types_need_no_fhirpath() -> None:
    everyday = ("Patient", "Patient.contact", "Observation", "Condition", "Bundle", "Timing.repeat")
    for path in everyday + ("HumanName", "Period", "Reference", "Extension", "Dosage"):
        assert not any(each.is_costly for each in invariants(types()[path].rules, path)), path


def test_every_expression_can_be_evaluated() -> None:
    for name, definition in types().items():
        for each in invariants(definition.rules, name):
            if each.is_costly:
                assert each.holds({"id": "x"}, {"id": "x"}) in (True, False), each.key
