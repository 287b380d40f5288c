"""Answers: headers, status and OperationOutcome; nothing of a person is ever cached.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

import logging

from flask import Response, g
from werkzeug.http import http_date

from hie_server.fhir.outcomes import FhirError, Issue, outcome
from hie_server.fhir.resources import dump
from hie_server.store.records import Version
from hie_server.web.exchange import exchange
from hie_server.web.limits import preference
from hie_server.web.logs import place

log = logging.getLogger("hie.web")
FHIR_JSON = "application/fhir+json"


def fhir_response(
    body: bytes, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return Response(body, status, headers, content_type=FHIR_JSON)


def reply(version: Version, status: int = 200) -> Response:
    return fhir_response(version.body or b"", status, _versioned(version))


def reply_written(version: Version, status: int) -> Response:
    """What was written, unless the caller prefers less or may not read it."""
    g.record.written = True
    if version.created:
        status = 201
    headers = _versioned(version)
    if status == 201:
        base = exchange().settings.fhir_base
        headers["Location"] = f"{base}/{version.reference}/_history/{version.version}"
    wanted = preference("return", ("minimal", "representation", "OperationOutcome"))
    kind = version.reference.partition("/")[0]
    if status == 204 or wanted == "minimal" or not g.caller.scopes.allows(kind, "r"):
        empty = Response(status=status, headers=headers)
        del empty.headers["Content-Type"]
        return empty
    if wanted == "OperationOutcome":
        done = outcome([Issue("informational", "Done.", severity="information")])
        return fhir_response(dump(done), status, headers)
    return fhir_response(version.body or b"", status, headers)


def reply_error(error: FhirError) -> Response:
    return fhir_response(dump(error.outcome()), error.status, error.headers)


def reply_fault(error: Exception) -> Response:
    """The place of a fault is logged, never its text: it may hold a person's data."""
    log.error("A fault: %s", place(error))
    return reply_error(FhirError(500, [Issue("exception", "The exchange failed at this.")]))


def secure(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Content-Security-Policy", "default-src 'none'")
    response.headers.add("Vary", "Authorization, Accept")
    return response


def _versioned(version: Version) -> dict[str, str]:
    return {
        "ETag": f'W/"{version.version}"',
        "Last-Modified": http_date(version.updated),
    }
