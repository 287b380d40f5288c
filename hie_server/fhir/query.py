"""Query string → Query. Nothing is ignored in silence: a filter ignored is a disclosure.

https://hl7.org/fhir/R4/search.html · lenient handling: https://hl7.org/fhir/R4/search.html#errors
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Any, Callable, Iterable

from hie_server.fhir.clauses import (
    Clause,
    Moment,
    clause_of,
    id_clause,
    malformed,
    updated_clause,
)
from hie_server.fhir.elements import read_elements
from hie_server.fhir.escapes import split
from hie_server.fhir.hops import MOST_HOPS, Hop, is_hop, read_hop
from hie_server.fhir.index import parameters_for
from hie_server.fhir.outcomes import FhirError, bad_request
from hie_server.fhir.references import read_target
from hie_server.fhir.resources import is_id
from hie_server.fhir.sorting import read_sort
from hie_server.fhir.spans import Span
from hie_server.fhir.terms import Term

__all__ = ["Clause", "Query", "Span", "named", "parse_query", "widen"]

COUNT, MOST = 20, 1_000
LONGEST = MOST_VALUES = 1_000
MOST_PAIRS = 100
NEWEST_FIRST = (("_lastUpdated", True),)
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# What R4 lets a server leave out where the client asks for lenient handling.
_FORGIVEN = ("not-supported", "required", "value")


@dataclass(frozen=True)
class Query:
    """`sort`: (parameter, descending) · `total`: none, estimate or accurate · `summary`: "" or
    count · `cursor`: "" on the first page · `applied`: the pairs that count, for the self link ·
    `own`: where `clauses` were widened, what the asker's own records must meet instead ·
    `elements`: those to answer with, none for all · `hops`: what has to be found first · `place`:
    the path that is asked, where it isn't the type's."""

    type: str
    clauses: tuple[Clause, ...]
    sort: tuple[tuple[str, bool], ...] = NEWEST_FIRST
    count: int = COUNT
    total: str = "none"
    summary: str = ""
    cursor: str = ""
    applied: tuple[tuple[str, str], ...] = ()
    own: tuple[Clause, ...] = ()
    elements: tuple[str, ...] = ()
    hops: tuple[Hop, ...] = ()
    place: str = ""

    @property
    def by_update(self) -> bool:
        """Whether it is sorted by the time of writing alone."""
        return len(self.sort) == 1 and self.sort[0][0] == "_lastUpdated"

    def references(self, target: str) -> tuple[Clause, ...]:
        """The clauses that may name resources of type `target`, `_id` among them; see `named`."""
        return tuple(each for each in self.clauses if self._may_name(each, target))

    def _may_name(self, clause: Clause, target: str) -> bool:
        if clause.found:
            return False
        if clause.kind == "id":
            return self.type == target
        if clause.kind != "reference" or clause.modifier not in ("", target):
            return False
        return target in parameters_for(self.type)[clause.parameter].target


def named(clause: Clause, target: str) -> tuple[str, ...]:
    """The `target/id` that a clause of `references(target)` may mean; an id alone may mean one."""
    found = []
    for value in clause.values:
        if is_id(value):
            found.append(f"{target}/{value}")
        elif read_target(value).is_relative and read_target(value).type == target:
            found.append(read_target(value).url)
    return tuple(dict.fromkeys(found))


def widen(clause: Clause, references: Iterable[str]) -> Clause:
    """The clause, met by these references (`Patient/a`) as well."""
    more = tuple(references)
    if clause.kind == "id":
        ids = (each.rpartition("/")[2] for each in more)
        return replace(clause, values=tuple(dict.fromkeys((*clause.values, *ids))))
    codes = dict.fromkeys(each.parameter for each in clause.any_of)
    terms = (
        Term(code, "id" if is_id(each) else "reference", each) for each in more for code in codes
    )
    return replace(
        clause,
        values=tuple(dict.fromkeys((*clause.values, *more))),
        any_of=tuple(dict.fromkeys((*clause.any_of, *terms))),
    )


def parse_query(
    type: str,
    pairs: Iterable[tuple[str, str]],
    *,
    lenient: bool = False,
    zone: tzinfo = UTC,
    now_ms: int = 0,
    most_hops: int = MOST_HOPS,
) -> Query:
    """FhirError 400 names the parameter and what would be right.

    With `lenient`, what isn't known here is dropped, and is not in `applied`; a known parameter
    with a value that it can't have stays an error. `most_hops`: that may follow each other.
    """
    pairs, moment = list(pairs), Moment(zone, now_ms)
    if len(pairs) > MOST_PAIRS:
        raise bad_request(f"A search has at most {MOST_PAIRS} parameters.", code="too-long")
    parts: list[Clause | Hop | None] = []
    applied: list[tuple[str, str]] = []
    controls: dict[str, Any] = {}
    for name, value in pairs:
        try:
            parts.append(_part(controls, type, name, value, moment, most_hops))
        except FhirError as error:
            if lenient and error.issues[0].code in _FORGIVEN:
                continue
            raise
        if name != "_cursor":
            applied.append((name, value))
    if controls.get("count") == 0:  # by R4 the same as to ask for the total alone
        controls["summary"] = "count"
    clauses = tuple(each for each in parts if isinstance(each, Clause))
    hops = tuple(each for each in parts if isinstance(each, Hop))
    return Query(type, clauses, applied=tuple(applied), hops=hops, **controls)


def _part(
    controls: dict[str, Any], type: str, name: str, value: str, moment: Moment, most_hops: int
) -> Clause | Hop | None:
    """What a pair adds to the query; None for one that says how to answer."""
    _check(name, value)
    if name in _CONTROLS:
        _control(controls, type, name, value)
    elif is_hop(name):
        return _hop(type, name, value, moment, most_hops)
    elif name not in ("_format", "_pretty"):
        return _clause(type, name, value, moment)
    return None


def _hop(type: str, name: str, value: str, moment: Moment, most_hops: int) -> Hop:
    if not most_hops:
        diagnostics = f"{name[:100]}: at most {MOST_HOPS} searches may follow one from another."
        raise bad_request(diagnostics, name[:100], "too-costly")

    def parse(type: str, name: str, value: str) -> Query:
        if name in _CONTROLS:
            raise bad_request(f"{name} can't be asked of what is chained.", name)
        pairs = [(name, value)]
        more = most_hops - 1
        return parse_query(type, pairs, zone=moment.zone, now_ms=moment.now_ms, most_hops=more)

    return read_hop(type, name, value, parse)


def _check(name: str, value: str) -> None:
    if _UNSEEN.search(name) or _UNSEEN.search(value):
        shown = _UNSEEN.sub("\ufffd", name)
        raise bad_request(f"{shown}: control characters can't be searched for.", shown)
    if not name:
        raise bad_request("A parameter without a name: write name=value.", code="required")
    if not value:
        raise bad_request(f"{name} has no value: give one, or leave it out.", name, "required")


def _clause(type: str, name: str, value: str, moment: Moment) -> Clause:
    code, _, modifier = name.partition(":")
    values = split(value, ",")
    if not all(values):
        raise malformed(name, value, "a list of values: one of them is empty")
    if len(values) > MOST_VALUES:
        raise bad_request(f"{name} has at most {MOST_VALUES:,} values.", name, "too-long")
    if max(map(len, values)) > LONGEST:
        raise bad_request(f"{name}: a value has at most {LONGEST:,} characters.", name, "too-long")
    if name == "_id":
        return id_clause(values)
    if name == "_lastUpdated":
        return updated_clause(values, moment)
    parameter = parameters_for(type).get(code)
    if parameter is None or name.endswith(":"):
        raise _unknown(type, name)
    return clause_of(parameter, modifier, values, moment)


def _unknown(type: str, name: str) -> FhirError:
    known = ", ".join(["_id", "_lastUpdated", *parameters_for(type)])
    diagnostics = f"A search of {type} can't use {name[:100]}; it can use {known}."
    return bad_request(diagnostics, name[:100], "not-supported")


def _control(controls: dict[str, Any], type: str, name: str, value: str) -> None:
    field, read = _CONTROLS[name]
    if field in controls:
        raise bad_request(f"{name} is given more than once.", name)
    controls[field] = read(type, value)


def _count(_: str, value: str) -> int:
    if not re.fullmatch("[0-9]+", value) or len(value) > LONGEST:
        raise bad_request(f"_count must be a whole number from 0 to {MOST}.", "_count", "value")
    return min(int(value), MOST)


def _total(_: str, value: str) -> str:
    if value not in ("none", "estimate", "accurate"):
        raise bad_request("_total must be none, estimate or accurate.", "_total", "value")
    return value


def _summary(_: str, value: str) -> str:
    if value not in ("count", "false"):
        raise bad_request("_summary must be count or false.", "_summary", "not-supported")
    return "count" if value == "count" else ""


def _cursor(_: str, value: str) -> str:
    return value


# Each is read for the type that is searched.
_CONTROLS: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "_count": ("count", _count),
    "_sort": ("sort", read_sort),
    "_total": ("total", _total),
    "_summary": ("summary", _summary),
    "_cursor": ("cursor", _cursor),
    "_elements": ("elements", read_elements),
}
