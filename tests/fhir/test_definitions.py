from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest

from hie_server.fhir.definitions import (
    R4,
    compartment,
    fields,
    resource_types,
    search_parameters,
    types,
    value_sets,
)

TABLES = ("types.json", "value-sets.json", "search-parameters.json", "compartments.json")


def test_returns_the_concrete_resource_types() -> None:
    assert len(resource_types()) == 146
    assert {"Patient", "Bundle", "Parameters"} <= resource_types()
    assert not {"Resource", "DomainResource", "HumanName", "Patient.contact"} & resource_types()


def test_inherited_elements_come_first_and_in_order() -> None:
    names = [element.name for element in types()["Observation"].elements]
    assert names[:5] == ["id", "meta", "implicitRules", "language", "text"]
    assert names[8:12] == ["identifier", "basedOn", "partOf", "status"]


def test_inherited_invariants_hold_too() -> None:
    assert {"obs-6", "obs-7", "dom-3"} <= types()["Observation"].rules.keys()
    assert {"age-1", "qty-3", "ele-1"} <= types()["Age"].rules.keys()


def test_warnings_are_no_invariants() -> None:
    assert "dom-6" not in types()["Patient"].rules


def test_a_choice_has_a_property_for_each_type() -> None:
    known = fields("Observation")
    element, kind = known["valueQuantity"]
    assert (element.name, element.is_choice, kind) == ("value", True, "Quantity")
    assert "value" not in known and "valueAddress" not in known


def test_a_profiled_quantity_keeps_the_name_of_its_type() -> None:
    element, kind = fields("MedicationRequest.dispenseRequest")["quantity"]
    assert (element.name, kind) == ("quantity", "SimpleQuantity")
    assert fields("Dosage.doseAndRate")["doseQuantity"][1] == "SimpleQuantity"
    assert [e.name for e in types()["SimpleQuantity"].elements if e.is_forbidden] == ["comparator"]


def test_a_content_reference_is_the_type_referred_to() -> None:
    assert fields("Observation.component")["referenceRange"][1] == "Observation.referenceRange"


def test_returns_targets_and_codes_of_an_element() -> None:
    subject, _ = fields("Observation")["subject"]
    assert subject.targets == {"Patient", "Group", "Device", "Location"}
    gender, _ = fields("Patient")["gender"]
    codes = value_sets()[gender.codes]
    assert set().union(*codes.values()) == {"male", "female", "other", "unknown"}
    assert fields("Observation")["focus"][0].targets == frozenset()


def test_ids_of_resources_and_of_elements_are_of_different_types() -> None:
    assert fields("Patient")["id"][1] == "id"
    assert fields("HumanName")["id"][1] == "string"
    assert fields("Extension")["url"][1] == "uri"


def test_returns_all_search_parameters_sorted() -> None:
    urls = [each.url for each in search_parameters()]
    assert len(urls) == 1400 and urls == sorted(urls)


def test_a_composite_names_its_components() -> None:
    found = {each.url: each for each in search_parameters()}
    parameter = found["http://hl7.org/fhir/SearchParameter/Observation-code-value-quantity"]
    assert parameter.type == "composite"
    assert parameter.component[1] == (
        "http://hl7.org/fhir/SearchParameter/Observation-value-quantity",
        "value.as(Quantity)",
    )


def test_returns_the_parameters_of_a_compartment() -> None:
    assert compartment("Patient")["Observation"] == ("subject", "performer")
    assert "Organization" not in compartment("Patient")
    with pytest.raises(KeyError):
        compartment("Organization")


def test_what_is_read_once_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        compartment("Patient")["Observation"] = ()  # type: ignore[index]
    with pytest.raises(AttributeError):
        search_parameters()[0].code = "x"  # type: ignore[misc]


def test_committed_tables_equal_a_fresh_compilation(tmp_path: Path) -> None:
    wheel = os.environ.get("HIE_R4_WHEEL")
    if not wheel:
        pytest.skip("HIE_R4_WHEEL doesn't name the wheel to compile from (profiles/r4/README.md)")
    runpy.run_path(str(R4 / "compile.py"))["main"](wheel, str(tmp_path))
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == (R4 / name).read_bytes(), name
