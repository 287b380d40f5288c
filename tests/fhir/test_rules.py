"""Each written-out invariant against its own FHIRPath expression, on many small elements."""

from __future__ import annotations

import random
from typing import Any, Iterator

import fhirpathpy
import pytest
from fhirpathpy.engine.nodes import ResourceNode
from fhirpathpy.models import models

from hie_server.fhir.definitions import fields, types, value_sets
from hie_server.fhir.rules import NATIVE

UCUM = "http://unitsofmeasure.org"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
ALLERGY = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
HAS_VALUE = {"hasValue": {"fn": lambda inputs: len(inputs) == 1, "arity": {0: []}}}
CASES = 120
# Judged by HAND alone: fhirpathpy compares no quantities and no moments of two time zones, can't
# take `$this` or lists there, or answers nothing where R4's words are plain.
NOT_COMPARED = {"rng-2", "eld-3", "tim-9", "per-1", "mdd-1", "csd-1", "age-1", "cnt-3", "bdl-8"}
NOT_COMPARED |= {"md-1", "que-7", "ras-1", "ras-2"}
# What chance hardly ever breaks is broken by HAND.
RARELY_BROKEN = {"ait-2", "con-5", "bdl-7", "obs-7"}
SAMPLES: dict[str, list[Any]] = {
    "boolean": [True, False],
    "decimal": [1.5, 0, -2],
    "integer": [1, -1],
    "positiveInt": [1],
    "unsignedInt": [0],
    "dateTime": ["2020-01-02"],
    "date": ["2020-01-02"],
    "instant": ["2020-01-02T00:00:00Z"],
}
STRINGS = {
    "system": [UCUM, CLINICAL, VERIFICATION, ALLERGY],
    "code": ["1", "mg", "resolved", "entered-in-error"],
    "fullUrl": ["http://x.example/Patient/1", "http://x.example/Patient/1/_history/2"],
}


def rules() -> Iterator[tuple[str, str, str]]:
    """(key, expression, path of the element)"""
    seen = set()
    for definition in types().values():
        found = [(definition.rules, definition.name)]
        for element in definition.elements:
            found.append((element.rules, element.types[0]))
        for row, path in found:
            for key, expression in row.items():
                if key in NATIVE and key not in seen:
                    seen.add(key)
                    yield key, expression, path


def sample(kind: str, chance: random.Random, depth: int, name: str = "") -> Any:
    if kind == "Resource":
        kind = chance.choice(["Composition", "MessageHeader", "Patient"])
        return {"resourceType": kind, "meta": {"versionId": chance.choice("12")}}
    if kind not in types() or types()[kind].kind == "primitive-type":
        return chance.choice(SAMPLES.get(kind, STRINGS.get(name, ["x", "C"])))
    if depth == 0:
        return {"id": "x"}
    keys = sorted(fields(kind))
    needed = [key for key in keys if fields(kind)[key][0].min]
    chosen = needed + chance.sample(keys, chance.randint(1, min(len(keys), 9)))
    found: dict[str, Any] = {}
    for key in chosen:
        element, each = fields(kind)[key]
        if any(fields(kind)[other][0] is element for other in found):
            continue
        value = sample(each, chance, depth - 1, element.name)
        if each == "code" and element.codes in value_sets():
            value = chance.choice(sorted(set().union(*value_sets()[element.codes].values())))
        found[key] = [value] if element.is_list else value
    return found or {"id": "x"}


COMPARED = [pytest.param(*each, id=each[0]) for each in rules() if each[0] not in NOT_COMPARED]


@pytest.mark.parametrize(("key", "expression", "path"), COMPARED)
def test_a_rule_agrees_with_its_expression(key: str, expression: str, path: str) -> None:
    chance = random.Random(key)
    options = {"userInvocationTable": HAS_VALUE}
    evaluate = fhirpathpy.compile(expression, models["r4"], options)
    answers = set()
    for _ in range(CASES):
        element = sample(path, chance, 4)
        node = ResourceNode.create_node(element, path)
        expected = evaluate(node, {"resource": element}) not in ([], [False])
        assert NATIVE[key](element, element) == expected, element
        answers.add(expected)
    assert answers == {True, False} or key in RARELY_BROKEN


def test_every_rule_belongs_to_an_invariant() -> None:
    assert {key for key, _, _ in rules()} == NATIVE.keys()


def coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


ACTIVE = coded(CLINICAL, "active")
SAME = {"code": {"coding": [{"system": "s", "code": "c"}]}, "valueString": "x"}
ENTRY = {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient"}}
OTHER = ENTRY | {"resource": {"resourceType": "Patient", "meta": {"versionId": "2"}}}
KILO = {"value": 2, "code": "kg", "system": UCUM}
HAND: list[tuple[str, Any, bool]] = [
    ("ait-2", {"verificationStatus": coded(ALLERGY, "entered-in-error")}, True),
    (
        "ait-2",
        {"verificationStatus": coded(ALLERGY, "entered-in-error"), "clinicalStatus": ACTIVE},
        False,
    ),
    ("con-5", {"verificationStatus": coded(VERIFICATION, "entered-in-error")}, True),
    (
        "con-5",
        {"verificationStatus": coded(VERIFICATION, "entered-in-error"), "clinicalStatus": ACTIVE},
        False,
    ),
    ("bdl-7", {"type": "collection", "entry": [ENTRY, OTHER, {}]}, True),
    ("bdl-7", {"type": "collection", "entry": [ENTRY, ENTRY]}, False),
    ("bdl-7", {"type": "history", "entry": [ENTRY, ENTRY]}, True),
    ("bdl-8", {}, True),
    ("bdl-8", {"fullUrl": "http://x.example/Patient/1/_history/2"}, False),
    ("bdl-10", {"type": "document"}, False),
    ("obs-7", SAME | {"component": [SAME]}, False),
    ("obs-7", {"code": SAME["code"], "component": [SAME]}, True),
    ("obs-7", SAME | {"component": [{"code": {"text": "t"}}]}, True),
    ("rng-2", {"low": {"value": 1}, "high": {"value": 2}}, True),
    ("rng-2", {"low": {"value": 2}, "high": {"value": 1}}, False),
    ("rng-2", {"low": KILO, "high": {"value": 1, "code": "g"}}, True),
    ("rng-2", {"low": KILO}, True),
    ("eld-3", "*", True),
    ("eld-3", "12", True),
    ("eld-3", "many", False),
    ("md-1", {}, True),
    ("md-1", {"max": "*"}, True),
    ("md-1", {"max": "0"}, False),
    ("que-7", {"operator": "exists", "answerBoolean": False}, True),
    ("que-7", {"operator": "exists", "answerString": "x"}, False),
    ("que-7", {"operator": "=", "answerString": "x"}, True),
    ("ras-1", 0.5, True),
    ("ras-1", {"low": {"code": "%", "system": UCUM}}, True),
    ("ras-1", {"high": {"code": "1", "system": UCUM}}, False),
    ("ras-2", {"probabilityDecimal": 101}, False),
    ("ras-2", {"probabilityRange": {}}, True),
    ("tim-9", {}, True),
    ("tim-9", {"offset": 5, "when": ["MORN"]}, True),
    ("tim-9", {"offset": 5, "when": ["MORN", "C"]}, False),
    ("tim-9", {"offset": 5}, False),
    ("per-1", {"start": "2020-01-01", "end": "2020-01-01"}, True),
    ("per-1", {"start": "2020-01-02", "end": "2020-01-01"}, False),
    ("per-1", {"start": "2020-05", "end": "2020"}, True),
    ("per-1", {"start": "2020-01-01T10:00:00Z", "end": "2020-01-01"}, True),
    ("per-1", {"start": "2020-01-01T10:00:00Z", "end": "2020-01-01T14:00:00+05:30"}, False),
    ("per-1", {"start": "2020-01-01T14:00:00+05:30", "end": "2020-01-01T10:00:00Z"}, True),
    ("per-1", {"start": "2020-01-01"}, True),
    ("mdd-1", {"whenPrepared": "2020-01-02", "whenHandedOver": "2020-01-01"}, False),
    ("mdd-1", {"whenPrepared": "2020-01-02"}, True),
    ("csd-1", {"concept": [{"code": "a", "concept": [{"code": "b"}]}, {"code": "c"}]}, True),
    ("csd-1", {"concept": [{"code": "a", "concept": [{"code": "a"}]}]}, False),
    ("age-1", {"value": 5, "code": "a", "system": UCUM}, True),
    ("age-1", {"value": 0, "code": "a", "system": UCUM}, False),
    ("age-1", {"value": 5}, False),
    ("age-1", {"value": 5, "code": "a", "system": "http://x.example"}, False),
    ("cnt-3", {"value": 5, "code": "1", "system": UCUM}, True),
    ("cnt-3", {"value": 5, "code": "kg", "system": UCUM}, False),
    ("cnt-3", {"value": 1.5, "code": "1", "system": UCUM}, False),
]


@pytest.mark.parametrize(("key", "element", "holds"), HAND)
def test_a_rule_on_cases_judged_by_hand(key: str, element: Any, holds: bool) -> None:
    assert NATIVE[key](element, {}) is holds


def test_every_rule_not_compared_is_judged_by_hand() -> None:
    assert NOT_COMPARED | RARELY_BROKEN <= {key for key, _, _ in HAND}
