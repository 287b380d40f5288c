"""Batch and transaction: each entry is authorised by itself; a transaction is all or nothing.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

import time
from typing import Any

import orjson
from flask import Blueprint, Response, request

from hie_server.fhir import transactions
from hie_server.fhir.outcomes import FhirError, Issue, unprocessable
from hie_server.fhir.resources import parse
from hie_server.fhir.transactions import Request
from hie_server.fhir.validator import validate
from hie_server.web import journaling
from hie_server.web.entries import alone, answer_of
from hie_server.web.exchange import exchange
from hie_server.web.limits import body_of
from hie_server.web.replies import fhir_response, reply_error
from hie_server.web.transacting import transact

blueprint = Blueprint("bundles", __name__, url_prefix="/fhir")
# What one batch may take of a worker, and the bytes of its answer.
BATCH_SECONDS = 10
MOST_ANSWERED = 64 * 1024 * 1024


@blueprint.post("")
@blueprint.post("/", strict_slashes=False)
def bundle() -> Response:
    journaling.note("transaction", "Bundle")
    incoming = parse(body_of(request))
    if incoming.get("resourceType") != "Bundle":
        diagnostics = "The base takes a Bundle; POST a resource to its type."
        raise unprocessable([Issue("invalid", diagnostics, "resourceType")])
    transactions.check(incoming)
    if incoming["type"] == "batch":
        journaling.note("batch", "Bundle")
        return _batch(incoming)
    issues = validate(incoming, allow_conditional=True)
    if any(each.severity == "error" for each in issues):
        raise unprocessable(issues)
    return _reply("transaction-response", transact(_requests(incoming)))


def _requests(incoming: dict[str, Any]) -> list[Request]:
    base = exchange().settings.fhir_base
    entries = incoming.get("entry", ())
    found = [
        transactions.read_entry(entry, f"Bundle.entry[{n}]", base)
        for n, entry in enumerate(entries)
    ]
    transactions.check_distinct(found)
    return found


def _batch(incoming: dict[str, Any]) -> Response:
    """Entry after entry, as long as there is time and room."""
    answers, size, until = [], 0, time.monotonic() + BATCH_SECONDS
    for n, entry in enumerate(incoming.get("entry", ())):
        spent = size > MOST_ANSWERED or time.monotonic() > until
        response = reply_error(_spent()) if spent else alone(entry, f"Bundle.entry[{n}]")
        size += len(response.get_data())
        answers.append(answer_of(response))
    return _reply("batch-response", answers)


def _spent() -> FhirError:
    issue = Issue("too-costly", "The batch took too much: send this entry again in another.")
    return FhirError(503, [issue])


def _reply(kind: str, answers: list[dict[str, Any]]) -> Response:
    reply = {"resourceType": "Bundle", "type": kind, "entry": answers}
    return fhir_response(orjson.dumps(reply))
