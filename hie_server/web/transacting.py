"""Transactions: each entry is authorised by itself, and all are done or none.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import partial
from typing import Any, Iterator, Sequence
from urllib.parse import parse_qsl

import orjson
from flask import g
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError
from werkzeug.http import HTTP_STATUS_CODES

from hie_server.audit.events import Entity
from hie_server.fhir import transactions
from hie_server.fhir.outcomes import FhirError, Issue, bad_request
from hie_server.fhir.query import parse_query
from hie_server.fhir.transactions import Request
from hie_server.store.records import Version, instant_text
from hie_server.store.repository import Also, new_id
from hie_server.store.writing import Write
from hie_server.web import journaling
from hie_server.web.entries import answer_of, apart, get
from hie_server.web.exchange import exchange
from hie_server.web.limits import preference

# MongoDB slows to a crawl under many large transactions at once: they wait their turn here.
AT_ONCE, WAIT_SECONDS = 2, 20
LARGE = 20
ATTEMPTS = 10
CONTROLS = ("_count", "_sort", "_total", "_summary", "_elements", "_cursor", "_format", "_pretty")
LETTERS = {"POST": "c", "PUT": "u", "DELETE": "d"}
_turns = threading.BoundedSemaphore(AT_ONCE)


class _Raced(Exception):
    """Another transaction has met the same condition first: look again."""


def transact(entries: list[Request]) -> list[dict[str, Any]]:
    """DELETE, POST, PUT in one transaction with the journal's entry; then the GETs."""
    for _ in range(ATTEMPTS):
        try:
            return _attempt(entries)
        except _Raced:
            continue
    raise FhirError(409, [Issue("conflict", "Others make the same at once; send it again.")])


def _attempt(entries: list[Request]) -> list[dict[str, Any]]:
    writes = [each for each in entries if each.method in LETTERS]
    for each in writes:
        exchange().rules.to_write(g.caller, each.kind, LETTERS[each.method])
    conditions = _conditions(writes)
    found = _existing(writes)
    identities = {id(each): _identity(each, found) for each in writes}
    mean = _meanings(writes, identities)
    with _turn(len(writes)):
        versions = _write(writes, found, identities, mean, conditions)
    answers = {id(each): _written(version) for each, version in zip(writes, versions)}
    for each in entries:
        if each.method not in LETTERS:
            answers[id(each)] = answer_of(apart(partial(get, each)))
    return [answers[id(each)] for each in entries]


def _conditions(writes: list[Request]) -> dict[int, tuple[bytes, int]]:
    """Of entries with ifNoneExist: a key of the condition, and how often it has been met by
    creating, so that of several at once only one creates."""
    store, custodian = exchange().store, g.caller.citizen or g.caller.facility or ""
    found = {}
    for each in writes:
        if each.if_none_exist:
            condition = each.if_none_exist.lstrip("?")
            key = store.seal.term("-condition", custodian, each.kind, condition)
            row = store.db.conditions.find_one({"_id": key}) or {"times": 0}
            found[id(each)] = key, int(row["times"])
    return found


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
    asked = parse_qsl(query, keep_blank_values=True)
    if not asked or any(name in CONTROLS for name, _ in asked):
        raise bad_request("A condition is made of search parameters alone.", code="invalid")
    pairs = [*asked, ("_count", "2")]
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
    writes: list[Request],
    found: dict[int, str],
    identities: dict[int, str],
    mean: dict[str, str],
    conditions: dict[int, tuple[bytes, int]],
) -> Sequence[Version | str]:
    """The versions written; of an entry whose resource there was already, its reference."""
    also: list[Also] = []
    planned: list[Write] = []
    ordered = sorted(writes, key=lambda each: transactions.ORDER.index(each.method))
    new = [each for each in ordered if id(each) not in found]
    for each in new:
        planned.append(_planned(each, identities[id(each)], mean, also))
    versions: Sequence[Version] = ()
    met = [conditions[id(each)] for each in new if id(each) in conditions]
    if planned:
        access = exchange().rules.to_write(g.caller, new[0].kind, LETTERS[new[0].method])
        versions = exchange().repository(access).write(planned, partial(_together, also, met))
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


def _together(
    also: list[Also],
    met: list[tuple[bytes, int]],
    session: ClientSession,
    versions: Sequence[Version],
) -> None:
    """Conditions that nobody else has met meanwhile, a person's epoch, and one entry of the journal
    for the whole."""
    for key, times in met:
        _meet(key, times, session)
    for each in also[:1]:
        each(session, versions[0])
    entities: list[Entity] = [journaling.entity(version) for version in versions]
    journaling.note_entities(entities)
    exchange().journal.append_with(session, journaling.event(200))


def _meet(key: bytes, times: int, session: ClientSession) -> None:
    conditions = exchange().store.db.conditions
    once_more = {"$set": {"times": times + 1}}
    expected = {"_id": key, "times": times}
    try:
        done = conditions.update_one(expected, once_more, upsert=times == 0, session=session)
    except DuplicateKeyError as error:
        raise _Raced from error
    if not done.matched_count and done.upserted_id is None:
        raise _Raced


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
