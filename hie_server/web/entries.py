"""One entry of a Bundle, as if it had come alone: its own right, its own answer, its own place in
the journal. https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from typing import Any, Callable
from urllib.parse import parse_qsl

import orjson
from flask import Response, g
from pymongo.errors import PyMongoError
from werkzeug.http import HTTP_STATUS_CODES

from hie_server.fhir import transactions
from hie_server.fhir.outcomes import FhirError, Issue
from hie_server.fhir.transactions import Request
from hie_server.web import fhir, journaling
from hie_server.web.exchange import exchange
from hie_server.web.replies import reply_error, reply_fault


def alone(entry: dict[str, Any], place: str) -> Response:
    """One entry as if it had come alone."""
    base = exchange().settings.fhir_base
    return apart(lambda: _perform(transactions.read_entry(entry, place, base)))


def apart(perform: Callable[[], Response]) -> Response:
    """What an entry asks, journaled by itself; what goes wrong with it is its own answer."""
    outer, g.record = g.record, journaling.Record(g.record.request)
    journaling.note("batch", "entry")
    try:
        response = _answered(perform)
        journaling.append(response.status_code)
    finally:
        g.record = outer
    return response


def _answered(perform: Callable[[], Response]) -> Response:
    try:
        return perform()
    except FhirError as error:
        return reply_error(error)
    except PyMongoError:
        raise
    except Exception as error:
        return reply_fault(error)


def _perform(entry: Request) -> Response:
    if entry.method in ("GET", "HEAD"):
        return get(entry)
    if entry.method == "DELETE":
        return fhir.delete_one(entry.kind, entry.identity, lambda: entry.if_match)
    resource = entry.resource or {}
    if entry.method == "PUT":
        return fhir.update_one(
            entry.kind, entry.identity, lambda: resource, lambda: entry.if_match
        )
    if entry.if_none_exist:
        diagnostics = "ifNoneExist is served in transactions, not in a batch."
        where = f"{entry.place}.request.ifNoneExist"
        raise FhirError(400, [Issue("not-supported", diagnostics, where)])
    return fhir.create_one(entry.kind, lambda: resource)


def get(entry: Request) -> Response:
    pairs = parse_qsl(entry.query, keep_blank_values=True)
    if not entry.identity:
        return fhir.search_by(entry.kind, pairs)
    steps = entry.rest.split("/") if entry.rest else []
    if not steps:
        elements = [value for name, value in pairs if name == "_elements"]
        return fhir.read_one(entry.kind, entry.identity, elements)
    if steps[0] == "_history" and len(steps) == 2:
        return fhir.vread(entry.kind, entry.identity, steps[1])
    diagnostics = "A GET in a Bundle is a read, a vread or a search."
    raise FhirError(400, [Issue("not-supported", diagnostics, entry.place)])


def answer_of(response: Response) -> dict[str, Any]:
    """The entry of the answer: a resource where one was asked for, an outcome where refused."""
    answer = _described(response.status_code, response.headers)
    body = response.get_data()
    if response.status_code >= 400:
        answer["response"]["outcome"] = orjson.Fragment(body)
    elif body and (response.status_code == 200 and "Location" not in response.headers):
        answer["resource"] = orjson.Fragment(body)
    return answer


def _described(status: int, headers: Any) -> dict[str, Any]:
    told = {"status": f"{status} {HTTP_STATUS_CODES.get(status, '')}".strip()}
    for name, header in (("location", "Location"), ("etag", "ETag")):
        if header in headers:
            told[name] = headers[header]
    return {"response": told}
