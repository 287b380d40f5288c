"""Operations: the router, and the table of what is served.

An operation is an entry of profiles/operations.json, and a handler of a module of its own that
authorises and answers; here its parameters are read, checked, and what is asked is journaled.

https://hl7.org/fhir/R4/operations.html#executing
"""

from __future__ import annotations

from typing import Mapping

from flask import Blueprint, Response, g, request

from hie_server.authz.rules import require
from hie_server.fhir.outcomes import FhirError, Issue, not_found
from hie_server.fhir.parameters import Given, Operation, check, find, from_body, from_url
from hie_server.fhir.resources import is_id, parse
from hie_server.web import journaling
from hie_server.web.calls import Call, Handler
from hie_server.web.limits import body_of, check_type
from hie_server.web.versions import versions

blueprint = Blueprint("operations", __name__, url_prefix="/fhir")

# OperationDefinition's id -> handler
HANDLERS: Mapping[str, Handler] = {
    "CapabilityStatement-versions": versions,
}


@blueprint.route("/$<code>", methods=("GET", "POST"))
@blueprint.route("/<kind>/$<code>", methods=("GET", "POST"))
@blueprint.route("/<kind>/<identity>/$<code>", methods=("GET", "POST"))
def operate(code: str, kind: str | None = None, identity: str | None = None) -> Response:
    place = "/".join(each for each in (kind, identity, f"${code}") if each)
    journaling.note("operation", place)
    operation = _operation(code, kind, identity)
    given = _given(operation)
    check(given, operation.parameters)
    return HANDLERS[operation.id](Call(kind, identity, given))


def _operation(code: str, kind: str | None, identity: str | None) -> Operation:
    if kind is not None:
        check_type(kind)
    found = find(code, kind, identity is not None)
    if found is None:
        diagnostics = f"No operation ${code[:40]} is served here: see /metadata."
        raise FhirError(404, [Issue("not-supported", diagnostics)])
    if kind is not None and identity is not None and not is_id(identity):
        require(g.caller, kind, "r")
        raise not_found()
    if found.changes and request.method == "GET":
        issue = Issue("not-supported", f"${found.code} changes what is stored: POST it.")
        raise FhirError(405, [issue], {"Allow": "POST"})
    return found


def _given(operation: Operation) -> Given:
    """Those of the URL, and those of the body."""
    given = from_url(request.args.items(multi=True), operation.parameters)
    if request.method == "POST" and (request.content_length or request.mimetype):
        for name, values in from_body(parse(body_of(request)), operation.parameters).items():
            given.setdefault(name, []).extend(values)
    return given
