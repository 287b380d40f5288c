"""Searches of one type: one page of what the caller may see.

https://hl7.org/fhir/R4/http.html#search
"""

from __future__ import annotations

from dataclasses import replace
from typing import Iterable
from urllib.parse import urlencode

from flask import Response, g

from hie_server.audit.events import Entity
from hie_server.audit.index import narrowed
from hie_server.authz.rules import patients_named
from hie_server.fhir import bundle
from hie_server.fhir.bundle import Entry
from hie_server.fhir.composites import components
from hie_server.fhir.elements import read_elements, subset
from hie_server.fhir.index import parameters_for
from hie_server.fhir.outcomes import bad_request
from hie_server.fhir.query import Query, parse_query
from hie_server.fhir.resources import dump, parse
from hie_server.store.access import Access
from hie_server.store.pages import Page
from hie_server.store.records import Version
from hie_server.web import journaling
from hie_server.web.exchange import exchange
from hie_server.web.journaling import consents_of
from hie_server.web.limits import check_type, preference
from hie_server.web.paging import cursor_of, read_cursor
from hie_server.web.replies import fhir_response

Pairs = list[tuple[str, str]]


def search_by(kind: str, pairs: Pairs) -> Response:
    journaling.note("search-type", f"{kind}?{urlencode(pairs)}")
    check_type(kind)
    query = parsed(kind, pairs)
    return _search_journal(query) if kind == "AuditEvent" else search_one(query)


def search_one(query: Query) -> Response:
    after = read_cursor(query, g.caller)
    access, wider = exchange().rules.to_search(g.caller, query)
    note_named([query], access)
    repository = exchange().repository(access)
    page = repository.search(wider, after)
    return found(query, access, repository.versions(page), page)


def parsed(kind: str, pairs: Pairs) -> Query:
    return parse_query(
        kind,
        _relative(kind, pairs),
        lenient=preference("handling", ("strict", "lenient")) == "lenient",
        zone=exchange().settings.timezone,
        now_ms=int(exchange().store.clock().timestamp() * 1000),
    )


def _relative(kind: str, pairs: Pairs) -> Pairs:
    """References by our own base URL are the relative ones they mean."""
    base = f"{exchange().settings.fhir_base}/"
    known = parameters_for(kind)
    found = []
    for name, value in pairs:
        parameter = known.get(name.partition(":")[0])
        parts = (parameter, *components(parameter)) if parameter is not None else ()
        named = any(each.type == "reference" for each in parts)
        found.append((name, value.replace(base, "") if named else value))
    return found


def elements_of(kind: str, values: list[str]) -> tuple[str, ...]:
    """`_elements` of a read; none for all."""
    if len(values) > 1:
        raise bad_request("_elements is given more than once.", "_elements")
    return read_elements(kind, values[0]) if values else ()


def cut(body: bytes, elements: tuple[str, ...]) -> bytes:
    return dump(subset(parse(body), elements)) if elements else body


def found(query: Query, access: Access, versions: list[Version], page: Page) -> Response:
    _note_patients(access, versions)
    entries = [Entry(each.reference, each.body) for each in versions]
    return _searchset(query, entries, page)


def _searchset(query: Query, entries: Iterable[Entry], page: Page) -> Response:
    base = exchange().settings.fhir_base
    own = f"{base}/{query.place or query.type}".rstrip("/")
    applied = list(query.applied)
    links = {"self": f"{own}?{urlencode(applied)}" if applied else own}
    if page.after is not None:
        cursor = cursor_of(query, g.caller, page.after)
        links["next"] = f"{own}?{urlencode([*applied, ('_cursor', cursor)])}"
    shown = [replace(each, body=cut(each.body or b"", query.elements)) for each in entries]
    return fhir_response(bundle.searchset(base, shown, links, page.total))


def note_named(queries: list[Query], access: Access) -> None:
    """The Patients that were asked for, and whose records do not show."""
    shown = {patient for share in access.shares for patient in share.patients}
    named = {each: None for query in queries for each in patients_named(query)}
    g.record.named = tuple(each for each in named if each not in shown)


def _note_patients(access: Access, versions: list[Version]) -> None:
    """Whose records were asked for and found, and by which consents."""
    patients: dict[str | None, Entity] = {}
    for share in access.shares:
        patients[share.person] = Entity(share.person, None, share.consents)
    for each in versions:
        if each.patient not in patients:
            consents = consents_of(access, each.patient, each.custodian)
            patients[each.patient] = Entity(journaling.shown(each.patient), None, consents)
    journaling.note_entities([each for each in patients.values() if each.patient])


def _search_journal(asked: Query) -> Response:
    journal, query = exchange().journal, narrowed(asked)
    viewer = exchange().rules.viewer(g.caller, "s")
    page = journal.search(viewer, query, read_cursor(query, g.caller))
    entries = [Entry(row["_id"], dump(journal.shown(row, viewer))) for row in page.rows]
    return _searchset(query, entries, page)
