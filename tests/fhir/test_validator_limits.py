"""What the validator says, how much of it, and how far it goes."""

from __future__ import annotations

from typing import Any

from hie_server.fhir.validator import validate

Json = dict[str, Any]
EXTENSION = {"url": "http://x.example/e", "valueString": "x"}


def patient(**properties: Any) -> Json:
    return {"resourceType": "Patient"} | properties


def observation(**properties: Any) -> Json:
    required = {"status": "final", "code": {"text": "Pulse"}}
    return {"resourceType": "Observation"} | required | properties


def message(resource: Json) -> str:
    (issue,) = validate(resource)
    return issue.diagnostics


def test_a_message_says_what_would_be_right() -> None:
    assert message(patient(gender="m")) == 'Expected female or male or other or unknown, not "m".'
    assert message(patient(active="yes")) == 'Expected true or false, without quotes, not "yes".'
    graph = {"resourceType": "GraphDefinition", "name": "n", "status": "draft", "start": "Foo"}
    assert "a code of http://hl7.org/fhir/ValueSet/resource-types" in message(graph)
    assert "name.exists() or telecom.exists()" in message(patient(contact=[{"gender": "male"}]))


def test_a_message_repeats_neither_long_nor_personal_values() -> None:
    assert len(message(patient(gender="x" * 5000))) < 150
    assert "Asha" not in message(patient(name=[{"family": "Asha\x00"}]))
    assert "Asha" not in message(patient(name=[{"given": "Asha"}]))
    assert len(message(patient(**{"x" * 5000: 1}))) < 150


def test_a_fault_without_end_is_listed_100_times() -> None:
    issues = validate(patient(name=[{"famly": "x"}] * 100_000))
    assert len(issues) == 101 and issues[100].code == "incomplete"


def test_exactly_100_faults_are_listed_without_a_hint_at_more() -> None:
    issues = validate(patient(name=[{"famly": "x"}] * 100))
    assert len(issues) == 100 and {issue.code for issue in issues} == {"structure"}


def test_a_hundred_thousand_entries_are_valid() -> None:
    assert validate(patient(name=[{"family": "x"}] * 100_000)) == []


def nested(levels: int) -> Json:
    extension: Json = EXTENSION
    for _ in range(levels):
        extension = {"url": "http://x.example/e", "extension": [extension]}
    return patient(extension=[extension])


def test_deep_extensions_are_valid_to_a_limit() -> None:
    assert validate(nested(30)) == []
    assert validate(nested(5_000))[0].code == "too-long"


def test_rules_that_cost_too_much_are_not_all_evaluated() -> None:
    item = {"linkId": "x", "type": "string"}
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "a"}] * 20_000}
    assert validate({"resourceType": "Questionnaire", "status": "draft", "item": [item]}) == []
    assert validate(parameters)[-1].code == "incomplete"
    right = {"resourceType": "Parameters", "parameter": [{"name": "a", "valueCode": "b"}] * 15_001}
    assert [issue.code for issue in validate(right)] == ["too-costly"]


def test_conditional_references_only_where_they_are_asked_for() -> None:
    resource = observation(subject={"reference": "Patient?identifier=1"})
    assert validate(resource) and not validate(resource, allow_conditional=True)
