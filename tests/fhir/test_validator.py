from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from hie_server.fhir.validator import validate

Json = dict[str, Any]


def patient(**properties: Any) -> Json:
    return {"resourceType": "Patient"} | properties


def observation(**properties: Any) -> Json:
    required = {"status": "final", "code": {"text": "Pulse"}}
    return {"resourceType": "Observation"} | required | properties


def faults(resource: Any) -> list[tuple[str, str]]:
    return [(issue.code, issue.expression) for issue in validate(resource)]


TEXT = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Asha</div>'}
EXTENSION = {"url": "http://x.example/e", "valueString": "x"}
ABSENT = {"extension": [EXTENSION]}
PROVENANCE = {
    "resourceType": "Provenance",
    "id": "v",
    "target": [{"reference": "#"}],
    "recorded": "2020-01-01T00:00:00Z",
    "agent": [{"who": {"display": "someone"}}],
}
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"


def condition(status: Any) -> Json:
    return {
        "resourceType": "Condition",
        "subject": {"reference": "Patient/1"},
        "clinicalStatus": status,
    }


@pytest.mark.parametrize(
    "resource",
    [
        patient(),
        patient(id="a", text=TEXT, name=[{"family": "राव", "given": ["आशा", "M"]}]),
        patient(birthDate="2020-02", _birthDate=ABSENT),
        patient(_birthDate=ABSENT),
        patient(name=[{"given": ["a", None], "_given": [None, ABSENT]}]),
        patient(name=[{"_given": [ABSENT, ABSENT]}]),
        patient(name=[{"given": ["a"], "_given": [{"id": "x"}]}]),
        patient(contained=[PROVENANCE]),
        patient(extension=[{"url": "a", "_valueString": ABSENT}]),
        patient(extension=[{"url": "a", "extension": [EXTENSION]}]),
        patient(multipleBirthInteger=2),
        observation(valueQuantity={"value": Decimal("1.10")}),
        observation(valueQuantity={"value": 5}),
        observation(valueString="x", _valueString=ABSENT),
        observation(_status=ABSENT),
        observation(component=[{"code": {"text": "x"}, "referenceRange": [{"text": "low"}]}]),
        condition({"coding": [{"system": CLINICAL, "code": "active"}]}),
        condition({"coding": [{"code": "own"}, {"system": CLINICAL, "code": "active"}]}),
        condition(ABSENT),
        {"resourceType": "Bundle", "type": "collection"},
        {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient()}]},
        {"resourceType": "Parameters", "parameter": [{"name": "a", "resource": patient()}]},
        {"resourceType": "Binary", "contentType": "text/plain", "data": "QUJD"},
    ],
)
def test_what_is_valid(resource: Json) -> None:
    assert validate(resource) == []


def without_status() -> Json:
    return {"resourceType": "Observation", "code": {"text": "x"}}


@pytest.mark.parametrize(
    ("resource", "code", "expression"),
    [
        # the resource
        (None, "structure", "Resource"),
        ([], "structure", "Resource"),
        ({}, "structure", "Resource"),
        ({"resourceType": "Foo"}, "structure", "Resource"),
        ({"resourceType": ["Patient"]}, "structure", "Resource"),
        ({"resourceType": "DomainResource"}, "structure", "Resource"),
        ({"resourceType": "HumanName"}, "structure", "Resource"),
        # properties
        (patient(nme=[]), "structure", "Patient.nme"),
        (patient(**{"a b": 1}), "structure", "Patient"),
        (patient(**{"x" * 41: 1}), "structure", "Patient"),
        (patient(_name=[ABSENT]), "structure", "Patient._name"),
        (patient(_id=ABSENT), "structure", "Patient._id"),
        (patient(class_fhir=1), "structure", "Patient.class_fhir"),
        (patient(name=[{"famly": "x"}]), "structure", "Patient.name[0].famly"),
        # cardinality
        (without_status(), "required", "Observation.status"),
        (patient(link=[{"type": "seealso"}]), "required", "Patient.link[0].other"),
        (patient(name={"family": "x"}), "structure", "Patient.name"),
        (patient(birthDate=["2020"]), "structure", "Patient.birthDate"),
        (patient(maritalStatus=[{"text": "x"}]), "structure", "Patient.maritalStatus"),
        (patient(name=[]), "structure", "Patient.name"),
        (patient(name=[{"given": []}]), "structure", "Patient.name[0].given"),
        (patient(name=[{"given": "x"}]), "structure", "Patient.name[0].given"),
        (patient(name=[{}]), "structure", "Patient.name[0]"),
        (patient(maritalStatus={}), "structure", "Patient.maritalStatus"),
        # null
        (patient(birthDate=None), "structure", "Patient.birthDate"),
        (patient(maritalStatus=None), "structure", "Patient.maritalStatus"),
        (patient(name=None), "structure", "Patient.name"),
        (patient(name=[None]), "structure", "Patient.name[0]"),
        (patient(name=[{"given": ["a", None]}]), "structure", "Patient.name[0].given[1]"),
        (patient(name=[{"_given": [None, ABSENT]}]), "structure", "Patient.name[0].given[0]"),
        # primitives
        (patient(active="yes"), "value", "Patient.active"),
        (patient(active=1), "value", "Patient.active"),
        (patient(multipleBirthInteger="2"), "value", "Patient.multipleBirth"),
        (patient(multipleBirthInteger=Decimal("2.0")), "value", "Patient.multipleBirth"),
        (patient(birthDate="2020-02-30"), "value", "Patient.birthDate"),
        (patient(id="a b"), "value", "Patient.id"),
        (patient(name=[{"given": ["a", ""]}]), "value", "Patient.name[0].given[1]"),
        (patient(name=[{"family": 5}]), "value", "Patient.name[0].family"),
        (patient(birthDate={"a": 1}), "structure", "Patient.birthDate"),
        (patient(meta={"lastUpdated": "2020-01-01"}), "value", "Patient.meta.lastUpdated"),
        (observation(valueQuantity={"value": "1"}), "value", "Observation.value.value"),
        (patient(telecom=[{"rank": 0}]), "value", "Patient.telecom[0].rank"),
        (patient(photo=[{"data": "@@", "contentType": "a"}]), "value", "Patient.photo[0].data"),
        # beside primitives
        (patient(_birthDate={}), "structure", "Patient.birthDate"),
        (patient(_birthDate="x"), "structure", "Patient.birthDate"),
        (patient(_birthDate={"id": "x"}), "invariant", "Patient.birthDate"),
        (patient(_birthDate={"value": "x"}), "structure", "Patient.birthDate.value"),
        (
            patient(_birthDate={"extension": [{"url": "a"}]}),
            "invariant",
            "Patient.birthDate.extension[0]",
        ),
        (patient(name=[{"given": ["a"], "_given": ABSENT}]), "structure", "Patient.name[0].given"),
        (
            patient(name=[{"given": ["a"], "_given": [None, ABSENT]}]),
            "structure",
            "Patient.name[0].given",
        ),
        # choices
        (observation(valueString="x", valueInteger=1), "structure", "Observation.value"),
        (observation(valueString="x", _valueInteger=ABSENT), "structure", "Observation.value"),
        (observation(value="x"), "structure", "Observation.value"),
        (observation(valueAddress={"text": "x"}), "structure", "Observation.valueAddress"),
        # codes
        (patient(gender="xyz"), "code-invalid", "Patient.gender"),
        (patient(gender="Male"), "code-invalid", "Patient.gender"),
        (patient(gender=5), "value", "Patient.gender"),
        (observation(status="done"), "code-invalid", "Observation.status"),
        (condition({"text": "active"}), "code-invalid", "Condition.clinicalStatus"),
        (condition({"coding": [{"code": "active"}]}), "code-invalid", "Condition.clinicalStatus"),
        (
            condition({"coding": [{"system": CLINICAL, "code": "no"}]}),
            "code-invalid",
            "Condition.clinicalStatus",
        ),
        (
            {"resourceType": "Invoice", "status": "draft", "totalNet": {"currency": "Rs"}},
            "code-invalid",
            "Invoice.totalNet.currency",
        ),
        # references
        (observation(subject={"reference": "Practi/1"}), "value", "Observation.subject.reference"),
        (observation(subject={"reference": "List/1"}), "value", "Observation.subject.reference"),
        (observation(subject={"type": "Medication"}), "value", "Observation.subject.type"),
        (observation(subject={"reference": "#x"}), "value", "Observation.subject.reference"),
        (observation(subject="Patient/1"), "structure", "Observation.subject"),
        (condition("active"), "structure", "Condition.clinicalStatus"),
        (patient(contact=["x"]), "structure", "Patient.contact[0]"),
        (
            condition(ABSENT) | {"verificationStatus": "x"},
            "structure",
            "Condition.verificationStatus",
        ),
        # extensions and elements
        (patient(extension=[{"valueString": "x"}]), "required", "Patient.extension[0].url"),
        (patient(extension=[{"url": "a"}]), "invariant", "Patient.extension[0]"),
        (
            patient(extension=[EXTENSION | {"extension": [EXTENSION]}]),
            "invariant",
            "Patient.extension[0]",
        ),
        (patient(name=[{"id": "x"}]), "invariant", "Patient.name[0]"),
        # narrative
        (patient(text={"status": "generated", "div": "x"}), "invalid", "Patient.text.div"),
        (patient(text={"status": "generated"}), "required", "Patient.text.div"),
        # invariants
        (patient(contact=[{"gender": "male"}]), "invariant", "Patient.contact[0]"),
        (patient(telecom=[{"value": "1"}]), "invariant", "Patient.telecom[0]"),
        (observation(valueString="x", dataAbsentReason={"text": "x"}), "invariant", "Observation"),
        (
            {"resourceType": "Organization", "name": "x", "address": [{"use": "home"}]},
            "invariant",
            "Organization.address[0]",
        ),
        ({"resourceType": "Organization"}, "invariant", "Organization"),
        (
            {"resourceType": "MedicationAdministration", "status": "completed"}
            | {"medicationReference": {"display": "m"}, "subject": {"display": "s"}}
            | {"effectiveDateTime": "2020", "dosage": {"text": "x"}},
            "invariant",
            "MedicationAdministration.dosage",
        ),
        (
            {"resourceType": "Linkage", "item": [{"type": "source", "resource": {"display": "x"}}]},
            "invariant",
            "Linkage",
        ),
        # contained and entries
        (patient(contained=[patient(id="x")]), "invariant", "Patient.contained[0]"),
        (
            patient(contained=[PROVENANCE | {"resourceType": "Foo"}]),
            "structure",
            "Patient.contained[0]",
        ),
        (
            patient(contained=[PROVENANCE | {"recorded": "x"}]),
            "value",
            "Patient.contained[0].recorded",
        ),
        (
            {"resourceType": "Bundle", "type": "collection"}
            | {"entry": [{"resource": patient(name=[{"given": ["a", 5]}])}]},
            "value",
            "Bundle.entry[0].resource.name[0].given[1]",
        ),
        (
            {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"a": 1}}]},
            "structure",
            "Bundle.entry[0].resource",
        ),
        (
            {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": patient()}]},
            "invariant",
            "Bundle",
        ),
    ],
)
def test_one_fault(resource: Any, code: str, expression: str) -> None:
    assert faults(resource) == [(code, expression)]


def test_every_fault_is_found_at_once() -> None:
    resource = patient(
        nme="x",
        active="yes",
        gender="m",
        birthDate="2020-02-30",
        name=[{"given": ["a", ""]}, {"family": "b", "use": "x"}],
        managingOrganization={"reference": "Patient/1"},
        contact=[{"gender": "x"}],
    )
    assert faults(resource) == [
        ("structure", "Patient.nme"),
        ("value", "Patient.active"),
        ("code-invalid", "Patient.gender"),
        ("value", "Patient.birthDate"),
        ("value", "Patient.name[0].given[1]"),
        ("code-invalid", "Patient.name[1].use"),
        ("value", "Patient.managingOrganization.reference"),
        ("code-invalid", "Patient.contact[0].gender"),
        ("invariant", "Patient.contact[0]"),
    ]
