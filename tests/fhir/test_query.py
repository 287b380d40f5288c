from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hie_server.fhir.outcomes import FhirError
from hie_server.fhir.query import NEWEST_FIRST, Query, named, parse_query, widen
from hie_server.fhir.spans import PREFIXES
from hie_server.fhir.terms import Term

Pairs = list[tuple[str, str]]


def test_a_query_of_nothing_has_defaults() -> None:
    assert parse_query("Patient", []) == Query("Patient", ())
    query = parse_query("Patient", [])
    assert (query.sort, query.count, query.total, query.summary) == (NEWEST_FIRST, 20, "none", "")


def test_controls_are_no_clauses() -> None:
    pairs = [
        ("_count", "5"),
        ("_sort", "_lastUpdated"),
        ("_total", "accurate"),
        ("_summary", "count"),
        ("_cursor", "xyz"),
        ("_format", "json"),
        ("_pretty", "true"),
    ]
    query = parse_query("Patient", pairs)
    assert query == Query(
        "Patient",
        (),
        sort=(("_lastUpdated", False),),
        count=5,
        total="accurate",
        summary="count",
        cursor="xyz",
        applied=tuple(pair for pair in pairs if pair[0] != "_cursor"),
    )


@pytest.mark.parametrize(("asked", "count"), [("1", 1), ("07", 7), ("1000", 1000), ("9999", 1000)])
def test_a_page_has_at_most_a_thousand(asked: str, count: int) -> None:
    assert parse_query("Patient", [("_count", asked)]).count == count


def test_a_page_of_none_is_the_total_alone() -> None:
    assert parse_query("Patient", [("_count", "0")]).summary == "count"
    assert parse_query("Patient", [("_count", "00"), ("_summary", "false")]).summary == "count"
    assert parse_query("Patient", [("_count", "1")]).summary == ""


def test_newest_first_can_be_asked_for() -> None:
    assert parse_query("Patient", [("_sort", "-_lastUpdated")]).sort == NEWEST_FIRST
    assert parse_query("Patient", [("_summary", "false")]).summary == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_count", "-1"),
        ("_count", "many"),
        ("_count", "1.5"),
        ("_count", "१"),
        ("_count", "9" * 1001),
        ("_sort", "surname"),
        ("_sort", "_lastUpdated,"),
        ("_sort", "name,birthdate,gender,family,given,_id"),
        ("_total", "maybe"),
        ("_summary", "true"),
        ("_elements", "surname"),
        ("_elements", "name,"),
        ("_include", "Observation:subject"),
        ("_revinclude", "Observation:subject"),
        ("_has:Observation:patient:nonsense", "x"),
        ("_text", "x"),
        ("_content", "x"),
        ("_filter", "x"),
        ("_query", "x"),
        ("_list", "x/y"),
        ("_type", "Patient"),
        ("general-practitioner.nonsense", "x"),
        ("general-practitioner:Patient.name", "x"),
        ("_id:not", "x"),
        ("_lastUpdated:missing", "true"),
        ("nonsense", "x"),
        ("Name", "x"),
        ("name:", "x"),
        ("name:soundslike", "x"),
        ("name", ""),
        ("gender", "male,"),
        ("gender", ",male"),
        ("", "x"),
        ("family", "a\0b"),
        ("family", "a\nb"),
        ("family", "a\x85b"),
        ("family", "\ud800"),
        ("fam\0ily", "x"),
        ("family", "x" * 1001),
        ("family", "x," * 1000 + "x"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(FhirError) as caught:
        parse_query("Patient", [("active", "true"), (name, value)])
    assert caught.value.status == 400
    [issue] = caught.value.issues
    last = re.split("[.:]", name.removeprefix("_has:")) if "nonsense" in name else [name]
    assert last[-1].partition("\0")[0].partition(":")[0] in issue.diagnostics


def test_returns_what_to_sort_by_and_answer_with() -> None:
    query = parse_query("Patient", [("_sort", "-birthdate,name"), ("_elements", "name,birthDate")])
    assert query.sort == (("birthdate", True), ("name", False)) and not query.by_update
    assert query.elements == ("name", "birthDate")


def test_a_search_has_at_most_a_hundred_parameters() -> None:
    assert len(parse_query("Patient", [("gender", "male")] * 100).clauses) == 100
    with pytest.raises(FhirError, match="at most 100 parameters"):
        parse_query("Patient", [("gender", "male")] * 101, lenient=True)


def test_an_unknown_parameter_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(FhirError, match="_id, _lastUpdated, .*birthdate, .*gender"):
        parse_query("Patient", [("sex", "male")])


@pytest.mark.parametrize("name", ["_count", "_sort", "_total", "_summary", "_cursor", "_elements"])
def test_a_control_is_given_once(name: str) -> None:
    values = {"_sort": "_id", "_total": "none", "_summary": "count", "_elements": "id"}
    value = values.get(name, "1")
    for lenient in (False, True):
        with pytest.raises(FhirError, match=f"{name} is given more than once"):
            parse_query("Patient", [(name, value), (name, value)], lenient=lenient)


def test_lenient_drops_what_is_unknown_and_says_so() -> None:
    pairs = [
        ("nonsense", "x"),
        ("gender:above", "x"),
        ("_include", "x"),
        ("_sort", "surname"),
        ("_count", "-0"),
        ("name", ""),
        ("gender", "male"),
        ("_format", "json"),
    ]
    query = parse_query("Patient", pairs, lenient=True)
    assert query.applied == (("gender", "male"), ("_format", "json"))
    assert [clause.parameter for clause in query.clauses] == ["gender"]
    assert query.count == 20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("birthdate", "soon"),
        ("identifier", "a|b|c"),
        ("_id", "a b"),
        ("gender:missing", "x"),
        ("family", "a\0b"),
        ("family", "x" * 1001),
        ("organization", "Patient/a"),
    ],
)
def test_lenient_never_drops_a_filter_that_is_known(name: str, value: str) -> None:
    with pytest.raises(FhirError):
        parse_query("Patient", [(name, value)], lenient=True)


def references(kind: str, pairs: Pairs) -> list[str]:
    query = parse_query(kind, pairs)
    return [f"{c.parameter}:{c.modifier}" for c in query.references("Patient")]


def test_returns_the_clauses_that_may_name_a_patient() -> None:
    pairs = [
        ("patient", "a"),
        ("subject", "Group/b"),
        ("subject:Patient", "c"),
        ("subject:Group", "d"),
        ("subject:identifier", "e"),
        ("subject:missing", "false"),
        ("encounter", "f"),
        ("code", "g"),
        ("_id", "h"),
    ]
    assert references("Observation", pairs) == ["patient:", "subject:", "subject:Patient"]
    assert references("Patient", [("_id", "a"), ("link", "b")]) == ["_id:", "link:"]


def test_returns_the_patients_that_a_clause_may_mean() -> None:
    value = "a,Patient/b/_history/1,Group/c,https://elsewhere.example/Patient/d,a"
    [clause] = parse_query("Observation", [("subject", value)]).clauses
    assert named(clause, "Patient") == ("Patient/a", "Patient/b")


def test_a_widened_clause_is_met_by_more() -> None:
    [clause] = parse_query("Observation", [("subject", "a,Group/g")]).clauses
    wider = widen(clause, ["Patient/a", "Patient/b", "a"])
    assert wider.values == ("a", "Group/g", "Patient/a", "Patient/b")
    assert wider.any_of == (
        Term("subject", "id", "a"),
        Term("subject", "reference", "Group/g"),
        Term("subject", "reference", "Patient/a"),
        Term("subject", "reference", "Patient/b"),
    )


def test_widened_ids_stay_ids() -> None:
    [clause] = parse_query("Patient", [("_id", "a")]).clauses
    assert widen(clause, ["Patient/b", "Patient/a", "c"]).values == ("a", "b", "c")


NAMES = ["identifier", "family", "birthdate", "organization", "_profile", "_id", "_count", "_sort"]
MODIFIERS = ["", ":missing", ":exact", ":not", ":of-type", ":identifier", ":text", ":Organization"]


@given(
    st.builds("{}{}".format, st.sampled_from(NAMES), st.sampled_from(MODIFIERS)) | st.text(),
    st.builds("{}{}".format, st.sampled_from(["", *PREFIXES]), st.text()),
    st.booleans(),
)
def test_any_text_is_answered_or_refused(name: str, value: str, lenient: bool) -> None:
    try:
        query = parse_query("Patient", [(name, value)], lenient=lenient)
    except FhirError as error:
        assert error.status == 400
    else:
        assert all(clause.any_of or clause.kind == "id" for clause in query.clauses)


@given(st.sampled_from(["probability"]), st.from_regex(r"[-+.0-9eE|,]{1,12}", fullmatch=True))
def test_any_digits_are_answered_or_refused(name: str, value: str) -> None:
    for kind, code in (("RiskAssessment", name), ("Observation", "value-quantity")):
        try:
            parse_query(kind, [(code, value)])
        except FhirError as error:
            assert error.status == 400
