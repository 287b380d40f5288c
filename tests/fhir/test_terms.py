"""What is stored of a value, seen through the index."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from hie_server.fhir.index import Range, Term, index

LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"


def terms(kind: str, parameter: str, **fields: Any) -> set[tuple[str, str]]:
    """Form and value of a parameter's terms, but the one for its presence."""
    found = index({"resourceType": kind, **fields}).terms
    assert Term(parameter, "present", "") in found
    return {(t.form, t.value) for t in found if t.parameter == parameter and t.form != "present"}


def ranges(kind: str, **fields: Any) -> dict[str, tuple[float, float]]:
    return {r.parameter: (r.lo, r.hi) for r in index({"resourceType": kind, **fields}).ranges}


def test_a_coding_can_be_asked_for_in_four_forms() -> None:
    codings = [{"system": LOINC, "code": "8480-6"}, {"code": "x"}, {"system": LOINC}]
    assert terms("Observation", "code", code={"coding": codings, "text": "BP"}) == {
        ("code", "8480-6"),
        ("system|code", f"{LOINC}|8480-6"),
        ("system|", LOINC),
        ("code", "x"),
        ("|code", "x"),
    }


def test_a_concept_of_text_alone_is_only_present() -> None:
    assert terms("Observation", "code", code={"text": "BP"}) == set()


def test_system_and_code_are_never_confused() -> None:
    one = terms("Observation", "code", code={"coding": [{"system": "a|b", "code": "c"}]})
    other = terms("Observation", "code", code={"coding": [{"system": "a", "code": "b|c"}]})
    assert not {each for each in one & other if each[0] == "system|code"}


def test_an_identifier_can_be_asked_for_by_its_type() -> None:
    identifier = {
        "type": {"coding": [{"system": "http://t", "code": "MR"}, {"code": "PI"}]},
        "value": "7",
    }
    found = terms("Patient", "identifier", identifier=[identifier])
    assert found == {("code", "7"), ("|code", "7"), ("of-type", "http://t|MR|7")}


def test_a_boolean_a_code_and_a_contact_are_tokens() -> None:
    assert terms("Patient", "active", active=False) == {("code", "false"), ("|code", "false")}
    assert terms("Patient", "gender", gender="male") == {("code", "male"), ("|code", "male")}
    phone = {"system": "phone", "value": "+91 98", "use": "home"}
    assert ("code", "+91 98") in terms("Patient", "phone", telecom=[phone])


def test_a_number_on_a_token_extension_is_a_token() -> None:
    url = "http://hl7.org/fhir/StructureDefinition/observation-geneticsGene"
    extension = [{"url": url, "valueInteger": 7}]
    assert ("code", "7") in terms("Observation", "gene-identifier", extension=extension)


def test_a_string_has_a_term_for_each_prefix_to_twelve() -> None:
    found = terms("Patient", "family", name=[{"family": "Venkatanarasimha"}])
    assert ("whole", "venkatanarasimha") in found
    prefixes = {value for form, value in found if form == "prefix"}
    assert prefixes == {"venkatanarasimha"[:n] for n in range(1, 13)}


def test_a_string_of_nothing_but_marks_is_only_present() -> None:
    assert terms("Patient", "family", name=[{"family": "\u093c"}]) == set()


def test_a_relative_reference_is_found_by_id_and_without_its_version() -> None:
    found = terms("Observation", "subject", subject={"reference": "Patient/a/_history/2"})
    assert found == {("id", "a"), ("reference", "Patient/a")}
    other = terms("Observation", "subject", subject={"reference": "Organization/a"})
    assert other == {("reference", "Organization/a")}


def test_a_reference_elsewhere_is_found_by_its_url_alone() -> None:
    url = "https://elsewhere.example/fhir/Patient/a"
    found = terms("Observation", "patient", subject={"reference": f"{url}/_history/2"})
    assert found == {("reference", url)}


def test_a_contained_reference_is_only_present() -> None:
    assert terms("Observation", "subject", subject={"reference": "#p"}) == set()


def test_a_logical_reference_is_found_by_its_identifier() -> None:
    subject = {"identifier": {"system": "http://h", "value": "7"}}
    assert terms("Observation", "subject", subject=subject) == {
        ("identifier code", "7"),
        ("identifier system|code", "http://h|7"),
        ("identifier system|", "http://h"),
    }


def test_a_canonical_is_found_with_and_without_its_version() -> None:
    url = "http://x.example/Measure/1"
    found = terms("MeasureReport", "measure", measure=f"{url}|2.0")
    assert found == {("reference", url), ("reference", f"{url}|2.0")}
    found = terms("Patient", "_profile", meta={"profile": [f"{url}|2.0"]})
    assert found == {("uri", url), ("uri", f"{url}|2.0")}


def test_a_composition_in_a_document_without_id_is_only_present() -> None:
    entry = [{"resource": {"resourceType": "Composition"}}]
    assert terms("Bundle", "composition", entry=entry) == set()


def test_a_date_is_a_range_in_the_zone_that_is_given() -> None:
    patient = {"resourceType": "Patient", "birthDate": "1970-01-01"}
    assert index(patient).ranges == (Range("birthdate", 0, 86_400_000),)
    [found] = index(patient, ZoneInfo("Asia/Kolkata")).ranges
    assert found.lo == -19_800_000


def test_an_age_is_no_date() -> None:
    assert ranges("Procedure", performedAge={"value": 5}) == {}
    assert ranges("Procedure", performedString="2020") == {}
    assert "date" in ranges("Procedure", performedDateTime="2020")


def test_a_quantity_is_a_range_for_each_name_of_its_unit() -> None:
    quantity = {"value": 5, "system": UCUM, "code": "mg", "unit": "milligram"}
    found = ranges("Observation", valueQuantity=quantity)
    assert {name: each for name, each in found.items() if name.startswith("value")} == {
        "value-quantity": (5, 5),
        f"value-quantity|{UCUM}|mg": (5, 5),
        "value-quantity||mg": (5, 5),
        "value-quantity||milligram": (5, 5),
    }


def test_a_number_is_a_point() -> None:
    prediction = [{"probabilityDecimal": 1}]
    assert ranges("RiskAssessment", prediction=prediction) == {"probability": (1, 1)}
