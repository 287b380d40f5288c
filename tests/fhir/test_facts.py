"""Whom a record is about, of what kind, from when, how confidential."""

from __future__ import annotations

from typing import Any

import pytest

from hie_server.fhir.dates import bounds
from hie_server.fhir.facts import (
    CONFIDENTIALITY,
    HI_TYPE,
    RESOURCE_TYPES,
    SENSITIVITY,
    Facts,
    about_a_person,
    read_facts,
)

PRESCRIPTION = "https://nrces.in/ndhm/fhir/r4/StructureDefinition/PrescriptionRecord"
Json = dict[str, Any]


def facts(kind: str, **elements: Any) -> Facts:
    return read_facts({"resourceType": kind, "id": "1", **elements}, "Organization/a")


def label(system: str, code: str) -> Json:
    return {"system": system, "code": code}


def to(reference: str) -> Json:
    return {"reference": reference}


def test_a_patient_is_about_itself_and_its_links_are_nobody_else() -> None:
    found = facts("Patient", link=[{"other": to("Patient/2"), "type": "seealso"}])
    assert (found.patient, found.others) == ("Patient/1", frozenset())


def test_the_subject_comes_before_whoever_else_is_named() -> None:
    found = facts("Observation", performer=[to("Patient/2")], subject=to("Patient/9"))
    assert (found.patient, found.others) == ("Patient/9", frozenset({"Patient/2"}))


@pytest.mark.parametrize(
    "subject",
    [
        {"identifier": {"value": "91-1234"}},
        to("Group/1"),
        to("https://elsewhere.example/fhir/Patient/1"),
        to("urn:uuid:00000000-0000-4000-8000-000000000001"),
        to("#contained"),
        {"display": "Asha"},
    ],
)
def test_only_a_literal_reference_to_a_patient_here_names_one(subject: Json) -> None:
    assert facts("Observation", subject=subject).patient is None


def test_a_version_is_no_other_patient() -> None:
    assert facts("Observation", subject=to("Patient/9/_history/2")).patient == "Patient/9"


def test_a_document_is_about_its_compositions_subject_and_all_its_entries_patients() -> None:
    entries = [
        {"resourceType": "Composition", "subject": to("Patient/9"), "date": "2021-12-09"},
        {"resourceType": "Patient", "id": "9"},
        {"resourceType": "Observation", "subject": to("Patient/9")},
        {"resourceType": "Condition", "subject": to("Patient/2")},
    ]
    found = facts("Bundle", type="document", entry=[{"resource": each} for each in entries])
    assert (found.patient, found.others) == ("Patient/9", frozenset({"Patient/2"}))
    assert found.when == bounds("2021-12-09")


def test_an_empty_bundle_is_about_nobody() -> None:
    assert facts("Bundle", type="document") == Facts(
        "Bundle/1",
        "Bundle",
        "Organization/a",
        kinds=frozenset({f"{RESOURCE_TYPES}|Bundle"}),
        mentions=frozenset({f"{RESOURCE_TYPES}|Bundle"}),
    )


@pytest.mark.parametrize(
    ("labels", "rank", "sensitivities"),
    [
        ([], 4, set()),
        ([label(CONFIDENTIALITY, "N")], 3, set()),
        ([label(CONFIDENTIALITY, "N"), label(CONFIDENTIALITY, "V")], 5, set()),
        ([label(SENSITIVITY, "HIV")], 4, {"HIV"}),
        ([label("https://example.org", "V"), label(CONFIDENTIALITY, "?")], 4, set()),
    ],
)
def test_the_highest_label_counts_and_none_is_restricted(
    labels: list[Json], rank: int, sensitivities: set[str]
) -> None:
    found = facts("Observation", meta={"security": labels})
    assert (found.rank, found.labels) == (rank, sensitivities)


def test_what_is_inside_raises_the_whole() -> None:
    inner = {"resourceType": "Observation", "meta": {"security": [label(CONFIDENTIALITY, "V")]}}
    low = {"security": [label(CONFIDENTIALITY, "L")]}
    assert facts("Observation", meta=low, contained=[inner]).rank == 5
    assert facts("Bundle", type="document", meta=low, entry=[{"resource": inner}]).rank == 5
    unlabelled = {"resourceType": "Observation"}
    assert facts("Bundle", type="document", meta=low, entry=[{"resource": unlabelled}]).rank == 1


def test_the_kinds_are_type_profiles_information_type_and_codings() -> None:
    category = [{"coding": [{"system": "s", "code": "lab"}, {"code": "no system"}]}]
    found = facts(
        "Observation",
        meta={"profile": [f"{PRESCRIPTION}|2.0"]},
        category=category,
        code={"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
    )
    assert found.kinds == {
        f"{RESOURCE_TYPES}|Observation",
        f"urn:ietf:rfc:3986|{PRESCRIPTION}",
        f"{HI_TYPE}|Prescription",
        "s|lab",
        "http://loinc.org|718-7",
    }


def test_a_document_is_of_its_compositions_kinds_too() -> None:
    kind = {"coding": [{"system": "http://snomed.info/sct", "code": "440545006"}]}
    composition = {"resourceType": "Composition", "type": kind}
    found = facts("Bundle", type="document", entry=[{"resource": composition}])
    assert "http://snomed.info/sct|440545006" in found.kinds


@pytest.mark.parametrize(
    ("kind", "elements", "when"),
    [
        ("Observation", {"effectiveDateTime": "2021-11-03", "issued": "2022-01-01T00:00:00Z"},
         bounds("2021-11-03")),
        ("Observation", {"issued": "2022-01-01T00:00:00Z"}, bounds("2022-01-01T00:00:00Z")),
        ("DocumentReference", {"context": {"period": {"start": "2021"}}, "date": "2020"},
         bounds({"start": "2021"})),
        ("Observation", {"meta": {"lastUpdated": "2022-01-01T00:00:00Z"}}, None),
        ("Binary", {}, None),
    ],
)  # fmt: skip
def test_care_is_dated_by_the_first_clinical_date(kind: str, elements: Json, when: Any) -> None:
    assert facts(kind, **elements).when == when


def test_authors_and_references_are_found_wherever_they_are() -> None:
    found = facts(
        "DocumentReference",
        author=[to("Practitioner/1"), {"display": "nobody"}],
        authenticator=to("Practitioner/2"),
        content=[{"attachment": {"url": "Binary/3"}}],
    )
    assert found.authors == {"Practitioner/1", "Practitioner/2"}
    assert found.refs >= {"Practitioner/1", "Practitioner/2", "Binary/3"}
    procedure = facts("Procedure", performer=[{"actor": to("Practitioner/1")}])
    assert procedure.authors == {"Practitioner/1"}


def test_types_of_a_life_record_are_told_from_those_about_nobody() -> None:
    assert all(about_a_person(kind) for kind in ("Observation", "Patient", "Bundle", "Group"))
    assert not any(about_a_person(kind) for kind in ("Binary", "Medication", "Practitioner"))


NOON = "2024-01-01T12:00:00Z"
SNOMED = "http://snomed.info/sct"
CODED = {"coding": [{"system": SNOMED, "code": "86406008"}]}


@pytest.mark.parametrize(
    ("kind", "elements"),
    [
        ("MedicationRequest", {"medicationCodeableConcept": CODED}),
        ("Observation", {"component": [{"code": CODED}]}),
        ("Observation", {"valueCodeableConcept": CODED}),
        ("DiagnosticReport", {"conclusionCode": [CODED]}),
        ("Observation", {"contained": [{"resourceType": "Condition", "code": CODED}]}),
        ("Bundle", {"entry": [{"resource": {"resourceType": "Condition", "code": CODED}}]}),
    ],
)
def test_a_veto_is_held_against_every_coding_at_any_depth(kind: str, elements: Json) -> None:
    found = facts(kind, **elements)
    assert f"{SNOMED}|86406008" in found.mentions - found.kinds


def test_a_veto_is_held_against_what_is_carried() -> None:
    inner = {"resourceType": "Condition", "recorder": to("Practitioner/2")}
    found = facts("Observation", contained=[inner], performer=[to("Practitioner/1/_history/3")])
    assert f"{RESOURCE_TYPES}|Condition" in found.mentions - found.kinds
    assert (found.authors, found.any_authors) == (
        {"Practitioner/1"},
        {"Practitioner/1", "Practitioner/2"},
    )


@pytest.mark.parametrize(
    ("kind", "elements", "span"),
    [
        ("Condition", {"onsetDateTime": "2019", "recordedDate": "2020"},
         (bounds("2019")[0], bounds("2020")[1])),
        ("Observation", {"effectiveTiming": {"code": {"text": "x"}}, "issued": NOON}, None),
        ("Immunization", {"occurrenceString": "spring 2020", "recorded": "2024"}, None),
        ("Condition", {"onsetAge": {"value": 7}, "recordedDate": "2024"}, None),
        ("Observation", {}, None),
    ],
)  # fmt: skip
def test_the_span_of_a_veto_is_all_that_care_may_have_taken(
    kind: str, elements: Json, span: Any
) -> None:
    assert facts(kind, **elements).span == span


def test_a_document_spans_its_entries() -> None:
    entries = [
        {"resourceType": "Composition", "date": "2024"},
        {"resourceType": "Observation", "effectiveDateTime": "2020"},
    ]
    found = facts("Bundle", type="document", entry=[{"resource": each} for each in entries])
    assert found.span == (bounds("2020")[0], bounds("2024")[1])
    assert found.when == bounds("2024")


@pytest.mark.parametrize(
    "elements",
    [
        {"contained": [{"resourceType": "Condition", "subject": to("Patient/2")}]},
        {"note": [{"authorReference": to("Patient/2")}]},
        {"extension": [{"url": "x", "valueReference": to("Patient/2/_history/1")}]},
    ],
)
def test_whoever_else_is_named_anywhere_counts(elements: Json) -> None:
    found = facts("Observation", subject=to("Patient/9"), **elements)
    assert (found.patient, found.others) == ("Patient/9", {"Patient/2"})


def test_a_document_that_carries_another_patient_names_them() -> None:
    entries = [
        {"resourceType": "Composition", "subject": to("Patient/9")},
        {"resourceType": "Patient", "id": "2"},
    ]
    found = facts("Bundle", type="document", entry=[{"resource": each} for each in entries])
    assert (found.patient, found.others) == ("Patient/9", {"Patient/2"})
