"""The gate before /fhir: limits, the token, and one shape for every error.

What is not listed as public asks for a token before its handler runs.
"""

from __future__ import annotations

import logging

from flask import Flask, Response, g, jsonify, request
from pymongo.errors import PyMongoError
from werkzeug.exceptions import HTTPException

from hie_server.audit.journal import unavailable
from hie_server.authz import tokens
from hie_server.fhir.outcomes import FhirError, Issue
from hie_server.web import journaling
from hie_server.web.exchange import exchange
from hie_server.web.limits import check_accept, check_size
from hie_server.web.replies import reply_error, reply_fault, secure

log = logging.getLogger("hie.web")
PREFIX = "/fhir"
PUBLIC = ("/fhir/metadata", "/fhir/.well-known/smart-configuration")
CODES = {404: "not-found", 405: "not-supported", 413: "too-long", 415: "not-supported"}


def guard(app: Flask) -> None:
    app.before_request(_before)
    app.after_request(_after)
    app.register_error_handler(FhirError, reply_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(PyMongoError, _database_error)
    app.register_error_handler(Exception, reply_fault)


def _before() -> None:
    if not _guarded():
        if request.blueprint == "oauth" and request.method == "POST":
            _check_database()
        return
    journaling.begin()
    if request.path in PUBLIC:
        return check_size(request)
    _check_database()
    authorization = request.headers.getlist("Authorization")
    g.caller = tokens.caller(exchange().store, ",".join(authorization) or None)
    check_size(request)
    check_accept(request)


def _check_database() -> None:
    if exchange().outage.refuses():
        g.unanswered = True
        raise unavailable()


def _after(response: Response) -> Response:
    """What the database could not answer tells nothing, and can't be journaled either."""
    if not _guarded() or "record" not in g or g.get("unanswered"):
        return secure(response)
    try:
        return secure(journaling.finish(response))
    except (FhirError, PyMongoError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, PyMongoError):
            exchange().outage.failed(cause)
        return secure(reply_error(unavailable()))
    except Exception as error:
        return secure(reply_fault(error))


def _guarded() -> bool:
    return request.path == PREFIX or request.path.startswith(f"{PREFIX}/")


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if not _guarded():
        response = jsonify(error=error.name)
        response.status_code = status
        return response
    headers = {k: v for k, v in error.get_headers() if k in ("Allow", "Location")}
    issue = Issue(CODES.get(status, "processing"), f"{error.name}.")
    return reply_error(FhirError(status, [issue], headers))


def _database_error(error: PyMongoError) -> Response:
    exchange().outage.failed(error)
    g.unanswered = exchange().outage.refuses()
    return reply_error(unavailable())
