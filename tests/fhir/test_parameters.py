"""What operations are asked with: URLs, Parameters, and the table of operations."""

from __future__ import annotations

from typing import Any

import pytest

from hie_server.fhir.outcomes import FhirError
from hie_server.fhir.parameters import (
    Parameter,
    check,
    from_body,
    from_url,
    operations,
    parameters,
)
from hie_server.fhir.validator import validate

PART = {"code": Parameter("code", 1, 1, {})}
DECLARED = {
    "start": Parameter("date", 0, 1, {}),
    "count": Parameter("integer", 0, 1, {}),
    "deep": Parameter("boolean", 0, 1, {}),
    "type": Parameter("code", 0, None, {}),
    "coding": Parameter("Coding", 0, 1, {}),
    "resource": Parameter("Resource", 0, 1, {}),
    "match": Parameter("", 0, None, PART),
}


def body(*listed: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(listed)}


def refused(status: int = 400) -> Any:
    return pytest.raises(FhirError, match=str(status))


def test_a_url_gives_json_values_in_order() -> None:
    pairs = [("type", "A"), ("count", "-3"), ("type", "B"), ("deep", "true"), ("_format", "json")]
    assert from_url(pairs, DECLARED) == {"type": ["A", "B"], "count": [-3], "deep": [True]}


@pytest.mark.parametrize(
    "name, text, told",
    [
        ("start", "2020-02-30", "YYYY"),
        ("count", "one", "whole number"),
        ("count", "9" * 30, "whole number"),
        ("deep", "True", "true or false"),
        ("coding", "a|b", "POST"),
        ("resource", "{}", "POST"),
        ("match", "x", "POST"),
        ("misspelt", "x", "no parameter"),
    ],
)
def test_a_wrong_value_in_a_url_says_what_would_be_right(name: str, text: str, told: str) -> None:
    with pytest.raises(FhirError, match=told):
        from_url([(name, text)], DECLARED)


def test_a_body_gives_values_objects_resources_and_parts() -> None:
    patient = {"resourceType": "Patient", "gender": "not one of R4's"}
    given = from_body(
        body(
            {"name": "count", "valueInteger": 3},
            {"name": "coding", "valueCoding": {"code": "x"}},
            {"name": "resource", "resource": patient},
            {"name": "match", "part": [{"name": "code", "valueCode": "a"}]},
        ),
        DECLARED,
    )
    assert given.pop("match") == [{"code": ["a"]}]
    assert given == {"count": [3], "coding": [{"code": "x"}], "resource": [patient]}


@pytest.mark.parametrize(
    "said, status",
    [
        ({"name": "count", "valueString": "3"}, 400),
        ({"name": "count", "valueInteger": "3"}, 422),
        ({"name": "resource", "valueString": "x"}, 400),
        ({"name": "resource", "resource": 3}, 422),
        ({"name": "misspelt", "valueString": "x"}, 400),
        ({"name": "match", "part": [{"name": "other", "valueCode": "x"}]}, 400),
        ({"valueString": "x"}, 422),
    ],
)
def test_a_wrong_body_is_refused(said: dict[str, Any], status: int) -> None:
    with refused(status):
        from_body(body(said), DECLARED)


def test_a_resource_alone_stands_for_the_only_one_that_can_be_given() -> None:
    patient = {"resourceType": "Patient"}
    assert from_body(patient, DECLARED) == {"resource": [patient]}
    with refused():
        from_body(patient, {"count": DECLARED["count"]})


def test_what_is_given_too_often_or_not_at_all_is_refused() -> None:
    check({"start": ["2020"], "type": ["A", "B"], "match": [{"code": ["a"]}]}, DECLARED)
    with refused():
        check({"start": ["2020", "2021"]}, DECLARED)
    with refused():
        check({"match": [{}]}, DECLARED)


def test_parameters_that_are_written_are_valid() -> None:
    written = parameters(
        [
            ("result", "boolean", True),
            ("match", "part", [("code", "code", "x")]),
            ("return", "resource", {"resourceType": "Patient"}),
        ]
    )
    assert validate(written) == []
    assert [each["name"] for each in written["parameter"]] == ["result", "match", "return"]


def test_every_operation_can_be_asked_somewhere_under_one_code_once() -> None:
    places = [
        (each.code, place)
        for each in operations().values()
        for place in [
            *(("system",) if each.system else ()),
            *(f"type {kind}" for kind in each.type),
            *(f"instance {kind}" for kind in each.instance),
        ]
    ]
    assert len(places) == len(set(places)) and {code for code, _ in places} == {
        each.code for each in operations().values()
    }
