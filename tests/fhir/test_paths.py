"""Every expression of R4, and what some of them find."""

from __future__ import annotations

from typing import Any

import pytest

from hie_server.fhir.definitions import resource_types, search_parameters
from hie_server.fhir.paths import compile_expression

# Its expression finds something in another type than its base; R4 calls it an example.
NOWHERE = "http://hl7.org/fhir/SearchParameter/example-extension"


def test_every_expression_of_r4_runs_on_each_of_its_types() -> None:
    ran = 0
    for parameter in search_parameters():
        if not parameter.expression or parameter.url == NOWHERE:
            continue
        abstract = {"Resource", "DomainResource"} & set(parameter.base)
        for kind in resource_types() if abstract else parameter.base:
            found = compile_expression(parameter.expression, kind)({"resourceType": kind})
            if parameter.type != "composite":
                assert found == ([(False, "boolean")] if parameter.code == "deceased" else [])
            ran += 1
    assert ran > 1_700


def find(expression: str, resource: dict[str, Any]) -> list[tuple[Any, str]]:
    return compile_expression(expression, resource["resourceType"])(resource)


@pytest.mark.parametrize(
    ("expression", "resource", "found"),
    [
        ("Patient.birthDate", {"birthDate": "1981"}, [("1981", "date")]),
        ("Patient.name.given", {"name": [{"given": ["a", None]}, {}]}, [("a", "string")]),
        ("Resource.meta.tag", {"meta": {"tag": [{"code": "x"}]}}, [({"code": "x"}, "Coding")]),
        ("id", {"id": "a"}, [("a", "id")]),
        ("Patient", {}, [({"resourceType": "Patient"}, "Patient")]),
        ("gender | Person.gender | birthDate", {"gender": "male"}, [("male", "code")]),
        ("Patient.deceased", {"deceasedBoolean": False}, [(False, "boolean")]),
        ("(Patient.deceased as dateTime)", {"deceasedBoolean": True}, []),
        ("Patient.deceased.ofType(dateTime)", {"deceasedDateTime": "2020"}, [("2020", "dateTime")]),
        ("Patient.deceased.as(DateTime)", {"deceasedDateTime": "2020"}, [("2020", "dateTime")]),
        ("Patient.name[1].family", {"name": [{"family": "a"}, {"family": "b"}]}, [("b", "string")]),
        ("Patient.name[1].family", {"name": [{"family": "a"}]}, []),
        (
            "Patient.telecom.where(system='email')",
            {"telecom": [{"system": "phone"}, {"system": "email"}, {}]},
            [({"system": "email"}, "ContactPoint")],
        ),
        ("Patient.deceased.exists()", {}, [(False, "boolean")]),
        ("Patient.active != false", {"active": True}, [(True, "boolean")]),
        ("Patient.active != false", {}, []),
    ],
)
def test_a_path_finds_values_with_their_types(
    expression: str, resource: dict[str, Any], found: list[Any]
) -> None:
    assert find(expression, {"resourceType": "Patient", **resource}) == found


@pytest.mark.parametrize(
    ("resource", "dead"),
    [
        ({}, False),
        ({"deceasedBoolean": False}, False),
        ({"deceasedBoolean": True}, True),
        ({"deceasedDateTime": "2020"}, True),
    ],
)
def test_returns_one_boolean_for_deceased(resource: dict[str, Any], dead: bool) -> None:
    [parameter] = [p for p in search_parameters() if (p.code, p.base) == ("deceased", ("Patient",))]
    found = find(parameter.expression, {"resourceType": "Patient", **resource})
    assert found == [(dead, "boolean")]


@pytest.mark.parametrize(
    ("subject", "is_patient"),
    [
        ({"reference": "Patient/1"}, True),
        ({"reference": "Patient/1/_history/2"}, True),
        ({"reference": "https://elsewhere.example/fhir/Patient/1"}, True),
        ({"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "type": "Patient"}, True),
        ({"type": "Patient", "identifier": {"value": "1"}}, True),
        ({"reference": "Group/1", "type": "Patient"}, False),
        ({"reference": "Patience/1"}, False),
        ({"reference": "#p1"}, False),
        ({"display": "Patient/1"}, False),
    ],
)
def test_a_reference_resolves_by_its_text(subject: dict[str, Any], is_patient: bool) -> None:
    observation = {"resourceType": "Observation", "subject": subject}
    found = find("Observation.subject.where(resolve() is Patient)", observation)
    assert found == ([(subject, "Reference")] if is_patient else [])


def test_a_canonical_and_a_resource_resolve_too() -> None:
    canonical = {"resourceType": "Library", "subjectReference": {"reference": "Group/1"}}
    assert find("Library.subject.where(resolve() is Group)", canonical)
    entry = [{"resource": {"resourceType": "Composition", "id": "c"}}]
    bundle = {"resourceType": "Bundle", "entry": entry}
    assert find("Bundle.entry.resource.where(resolve() is Composition)", bundle)
    uses = {"resourceType": "PlanDefinition", "library": ["Library/1", "http://x.example/y"]}
    found = find("PlanDefinition.library.where(resolve() is Library)", uses)
    assert found == [("Library/1", "canonical")]


def test_a_canonical_is_a_uri() -> None:
    concepts = {"resourceType": "ConceptMap", "sourceCanonical": "http://x.example/ValueSet/1"}
    assert find("(ConceptMap.source as uri)", concepts)[0][1] == "canonical"


def test_an_extension_is_searched_by_its_value() -> None:
    extension = [{"url": "http://a", "valueString": "x"}, {"url": "http://b", "valueCode": "y"}]
    patient = {"resourceType": "Patient", "extension": extension}
    assert find("Patient.extension('http://b')", patient) == [("y", "code")]


def test_an_answer_counts_where_its_item_has_the_extension() -> None:
    url = "http://hl7.org/fhir/StructureDefinition/questionnaireresponse-isSubject"
    answer = [{"valueReference": {"reference": "Patient/1"}}]
    items = [{"answer": answer, "extension": [{"url": url}]}, {"answer": answer}]
    [parameter] = [p for p in search_parameters() if p.code == "item-subject"]
    response = {"resourceType": "QuestionnaireResponse", "item": items}
    assert find(parameter.expression, response) == [({"reference": "Patient/1"}, "Reference")]


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "Patient.nothing",
        "Patient.name.",
        "Patient.name.first()",
        "Patient.name[0",
        "Patient.name)",
        "(Patient.deceased as dateTime",
        "(Patient.deceased as Quantity)",
        "Patient.name.where(family)",
        "Patient.name.where(family=name)",
        "Patient.name % 2",
        "Observation.code",
        "__import__('os')",
    ],
)
def test_refuses_what_it_does_not_understand(expression: str) -> None:
    with pytest.raises(ValueError, match="FHIRPath not understood"):
        compile_expression(expression, "Patient")
