"""Searches of several types, one page of all: those that `_type` names, all, a compartment's.

https://hl7.org/fhir/R4/http.html#search · https://hl7.org/fhir/R4/compartmentdefinition.html
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from flask import Response, g

from hie_server.authz.rules import may, require
from hie_server.fhir.clauses import Clause, id_clause
from hie_server.fhir.definitions import COMPARTMENTS, compartment, resource_types
from hie_server.fhir.outcomes import FhirError, Issue, bad_request
from hie_server.fhir.query import Query
from hie_server.fhir.resources import is_id
from hie_server.fhir.terms import Term
from hie_server.store.repository import search_together
from hie_server.web import journaling
from hie_server.web.exchange import exchange
from hie_server.web.limits import check_type
from hie_server.web.paging import read_cursor
from hie_server.web.searching import Pairs, found, note_named, parsed, search_one

MOST_TYPES = 20  # that can be named
ALL = "*"
ITSELF = ("{def}",)  # R4's word for the owner of a compartment


def search_by_types(pairs: Pairs) -> Response:
    """Of the types that `_type` names, or else of all that the token may search."""
    journaling.note("search-system", f"?{urlencode(pairs)}")
    kinds = _named(pairs) or _allowed(sorted(resource_types()))
    asked = [pair for pair in pairs if pair[0] != "_type"]
    typed = [("_type", ",".join(kinds))] if len(asked) < len(pairs) else []
    return _search([parsed(kind, asked) for kind in kinds], typed, "")


def search_compartment(name: str, identity: str, kind: str, pairs: Pairs) -> Response:
    """Of one type, or "*" for all, what belongs to a Patient, an Encounter, …"""
    place = f"{name}/{identity}/{kind}"
    journaling.note("search-type", f"{place}?{urlencode(pairs)}")
    check_type(name)
    if name not in COMPARTMENTS or not is_id(identity):
        diagnostics = f"There are compartments of {', '.join(COMPARTMENTS)} by their ids."
        raise FhirError(404, [Issue("not-supported", diagnostics)])
    members = compartment(name)
    if kind == ALL:
        kinds = _named(pairs) or _allowed(sorted(members))
        asked = [pair for pair in pairs if pair[0] != "_type"]
        typed = [pair for pair in pairs if pair[0] == "_type"]
        queries = [_within(name, identity, each, asked) for each in kinds]
        return _search(queries, typed, place)
    check_type(kind)
    return search_one(replace(_within(name, identity, kind, pairs), place=place))


def _within(name: str, identity: str, kind: str, pairs: Pairs) -> Query:
    """The query, of what refers to its owner by one of the compartment's parameters."""
    codes = compartment(name).get(kind)
    if codes is None or kind == "AuditEvent":
        diagnostics = f"{kind} can't be searched in the compartment of a {name}."
        raise FhirError(404, [Issue("not-supported", diagnostics)])
    query, reference = parsed(kind, pairs), f"{name}/{identity}"
    terms = tuple(Term(code, "reference", reference) for code in codes)
    belongs = Clause(codes[0], "reference", "", (reference,), terms)
    if codes == ITSELF:
        belongs = id_clause([identity])
    return replace(query, clauses=(belongs, *query.clauses))


def _named(pairs: Pairs) -> list[str]:
    """The types that `_type` names; [] where it isn't given."""
    named = [value for name, value in pairs if name == "_type"]
    if not named:
        return []
    kinds = list(dict.fromkeys(",".join(named).split(",")))
    if len(kinds) > MOST_TYPES:
        right = f"Name at most {MOST_TYPES} types: _type=Observation,Condition."
        raise bad_request(right, "_type", "too-costly")
    for kind in kinds:
        if kind == "AuditEvent" or kind not in resource_types():
            right = f"_type: {kind[:40]!r} is no type that can be searched with others."
            raise bad_request(right, "_type")
    return kinds


def _allowed(kinds: list[str]) -> list[str]:
    """Those that the token may search; 403 where there are none."""
    shared = [kind for kind in kinds if kind != "AuditEvent"]
    allowed = [kind for kind in shared if may(g.caller, kind, "s")]
    if not allowed:
        require(g.caller, shared[0], "s")
    return allowed


def _search(queries: list[Query], typed: Pairs, place: str) -> Response:
    """A query for each type, and one page of all; `typed`: the pair that says which."""
    query = _as_one(queries, typed, place)
    after = read_cursor(query, g.caller)
    allowed = [exchange().rules.to_search(g.caller, each) for each in queries]
    doors = [(exchange().repository(access), wider) for access, wider in allowed]
    page = search_together(doors, query, after)
    shares = tuple(dict.fromkeys(share for access, _ in allowed for share in access.shares))
    access = replace(allowed[0][0], shares=shares)
    note_named(queries, access)
    return found(query, access, doors[0][0].versions(page), page)


def _as_one(queries: list[Query], typed: Pairs, place: str) -> Query:
    """What is asked of the page that they share."""
    first = queries[0]
    if any(each.applied != first.applied for each in queries):
        raise bad_request("Some of the parameters are not known to all of the types.", "_type")
    inexact = [clause for each in queries for clause in each.clauses if not clause.exact]
    if inexact:
        right = f"{inexact[0].parameter} as it is asked needs a search of one type."
        raise bad_request(right, inexact[0].parameter, "not-supported")
    applied = (*typed, *first.applied)
    return replace(first, type="", clauses=(), hops=(), applied=applied, place=place)
