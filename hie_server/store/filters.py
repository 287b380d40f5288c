"""Query → MongoDB filter: the mirror of fhir/index.

Conditions are lists joined by `$and`, never merged keys, so that no clause overwrites another.
https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Callable, Iterator

from bson.binary import Binary

from hie_server.fhir.index import Term
from hie_server.fhir.query import Clause, Query, Span
from hie_server.store.records import range_term, type_terms
from hie_server.store.sealing import Seal

Filter = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def conditions(query: Query, seal: Seal) -> list[Filter]:
    """What a row must meet beside its visibility. One index term always drives the walk; of
    several types the branches say it all."""
    found = [_clause(clause, query.type, seal) for clause in query.clauses]
    if query.type and not any(_drives(clause) for clause in query.clauses):
        found.insert(0, {"index": Binary(seal.term(*type_terms(query.type)[0]))})
    return found


def _drives(clause: Clause) -> bool:
    """Whether the clause is met by index terms alone, so that one of them can lead."""
    terms = [isinstance(each, Term) for each in clause.any_of]
    return bool(terms) and all(terms) and not clause.negated


def _clause(clause: Clause, kind: str, seal: Seal) -> Filter:
    condition = _BY_KIND.get(clause.kind, _indexed)(clause, kind, seal)
    return {"$nor": [condition]} if clause.negated else condition


def _indexed(clause: Clause, kind: str, seal: Seal) -> Filter:
    terms = [Binary(seal.term(kind, *each)) for each in clause.any_of if isinstance(each, Term)]
    alternatives: list[Filter] = [{"index": {"$in": terms}}] if terms else []
    for each in clause.any_of:
        if isinstance(each, Span):
            parameter = range_term(seal, kind, each.parameter)
            wanted = {"p": parameter, **dict(_bounds(each))}
            alternatives.append({"ranges": {"$elemMatch": wanted}})
    return {"$or": alternatives} if len(alternatives) != 1 else alternatives[0]


def _bounds(span: Span) -> Iterator[tuple[str, Filter]]:
    for end in ("lo", "hi"):
        tests = {
            f"${name}": value
            for name in ("gte", "gt", "lte", "lt")
            if (value := getattr(span, f"{end}_{name}", None)) is not None
        }
        if tests:
            yield end, tests


def _by_id(clause: Clause, kind: str, seal: Seal) -> Filter:
    return {"_id": {"$in": [f"{kind}/{value}" for value in clause.values]}}


def _by_updated(clause: Clause, kind: str, seal: Seal) -> Filter:
    """A row's instant is the millisecond [updated, updated + 1)."""
    return {"$or": [_instant(each) for each in clause.any_of if isinstance(each, Span)]}


def _instant(span: Span) -> Filter:
    tests = []
    for end, bounds in _bounds(span):
        shift = 0 if end == "lo" else 1
        for name, value in bounds.items():
            tests.append({"updated": {name: moment(int(value) - shift)}})
    return {"$and": tests}


def moment(milliseconds: int) -> datetime:
    """A date of BSON, cut to the years that Python knows."""
    try:
        return EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        edge = datetime.min if milliseconds < 0 else datetime.max
        return edge.replace(tzinfo=UTC, microsecond=0)


_BY_KIND: dict[str, Callable[[Clause, str, Seal], Filter]] = {"id": _by_id, "updated": _by_updated}
