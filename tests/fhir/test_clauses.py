from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from hie_server.fhir.clauses import Clause
from hie_server.fhir.outcomes import FhirError
from hie_server.fhir.query import parse_query
from hie_server.fhir.spans import Span
from hie_server.fhir.terms import Term


def clause(kind: str, name: str, value: str) -> Clause:
    return parse_query(kind, [(name, value)]).clauses[0]


def refusal(kind: str, name: str, value: str) -> str:
    with pytest.raises(FhirError) as caught:
        clause(kind, name, value)
    assert caught.value.status == 400
    [issue] = caught.value.issues
    return issue.diagnostics


@pytest.mark.parametrize(
    ("kind", "name", "value", "form", "asked"),
    [
        ("Patient", "identifier", "7", "code", "7"),
        ("Patient", "identifier", "http://h|7", "system|code", "http://h|7"),
        ("Patient", "identifier", r"http://h|a\|b", "system|code", r"http://h|a\|b"),
        ("Patient", "identifier", r"a\,b", "code", "a,b"),
        ("Patient", "identifier", "|7", "|code", "7"),
        ("Patient", "identifier", "http://h|", "system|", "http://h"),
        ("Patient", "identifier:not", "7", "code", "7"),
        ("Patient", "identifier:of-type", "http://t|MR|7", "of-type", "http://t|MR|7"),
        ("Patient", "identifier:text", "MR", "present", ""),
        ("Patient", "identifier:missing", "false", "present", ""),
        ("Patient", "name", "  Rāmesh ", "prefix", "ramesh"),
        ("Patient", "name", "Venkatanarasimha", "prefix", "venkatanaras"),
        ("Patient", "name:exact", "Rāmesh", "whole", "ramesh"),
        ("Patient", "name:contains", "mesh", "present", ""),
        ("Observation", "patient", "a", "id", "a"),
        ("Observation", "patient", "Patient/a", "reference", "Patient/a"),
        ("Observation", "patient", "Patient/a/_history/2", "reference", "Patient/a"),
        ("Observation", "patient:Patient", "a", "reference", "Patient/a"),
        ("Observation", "subject", "http://h/Patient/a", "reference", "http://h/Patient/a"),
        ("Observation", "subject", "urn:uuid:1", "reference", "urn:uuid:1"),
        ("Observation", "subject:identifier", "http://h|7", "identifier system|code", "http://h|7"),
        ("MeasureReport", "measure", "http://m/1|2", "reference", "http://m/1|2"),
        ("Patient", "_profile", "http://p", "uri", "http://p"),
    ],
)
def test_a_value_asks_for_one_term(
    kind: str, name: str, value: str, form: str, asked: str
) -> None:
    parameter = name.partition(":")[0]
    assert clause(kind, name, value).any_of == (Term(parameter, form, asked),)


@pytest.mark.parametrize(
    ("name", "value", "exact"),
    [
        ("name", "twelve chars", True),
        ("name", "thirteen chars", False),
        ("name", "ram,thirteen chars", False),
        ("name:exact", "ram", False),
        ("name:contains", "ram", False),
        ("identifier:text", "ram", False),
        ("identifier:not", "ram", True),
        ("identifier", "longer than twelve", True),
    ],
)
def test_a_clause_says_whether_terms_suffice(name: str, value: str, exact: bool) -> None:
    assert clause("Patient", name, value).exact is exact


@pytest.mark.parametrize(
    ("name", "value", "negated"),
    [
        ("gender", "male", False),
        ("gender:not", "male", True),
        ("gender:missing", "true", True),
        ("gender:missing", "false", False),
    ],
)
def test_a_clause_says_whether_it_is_negated(name: str, value: str, negated: bool) -> None:
    assert clause("Patient", name, value).negated is negated


def test_commas_are_alternatives_and_repetitions_conditions() -> None:
    query = parse_query("Patient", [("gender", "male,female"), ("gender", "male,male")])
    both, one = query.clauses
    assert both.values == ("male", "female")
    assert [each.value for each in both.any_of if isinstance(each, Term)] == ["male", "female"]
    assert len(one.any_of) == 1


def test_a_quantity_demands_value_and_unit_of_one_range() -> None:
    found = clause("Observation", "value-quantity", "5.0|http://unitsofmeasure.org|mg")
    name = "value-quantity|http://unitsofmeasure.org|mg"
    assert found.any_of == (Span(name, lo_gte=4.95, hi_lt=5.05),)
    found = clause("Observation", "value-quantity", "gt5||mg")
    assert found.any_of == (Span("value-quantity||mg", hi_gt=5.0),)


def test_a_number_asks_for_its_interval() -> None:
    found = clause("RiskAssessment", "probability", "0.5")
    assert found.any_of == (Span("probability", lo_gte=0.45, hi_lt=0.55),)


def test_a_date_is_of_the_zone_of_the_query() -> None:
    zone = ZoneInfo("Asia/Kolkata")
    query = parse_query("Patient", [("birthdate", "1970-01-01")], zone=zone)
    assert query.clauses[0].any_of == (Span("birthdate", lo_gte=-19_800_000, hi_lte=66_600_000),)


def test_a_plus_that_became_a_space_is_a_plus() -> None:
    one = clause("Observation", "date", "ge2024-05-31T10:00:00 05:30")
    assert one.any_of == clause("Observation", "date", "ge2024-05-31T10:00:00+05:30").any_of


def test_the_last_update_is_asked_of_the_row() -> None:
    found = clause("Patient", "_lastUpdated", "gt1970-01-01")
    assert (found.kind, found.any_of) == ("updated", (Span("_lastUpdated", hi_gt=86_400_000),))


def test_ids_are_values_alone() -> None:
    found = clause("Patient", "_id", "a,b")
    assert (found.kind, found.values, found.any_of) == ("id", ("a", "b"), ())


@pytest.mark.parametrize(
    ("kind", "name", "value", "right"),
    [
        ("Patient", "identifier", "a|b|c", "system|code"),
        ("Patient", "identifier", "|", "system|code"),
        ("Patient", "identifier:of-type", "MR|7", "system|code|value"),
        ("Patient", "identifier:of-type", "|MR|7", "system|code|value"),
        ("Patient", "identifier:text", "\u093c", "a text"),
        ("Patient", "name", " ", "a text"),
        ("Patient", "name:contains", "\u093c", "a text"),
        ("Patient", "gender:missing", "yes", "true or false"),
        ("Patient", "gender:missing", "true,false", "true or false"),
        ("Patient", "birthdate", "yesterday", "a date"),
        ("Patient", "birthdate", "2024-02-30", "a date"),
        ("Patient", "birthdate", "gt", "a date"),
        ("Patient", "birthdate", "xx2024", "a date"),
        ("Patient", "_lastUpdated", "2024-1", "a date"),
        ("Patient", "_id", "a b", "an id"),
        ("Patient", "_id", "Patient/a", "an id"),
        ("RiskAssessment", "probability", "much", "a number"),
        ("RiskAssessment", "probability", "gt", "a number"),
        ("Observation", "value-quantity", "5|mg", "number|system|code"),
        ("Observation", "value-quantity", "5|http://u|", "number|system|code"),
        ("Observation", "value-quantity", "|http://u|mg", "a number"),
        ("Observation", "patient", "Patient/a b", "an id, Type/id"),
        ("Observation", "patient", "Patience/a", "an id, Type/id"),
        ("Observation", "patient", "Organization/a", "a reference to Group or Patient"),
        ("Observation", "subject:Patient", "Patient/a", "the id of a Patient"),
        ("Observation", "subject:identifier", "a|b|c", "system|code"),
    ],
)
def test_a_bad_value_is_refused_with_what_would_be_right(
    kind: str, name: str, value: str, right: str
) -> None:
    found = refusal(kind, name, value)
    assert name.partition(":")[0] in found and right in found


@pytest.mark.parametrize(
    ("kind", "name", "has"),
    [
        ("Patient", "gender:exact", "missing, not, text, of-type"),
        ("Patient", "name:not", "missing, exact, contains"),
        ("Patient", "birthdate:not", "missing"),
        ("Observation", "subject:Organization", "missing, identifier"),
        ("Patient", "_profile:below", "missing"),
    ],
)
def test_an_unknown_modifier_is_refused_with_those_that_there_are(
    kind: str, name: str, has: str
) -> None:
    assert has in refusal(kind, name, "x")
