"""Operations are found by level and code; what is asked wrongly is told."""

from __future__ import annotations

from hie_server.fhir.parameters import operations
from hie_server.web.operations import HANDLERS
from tests.support import Api


def test_every_operation_has_its_handler() -> None:
    assert HANDLERS.keys() == operations().keys()


def test_versions_are_told(api: Api) -> None:
    for answer in (api.get("$versions"), api("POST", "$versions")):
        said = {each["name"]: each["valueCode"] for each in answer.json["parameter"]}
        assert (answer.status_code, said) == (200, {"version": "4.0", "default": "4.0"})


def test_what_is_not_served_here_is_told(api: Api) -> None:
    for path in ("$nope", "Patient/$versions", "Patient/x/$nope"):
        answer = api.get(path)
        assert answer.status_code == 404
        assert answer.json["issue"][0]["code"] == "not-supported"


def test_unknown_parameters_are_refused(api: Api) -> None:
    assert api.get("$versions?deep=true").status_code == 400
    body = {"resourceType": "Parameters", "parameter": [{"name": "x", "valueCode": "y"}]}
    assert api.post("$versions", body).status_code == 400


def test_operations_are_in_the_statement_and_in_the_journal(api: Api) -> None:
    assert "versions" in {each["name"] for each in api.get("metadata").json["rest"][0]["operation"]}
    api.get("$versions")
    found = api.get("AuditEvent?subtype=operation").json
    assert [each["resource"]["entity"] for each in found["entry"]]
