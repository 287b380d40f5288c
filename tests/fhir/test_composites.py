"""Composites: their parts hold on the same element. Any resource and search: test_match.py."""

from __future__ import annotations

from decimal import Decimal

import pytest

from hie_server.fhir.composites import components, elements
from hie_server.fhir.definitions import resource_types
from hie_server.fhir.index import index, parameters_for
from hie_server.fhir.match import satisfies
from hie_server.fhir.outcomes import FhirError
from hie_server.fhir.query import parse_query
from tests.fhir.generated import Json, matches

LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
ALL = [
    (kind, each)
    for kind in sorted(resource_types())
    for each in parameters_for(kind).values()
    if each.type == "composite"
]


def concept(code: str, system: str = LOINC) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def amount(value: str, code: str = "mm[Hg]") -> Json:
    return {"value": Decimal(value), "system": UCUM, "code": code, "unit": "mmHg"}


PRESSURE: Json = {
    "resourceType": "Observation",
    "code": concept("85354-9"),
    "component": [
        {"code": concept("8480-6"), "valueQuantity": amount("120")},
        {"code": concept("8462-4"), "valueQuantity": amount("80")},
    ],
}
WEIGHT: Json = {
    "resourceType": "Observation",
    "code": concept("29463-7"),
    "valueQuantity": amount("72.5", "kg"),
}
SMOKER: Json = {
    "resourceType": "Observation",
    "code": concept("72166-2"),
    "valueCodeableConcept": concept("a$b,c", "urn:x|y"),
}
SAID: Json = {
    "resourceType": "Observation",
    "code": concept("8661-1"),
    "valueString": "Headache since yesterday",
}
BORN: Json = {
    "resourceType": "Observation",
    "code": concept("11778-8"),
    "valueDateTime": "2024-05-31",
}
FOLLOWS: Json = {
    "resourceType": "DocumentReference",
    "relatesTo": [
        {"code": "replaces", "target": {"reference": "DocumentReference/a"}},
        {"code": "appends", "target": {"reference": "DocumentReference/b"}},
    ],
}
COHORT: Json = {
    "resourceType": "Group",
    "characteristic": [
        {"code": concept("gender"), "valueCodeableConcept": concept("male"), "exclude": False},
        {"code": concept("smoker"), "valueBoolean": True, "exclude": True},
    ],
}
GUIDE: Json = {
    "resourceType": "PlanDefinition",
    "useContext": [
        {"code": {"code": "age"}, "valueRange": {"low": amount("18", "a"), "high": amount("65")}},
        {"code": {"code": "focus"}, "valueCodeableConcept": concept("44054006")},
    ],
}
GENE: Json = {
    "resourceType": "MolecularSequence",
    "referenceSeq": {"chromosome": concept("7"), "windowStart": 100, "windowEnd": 200},
    "variant": [{"start": 120, "end": 130}, {"start": 150, "end": 190}],
}


@pytest.mark.parametrize(
    ("resource", "name", "value", "expected"),
    [
        (PRESSURE, "component-code-value-quantity", "8480-6$120", True),
        (PRESSURE, "component-code-value-quantity", "8480-6$80", False),
        (PRESSURE, "component-code-value-quantity", "8480-6$gt100", True),
        (PRESSURE, "component-code-value-quantity", "8462-4$gt100", False),
        (PRESSURE, "component-code-value-quantity", f"{LOINC}|8480-6$120|{UCUM}|mm[Hg]", True),
        (PRESSURE, "component-code-value-quantity", f"{LOINC}|8480-6$120|{UCUM}|kPa", False),
        (PRESSURE, "component-code-value-quantity", f"{LOINC}|$ge120||mmHg", True),
        (PRESSURE, "component-code-value-quantity", "|8480-6$120", False),
        (PRESSURE, "component-code-value-quantity", "8480-6$80,8462-4$80", True),
        (PRESSURE, "combo-code-value-quantity", "8462-4$lt90", True),
        (PRESSURE, "combo-code-value-quantity", "85354-9$lt90", False),
        (PRESSURE, "code-value-quantity", "8462-4$lt90", False),
        (WEIGHT, "combo-code-value-quantity", "29463-7$72.5", True),
        (WEIGHT, "code-value-quantity", "29463-7$ne72.5", False),
        (WEIGHT, "code-value-quantity", "29463-7$ap70||lb", False),
        (WEIGHT, "code-value-quantity", f"29463-7$ap70|{UCUM}|kg", True),
        (SMOKER, "code-value-concept", r"72166-2$a\$b\,c", True),
        (SMOKER, "code-value-concept", r"72166-2$urn:x\|y|a\$b\,c", True),
        (SMOKER, "combo-code-value-concept", f"{LOINC}|72166-2$urn:x\\|y|", True),
        (SMOKER, "code-value-concept", "72166-2$a", False),
        (SAID, "code-value-string", "8661-1$headache", True),
        (SAID, "code-value-string", "8661-1$headache since", True),
        (SAID, "code-value-string", "8661-1$headache since tuesday", False),
        (SAID, "code-value-string", "8661-2$headache", False),
        (BORN, "code-value-date", "11778-8$2024", True),
        (BORN, "code-value-date", "11778-8$ge2024-06", False),
        (FOLLOWS, "relationship", "replaces$DocumentReference/a", True),
        (FOLLOWS, "relationship", "replaces$a", True),
        (FOLLOWS, "relationship", "replaces$DocumentReference/b", False),
        (COHORT, "characteristic-value", "gender$male", True),
        (COHORT, "characteristic-value", "smoker$true", True),
        (COHORT, "characteristic-value", "gender$true", False),
        (GUIDE, "context-type-quantity", "age$gt60", True),
        (GUIDE, "context-type-quantity", "age$gt65", False),
        (GUIDE, "context-type-quantity", "focus$gt60", False),
        (GUIDE, "context-type-value", f"focus${LOINC}|44054006", True),
        (GUIDE, "context-type-value", "age$44054006", False),
        (GENE, "chromosome-variant-coordinate", "7$ge120$le130", True),
        (GENE, "chromosome-variant-coordinate", "7$120$190", False),
        (GENE, "chromosome-variant-coordinate", "7$ne120$190", True),
        (GENE, "chromosome-variant-coordinate", "8$ge120$le130", False),
        (GENE, "chromosome-window-coordinate", "7$lt150$gt150", True),
        (GENE, "chromosome-window-coordinate", "7$gt150$gt150", False),
        (GENE, "referenceseqid-variant-coordinate", "7$ge120$le130", False),
    ],
)
def test_the_parts_hold_on_one_element(
    resource: Json, name: str, value: str, expected: bool
) -> None:
    [clause] = parse_query(resource["resourceType"], [(name, value)]).clauses
    assert satisfies(resource, clause) is expected
    if clause.exact:
        assert matches(index(resource), clause) is expected
    else:
        assert matches(index(resource), clause) or not expected


def test_r4_has_many_of_them() -> None:
    assert len(ALL) == 72
    assert {each.code for _, each in ALL} >= {"combo-code-value-quantity", "relationship"}


@pytest.mark.parametrize(("kind", "parameter"), ALL, ids=lambda each: getattr(each, "code", each))
def test_every_composite_reads_its_elements(kind: str, parameter: object) -> None:
    parameter = parameters_for(kind)[getattr(parameter, "code")]
    assert len(components(parameter)) in (2, 3)
    assert {each.type for each in components(parameter)} <= {
        "token", "quantity", "date", "string", "number", "reference"
    }
    assert list(elements(parameter, {"resourceType": kind})) == []


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("code-value-quantity", "8480-6", r"isn't token\$quantity"),
        ("code-value-quantity", "8480-6$1$2", r"isn't token\$quantity"),
        ("code-value-quantity", "8480-6$", r"isn't token\$quantity"),
        ("code-value-quantity", "8480-6$much", "number"),
        ("code-value-quantity", "$5", r"isn't token\$quantity"),
        ("code-value-string", "8480-6$ ", "a text"),
        ("code-value-quantity:missing", "true", "it has none"),
        ("code-value-concept:not", "a$b", "it has none"),
    ],
)
def test_what_lacks_a_part_is_refused(name: str, value: str, right: str) -> None:
    with pytest.raises(FhirError, match=right) as caught:
        parse_query("Observation", [(name, value)])
    assert caught.value.status == 400
