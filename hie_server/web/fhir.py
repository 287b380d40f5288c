"""FHIR's REST API: the route table, and handlers of a sentence: parse, authorise, ask, reply.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable
from urllib.parse import urlencode

from flask import Blueprint, Response, g, request

from hie_server.audit.events import SEARCHABLE, Entity
from hie_server.authz.rules import require
from hie_server.fhir import bundle, capability
from hie_server.fhir.bundle import Entry
from hie_server.fhir.outcomes import bad_request, not_found, unprocessable
from hie_server.fhir.resources import dump, is_id, parse
from hie_server.fhir.validator import validate
from hie_server.store.access import Access
from hie_server.store.records import Version, instant_text
from hie_server.web import journaling
from hie_server.web.exchange import exchange
from hie_server.web.journaling import consents_of
from hie_server.web.limits import body_of, check_type, form_pairs, if_match, refuse_condition
from hie_server.web.replies import fhir_response, reply, reply_written
from hie_server.web.searching import cut, elements_of, search_by
from hie_server.web.several import search_by_types, search_compartment

blueprint = Blueprint("fhir", __name__, url_prefix="/fhir")
MOST_VERSIONS = 100
# An entry of a batch brings its own; a request's are read only when they are needed.
Body = Callable[[], dict[str, Any]]
Expected = Callable[[], int | None]


@blueprint.get("/metadata")
def metadata() -> Response:
    settings = exchange().settings
    token_endpoint = f"{settings.base_url}/oauth/token"
    only = {"AuditEvent": SEARCHABLE}
    statement = capability.statement(settings.fhir_base, token_endpoint, only)
    return fhir_response(dump(statement))


@blueprint.get("/<kind>/<identity>")
def read(kind: str, identity: str) -> Response:
    return read_one(kind, identity, request.args.getlist("_elements"))


def read_one(kind: str, identity: str, elements: list[str]) -> Response:
    _asked("read", kind, identity)
    wanted = elements_of(kind, elements)
    if kind == "AuditEvent":
        viewer = exchange().rules.viewer(g.caller, "r")
        return fhir_response(cut(dump(exchange().journal.read(viewer, identity)), wanted))
    access, version = exchange().rules.read(g.caller, kind, identity)
    return _one(access, replace(version, body=cut(version.body or b"", wanted)))


@blueprint.get("/<kind>/<identity>/_history/<version>")
def vread(kind: str, identity: str, version: str) -> Response:
    _asked("vread", kind, identity, f"/_history/{version}")
    access = exchange().rules.to_read(g.caller, kind, identity)
    number = int(version) if version.isascii() and version.isdigit() and len(version) < 9 else 0
    return _one(access, exchange().repository(access).vread(kind, identity, number))


@blueprint.get("/<kind>/<identity>/_history")
def history(kind: str, identity: str) -> Response:
    _asked("history-instance", kind, identity, "/_history")
    access = exchange().rules.to_read(g.caller, kind, identity)
    count, before = _history_page()
    versions = exchange().repository(access).history(kind, identity, before, count + 1)
    return _history_bundle(access, f"{kind}/{identity}", versions, count)


@blueprint.get("/<kind>")
def search(kind: str) -> Response:
    return search_by(kind, list(request.args.items(multi=True)))


@blueprint.get("")
@blueprint.get("/", strict_slashes=False)
def search_types() -> Response:
    return search_by_types(list(request.args.items(multi=True)))


@blueprint.post("/_search")
def search_types_by_post() -> Response:
    return search_by_types(form_pairs())


@blueprint.post("/<kind>/_search")
def search_by_post(kind: str) -> Response:
    return search_by(kind, form_pairs())


@blueprint.get("/<name>/<identity>/<kind>")
def search_within(name: str, identity: str, kind: str) -> Response:
    return search_compartment(name, identity, kind, list(request.args.items(multi=True)))


@blueprint.post("/<name>/<identity>/<kind>/_search")
def search_within_by_post(name: str, identity: str, kind: str) -> Response:
    return search_compartment(name, identity, kind, form_pairs())


@blueprint.post("/<kind>")
def create(kind: str) -> Response:
    return create_one(kind, _body)


def create_one(kind: str, body: Body) -> Response:
    _asked("create", kind)
    refuse_condition()
    access = exchange().rules.to_write(g.caller, kind, "c")
    resource = _valid(body(), kind)
    terms, also = exchange().rules.on_write(g.caller, resource)
    repository = exchange().repository(access)
    written = [*also, journaling.with_write()]
    return reply_written(repository.create(resource, written, terms), 201)


@blueprint.put("/<kind>/<identity>")
def update(kind: str, identity: str) -> Response:
    return update_one(kind, identity, _body, if_match)


def update_one(kind: str, identity: str, body: Body, expected: Expected) -> Response:
    _asked("update", kind, identity)
    access = exchange().rules.to_write(g.caller, kind, "u")
    repository = exchange().repository(access)
    repository.check_mine(kind, identity)
    version = expected()
    resource = _valid(body(), kind, identity)
    terms, also = exchange().rules.on_write(g.caller, resource)
    written = [*also, journaling.with_write()]
    return reply_written(
        repository.update(kind, identity, resource, version, written, terms), 200
    )


@blueprint.delete("/<kind>/<identity>")
def delete(kind: str, identity: str) -> Response:
    return delete_one(kind, identity, if_match)


def delete_one(kind: str, identity: str, expected: Expected) -> Response:
    _asked("delete", kind, identity)
    access = exchange().rules.to_write(g.caller, kind, "d")
    repository = exchange().repository(access)
    repository.check_mine(kind, identity)
    written = [*exchange().rules.on_delete(g.caller, kind), journaling.with_write()]
    return reply_written(repository.delete(kind, identity, expected(), written), 204)


def _asked(interaction: str, kind: str, identity: str | None = None, rest: str = "") -> None:
    """Notes what is asked; refuses what can't be the name of a type or an id."""
    journaling.note(interaction, kind if identity is None else f"{kind}/{identity}{rest}")
    check_type(kind)
    if identity is not None and not is_id(identity):
        require(g.caller, kind, "r")
        raise not_found()


def _body() -> dict[str, Any]:
    return parse(body_of(request))


def _valid(resource: dict[str, Any], kind: str, identity: str | None = None) -> dict[str, Any]:
    """A resource of this type (and id), or every fault in it."""
    if resource.get("resourceType") != kind:
        raise bad_request(f"The body's resourceType must be {kind}, as in the URL.", "resourceType")
    if identity is not None and resource.get("id") != identity:
        raise bad_request("The body's id must be the URL's.", f"{kind}.id")
    issues = validate(resource)
    if any(each.severity == "error" for each in issues):
        raise unprocessable(issues)
    return resource


def _one(access: Access, version: Version) -> Response:
    consents = consents_of(access, version.patient, version.custodian)
    through = [] if version.patient else access.shares
    entities = [Entity(each.person, version.reference, each.consents) for each in through]
    journaling.note_entities(entities or [journaling.entity(version, consents)])
    return reply(version)


def _history_page() -> tuple[int, int | None]:
    """(_count, the version to go on before)."""
    count = request.args.get("_count", str(MOST_VERSIONS))
    before = request.args.get("_before")
    unknown = set(request.args) - {"_count", "_before", "_format", "_pretty"}
    if unknown:
        raise bad_request(f"{min(unknown)[:40]!r} is no parameter of an instance's history.")
    for name, value in (("_count", count), ("_before", before or "1")):
        if not value.isascii() or not value.isdigit() or not 0 < int(value[:9]) < 10**8:
            raise bad_request(f"{name} must be a whole number of at least 1.", name)
    return min(int(count), MOST_VERSIONS), int(before) if before else None


def _history_bundle(
    access: Access, reference: str, versions: list[Version], count: int
) -> Response:
    base = exchange().settings.fhir_base
    own = f"{base}/{reference}/_history"
    links = {"self": own}
    if len(versions) > count:
        versions = versions[:count]
        rest = {"_count": str(count), "_before": str(versions[-1].version)}
        links["next"] = f"{own}?{urlencode(rest)}"
    journaling.note_entities(
        [journaling.entity(v, consents_of(access, v.patient, v.custodian)) for v in versions]
    )
    return fhir_response(bundle.history(base, [_past(each) for each in versions], links))


def _past(version: Version) -> Entry:
    kind = version.reference.partition("/")[0]
    etag, updated = f'W/"{version.version}"', instant_text(version.updated)
    if version.body is None:
        request_, status = ("DELETE", version.reference), "204"
    elif version.version == 1:
        request_, status = ("POST", kind), "201"
    else:
        request_, status = ("PUT", version.reference), "200"
    return Entry(version.reference, version.body, request_, status, etag, updated)
