"""Every search parameter of R4 finds something in a resource that has every element."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from hie_server.fhir.definitions import resource_types, types
from hie_server.fhir.index import index, parameters_for

DEEPEST = 6
SAMPLES: dict[str, Any] = {
    "boolean": True,
    "date": "2024-05-31",
    "dateTime": "2024-05-31",
    "instant": "2024-05-31T10:00:00Z",
    "time": "10:00:00",
    "decimal": Decimal("1.5"),
    "integer": 1,
    "positiveInt": 1,
    "unsignedInt": 1,
    "Extension": {"url": "urn:x"},
}
ARTIFACTS = ("depends-on", "composed-of", "derived-from", "predecessor", "successor")
EXTENSION = re.compile(r"xtension\('([^']+)'\)")
# Of answers whose items have a certain extension: test_paths.py.
ELSEWHERE = {"QuestionnaireResponse item-subject"}


@cache
def whole(kind: str, target: str, deep: int = 0) -> Any:
    """A value of the type with all of its elements, each choice of a type in turn; references are
    to a resource of type `target`."""
    if kind in SAMPLES:
        return SAMPLES[kind]
    if kind == "Reference":
        return {"reference": f"{target}/a"}
    if kind == "Resource":
        return {"resourceType": target, "id": "a"}
    if types()[kind].kind == "primitive-type":
        return f"{target}/a" if kind in ("canonical", "uri", "url") else "x"
    if deep == DEEPEST:
        return {}
    found: dict[str, Any] = {}
    for element in types()[kind].elements:
        for each in element.types:
            values = one_of_each(each, target) or [whole(each, target, deep + 1)]
            found[element.json_name(each)] = values if element.is_list else values[0]
    return found


def one_of_each(kind: str, target: str) -> list[Any]:
    """Where parameters differ by what an element says of itself."""
    if kind == "ContactPoint":
        return [{"system": system, "value": "x"} for system in ("phone", "email")]
    if kind == "RelatedArtifact":
        return [{"type": each, "resource": f"{target}/a"} for each in ARTIFACTS]
    return []


@pytest.mark.parametrize("kind", sorted(resource_types()))
def test_every_parameter_of_a_type_is_indexed(kind: str) -> None:
    unmet = set()
    for code, parameter in parameters_for(kind).items():
        target = parameter.target[0] if parameter.target else "Patient"
        found = index(
            {
                **whole(kind, target),
                "resourceType": kind,
                "extension": [
                    {"url": url, "valueString": "x", "valueIdentifier": {"value": "x"},
                     "valueReference": {"reference": f"{target}/a"},
                     "valueCodeableConcept": {"coding": [{"code": "x"}]}}
                    for url in EXTENSION.findall(parameter.expression)
                ],
            }
        )
        names = {term.parameter for term in found.terms if term.form != "present"}
        names |= {each.parameter.partition("|")[0].partition("$")[0] for each in found.ranges}
        if code not in names:
            unmet.add(f"{kind} {code}")
    assert unmet <= ELSEWHERE
