"""Nothing of any shape gives a fault: requests drawn from parts that are odd in many ways."""

from __future__ import annotations

from decimal import Decimal
from typing import Iterator
from unittest import mock

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import Api, District, body_of, ids, observation

METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
KINDS = ["Observation", "Patient", "AuditEvent", "Consent", "Binary", "Bundle", "Nope", "metadata"]
ODD_TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "%", "%zz", "%00", "%ff", "%ed%a0%80", "..", "~", "$", "|", ",", "\\", "a|b|c|d", "²",
         "9" * 400, "-1", "NaN", "1e999", "1e-999", "0001", "9999-12-31T23:59:60Z", "ne2024", "ap1",
         "Patient/1", "Patient/1/_history/1", "http://[::1", "urn:uuid:x", "#a", "é", "\U0001f600"]
    ),
)
NAMES = st.one_of(
    st.sampled_from(
        ["_id", "_count", "_sort", "_total", "_summary", "_cursor", "_format", "_lastUpdated",
         "code", "code:not", "code:text", "code:of-type", "subject", "patient", "date", "action",
         "patient:identifier", "subject:Patient", "value-quantity", "entity", "agent:identifier",
         "name:exact", "name:contains", "birthdate", "identifier", "url", "code:missing", "agent",
         "entity:identifier", "type:text", "outcome:not", "_has:Observation:patient:code",
         "_elements", "_before", "probability", "_include"]
    ),
    ODD_TEXT,
)
QUERIES = st.lists(st.tuples(NAMES, ODD_TEXT), max_size=3)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), ODD_TEXT)
KEYS = st.one_of(
    st.sampled_from(
        ["id", "meta", "extension", "contained", "status", "_status", "code", "subject", "note",
         "name", "birthDate", "entry", "type", "resource", "provision", "reference", "coding",
         "effectiveDateTime", "valueQuantity", "value", "resourceType", "security", "link"]
    ),
    st.text(max_size=4),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
BODIES = st.one_of(st.none(), st.binary(max_size=30), st.dictionaries(KEYS, TREES, max_size=5))
HEADERS = st.dictionaries(
    st.sampled_from(["If-Match", "Prefer", "Accept", "X-Request-Id", "Content-Type", "Range",
                     "If-None-Exist", "Authorization", "Content-Length", "If-None-Match"]),
    st.one_of(
        st.sampled_from(['W/"1"', "handling=lenient", "return=minimal", "*/*", "text/html", "x",
                         "application/x-www-form-urlencoded", "application/fhir+json", "-1", ""]),
        st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=10),
    ),
    max_size=2,
)
TAILS = st.lists(
    st.one_of(st.sampled_from(["_history", "_search", "1", "KNOWN", ""]), ODD_TEXT), max_size=3
)


@pytest.fixture
def known(api: Api) -> str:
    return api.store(observation("Patient/1")).partition("/")[2]


@pytest.fixture
def faults() -> Iterator[mock.Mock]:
    with mock.patch("hie_server.web.gate.log") as log:
        yield log.error


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_no_request_of_any_shape_makes_a_fault(
    district: District, api: Api, known: str, faults: mock.Mock, data: st.DataObject
) -> None:
    faults.reset_mock()
    kind = data.draw(st.sampled_from(KINDS))
    tail = [known if each == "KNOWN" else each for each in data.draw(TAILS)]
    body = data.draw(BODIES)
    if isinstance(body, dict) and data.draw(st.booleans()):
        body = {**body, "resourceType": kind}
    more = {"query_string": query} if (query := data.draw(QUERIES)) else {}
    headers = data.draw(HEADERS)
    path = "/".join([kind, *tail]).replace("?", "").replace("#", "")
    answer = api(data.draw(METHODS), path, _sent(body), headers=headers, **more)
    assert answer.status_code < 500, faults.call_args
    assert not faults.called, faults.call_args
    if answer.data and answer.status_code >= 400:
        assert body_of(answer)["resourceType"] == "OperationOutcome"
    assert api.get("AuditEvent?_count=2").status_code == 200, faults.call_args


def _sent(body: object) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    try:
        return orjson.dumps(body)
    except (TypeError, orjson.JSONEncodeError):
        return b"{}"


@pytest.mark.parametrize("number", ["1e308", "-1e308", "1e-320", "-0", "0.0", "1E+30"])
def test_the_edges_of_numbers_are_stored_and_found(api: Api, number: str) -> None:
    stored = api.store(observation(valueQuantity={"value": Decimal(number), "unit": "kg"}))
    assert ids(api.get("Observation", query_string={"value-quantity": number})) == [stored]
    for prefix in ("ap", "ne", "gt", "le", "sa", "eb"):
        query = {"value-quantity": f"{prefix}{number}"}
        assert api.get("Observation", query_string=query).status_code == 200


@pytest.mark.parametrize(
    "date",
    ["0001", "9999", "9999-12-31", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999-14:00",
     "2024-02-29", "2016-12-31T23:59:60Z", "2024-01-01T00:00:00.123456789Z"],
)
def test_the_edges_of_time_are_stored_and_found(api: Api, date: str) -> None:
    stored = api.store(observation(effectiveDateTime=date))
    assert ids(api.get("Observation", query_string={"date": date})) == [stored]
    for prefix in ("ap", "ne", "gt", "le", "sa", "eb"):
        query = {"date": f"{prefix}{date}", "_lastUpdated": f"{prefix}{date}"}
        assert api.get("Observation", query_string=query).status_code == 200
