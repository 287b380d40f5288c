"""Batch and transaction: each entry is authorised by itself; a transaction is all or nothing.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import partial
from typing import Any, Iterator, Sequence
from urllib.parse import parse_qsl

import orjson
from flask import Blueprint, Response, g, request
from pymongo.client_session import ClientSession
from werkzeug.http import HTTP_STATUS_CODES

from hie_server.audit.events import Entity
from hie_server.fhir import transactions
from hie_server.fhir.outcomes import FhirError, Issue, unprocessable
from hie_server.fhir.query import parse_query
from hie_server.fhir.resources import parse
from hie_server.fhir.transactions import Request
from hie_server.fhir.validator import validate
from hie_server.store.records import Version, instant_text
from hie_server.store.repository import Also, new_id
from hie_server.store.writing import Write
from hie_server.web import fhir, journaling
from hie_server.web.exchange import exchange
from hie_server.web.limits import body_of, preference
from hie_server.web.replies import fhir_response, reply_error

blueprint = Blueprint("bundles", __name__, url_prefix="/fhir")
# MongoDB slows to a crawl under many large transactions at once: they wait their turn here.
AT_ONCE, WAIT_SECONDS = 2, 20
LARGE = 20
LETTERS = {"POST": "c", "PUT": "u", "DELETE": "d"}
_turns = threading.BoundedSemaphore(AT_ONCE)


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
    return _transaction(_requests(incoming))


def _requests(incoming: dict[str, Any]) -> list[Request]:
    base = exchange().settings.fhir_base
    entries = incoming.get("entry", ())
    found = [
        transactions.read_entry(entry, f"Bundle.entry[{n}]", base)
        for n, entry in enumerate(entries)
    ]
    transactions.check_distinct(found)
    return found


# --- batch


def _batch(incoming: dict[str, Any]) -> Response:
    answers = [
        _answer_of(_alone(entry, f"Bundle.entry[{n}]"))
        for n, entry in enumerate(incoming.get("entry", ()))
    ]
    return _reply("batch-response", answers)


def _alone(entry: dict[str, Any], place: str) -> Response:
    """One entry as if it had come alone, journaled as such."""
    outer, g.record = g.record, journaling.Record(g.record.request)
    try:
        base = exchange().settings.fhir_base
        response = _perform(transactions.read_entry(entry, place, base))
    except FhirError as error:
        response = reply_error(error)
    journaling.append(response.status_code)
    g.record = outer
    return response


def _perform(entry: Request) -> Response:
    if entry.method in ("GET", "HEAD"):
        return _get(entry)
    if entry.method == "DELETE":
        return fhir.delete_one(entry.kind, entry.identity, lambda: entry.if_match)
    resource = entry.resource or {}
    if entry.method == "PUT":
        return fhir.update_one(
            entry.kind, entry.identity, lambda: resource, lambda: entry.if_match
        )
    return fhir.create_one(entry.kind, lambda: resource)


def _get(entry: Request) -> Response:
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


def _answer_of(response: Response) -> dict[str, Any]:
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


# --- transaction


def _transaction(entries: list[Request]) -> Response:
    """DELETE, POST, PUT in one transaction with the journal's entry; then the GETs."""
    writes = [each for each in entries if each.method in LETTERS]
    for each in writes:
        exchange().rules.to_write(g.caller, each.kind, LETTERS[each.method])
    found = _existing(writes)
    identities = {id(each): _identity(each, found) for each in writes}
    mean = _meanings(writes, identities)
    with _turn(len(writes)):
        versions = _write(writes, found, identities, mean)
    answers = {id(each): _written(version) for each, version in zip(writes, versions)}
    for each in entries:
        if each.method not in LETTERS:
            answers[id(each)] = _read_after(each)
    return _reply("transaction-response", [answers[id(each)] for each in entries])


def _existing(writes: list[Request]) -> dict[int, str]:
    """Of entries with ifNoneExist: the one resource of the caller's own that there is."""
    found = {}
    for each in writes:
        if each.method == "POST" and each.if_none_exist:
            references = _own(each.kind, each.if_none_exist.lstrip("?"))
            if len(references) > 1:
                diagnostics = "ifNoneExist finds several of your own resources."
                raise FhirError(412, [Issue("multiple-matches", diagnostics, each.place)])
            if references:
                found[id(each)] = references[0]
    return found


def _own(kind: str, query: str) -> list[str]:
    """Up to two of the caller's own resources that the query finds."""
    access = exchange().rules.to_match(g.caller, kind)
    pairs = [*parse_qsl(query, keep_blank_values=True), ("_count", "2")]
    parsed = parse_query(kind, pairs, zone=exchange().settings.timezone)
    page = exchange().repository(access).search(parsed)
    return [row["_id"] for row in page.rows]


def _identity(entry: Request, found: dict[int, str]) -> str:
    if id(entry) in found:
        return found[id(entry)].partition("/")[2]
    return entry.identity or new_id(exchange().store)


def _meanings(writes: list[Request], identities: dict[int, str]) -> dict[str, str]:
    """What a reference in this Bundle means: fullUrls and conditional references."""
    mean = {
        each.full_url: f"{each.kind}/{identities[id(each)]}" for each in writes if each.full_url
    }
    for each in writes:
        for text, kind, query in transactions.conditional_references(each.resource):
            if text not in mean:
                references = _own(kind, query)
                if len(references) != 1:
                    raise transactions.unresolved(text, len(references))
                mean[text] = references[0]
    return mean


def _write(
    writes: list[Request], found: dict[int, str], identities: dict[int, str], mean: dict[str, str]
) -> Sequence[Version | str]:
    """The versions written; of an entry whose resource there was already, its reference."""
    also: list[Also] = []
    planned: list[Write] = []
    ordered = sorted(writes, key=lambda each: transactions.ORDER.index(each.method))
    new = [each for each in ordered if id(each) not in found]
    for each in new:
        planned.append(_planned(each, identities[id(each)], mean, also))
    versions: Sequence[Version] = ()
    if planned:
        access = exchange().rules.to_write(g.caller, new[0].kind, LETTERS[new[0].method])
        versions = exchange().repository(access).write(planned, partial(_together, also))
        g.record.written = True
    done: dict[int, Version | str] = {id(each): v for each, v in zip(new, versions)}
    return [done.get(id(each), found.get(id(each), "")) for each in writes]


def _planned(entry: Request, identity: str, mean: dict[str, str], also: list[Also]) -> Write:
    if entry.resource is None:
        also.extend(exchange().rules.on_delete(g.caller, entry.kind))
        return Write(entry.kind, identity, None, if_match=entry.if_match)
    resource = transactions.resolved(entry.resource, mean.get)
    terms, more = exchange().rules.on_write(g.caller, resource)
    also.extend(more)
    return Write(
        entry.kind,
        identity,
        resource,
        creates=entry.method == "POST",
        if_match=entry.if_match,
        terms=tuple(terms),
    )


def _together(also: list[Also], session: ClientSession, versions: Sequence[Version]) -> None:
    """A person's epoch, and one entry of the journal for the whole."""
    for each in also[:1]:
        each(session, versions[0])
    entities: list[Entity] = [journaling.entity(version) for version in versions]
    journaling.note_entities(entities)
    exchange().journal.append_with(session, journaling.event(200))


def _written(version: Version | str) -> dict[str, Any]:
    base = exchange().settings.fhir_base
    if isinstance(version, str):
        return {"response": {"status": "200 OK", "location": f"{base}/{version}"}}
    status = 204 if version.body is None else 201 if version.created else 200
    told = {
        "status": f"{status} {HTTP_STATUS_CODES[status]}",
        "location": f"{base}/{version.reference}/_history/{version.version}",
        "etag": f'W/"{version.version}"',
        "lastModified": instant_text(version.updated),
    }
    answer: dict[str, Any] = {"response": told}
    wanted = preference("return", ("minimal", "representation")) == "representation"
    kind = version.reference.partition("/")[0]
    if wanted and version.body and g.caller.scopes.allows(kind, "r"):
        answer["resource"] = orjson.Fragment(version.body)
    return answer


def _read_after(entry: Request) -> dict[str, Any]:
    """A GET of a transaction sees what was written; refused, it is told so in its own entry."""
    outer, g.record = g.record, journaling.Record(g.record.request)
    try:
        response = _get(entry)
    except FhirError as error:
        response = reply_error(error)
    journaling.append(response.status_code)
    g.record = outer
    return _answer_of(response)


@contextmanager
def _turn(writes: int) -> Iterator[None]:
    """Large transactions go a few at a time, in order of arrival; who waits too long is told."""
    if writes < LARGE:
        yield
        return
    if not _turns.acquire(timeout=WAIT_SECONDS):
        issue = Issue("throttled", "Too many large transactions at once; send it again.")
        raise FhirError(503, [issue], {"Retry-After": "5"})
    try:
        yield
    finally:
        _turns.release()


def _reply(kind: str, answers: list[dict[str, Any]]) -> Response:
    reply = {"resourceType": "Bundle", "type": kind, "entry": answers}
    return fhir_response(orjson.dumps(reply))
