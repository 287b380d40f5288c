"""A page sorted by values: of the rows that match, up to a bound, the first behind a place.

Keys of dates, numbers and quantities are in the row, the others in its body. A place is what the
last row was sorted by, so what is added or deleted meanwhile moves nothing.
https://hl7.org/fhir/R4/search.html#sort
"""

from __future__ import annotations

import heapq
from datetime import timedelta
from typing import Any, Iterable, Iterator, Sequence

from hie_server.fhir.outcomes import FhirError, Issue
from hie_server.fhir.query import Query
from hie_server.fhir.resources import parse
from hie_server.fhir.sorting import RANGED, Sort, Value, kind_of, order, text_of
from hie_server.store.filters import EPOCH
from hie_server.store.records import Row, open_body, range_term
from hie_server.store.sealing import Seal

MOST_SORTED = 5_000
Place = tuple[Value, ...]


def first_sorted(
    rows: Iterable[Row], query: Query, seal: Seal, after: Sequence[Value] | None, number: int
) -> list[tuple[Place, Row]]:
    """Up to `number` of them with their places; FhirError 403 `too-costly` over MOST_SORTED."""
    start = order(after, query.sort) if after is not None else None
    placed = ((place_of(row, query.sort, seal), row) for row in _bounded(rows, query.sort))
    ordered = ((order(place, query.sort), place, row) for place, row in placed)
    behind = (each for each in ordered if start is None or each[0] > start)
    found = heapq.nsmallest(number, behind, key=lambda each: each[0])
    return [(place, row) for _, place, row in found]


def _bounded(rows: Iterable[Row], sort: Sort) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        if number > MOST_SORTED:
            names = ", ".join(code for code, _ in sort)
            right = f"More than {MOST_SORTED:,} resources to sort by {names}: narrow the search."
            raise FhirError(403, [Issue("too-costly", right, "_sort")])
        yield row


def place_of(row: Row, sort: Sort, seal: Seal) -> Place:
    """A value for each key, then the row's id."""
    body: dict[str, Any] | None = None
    values: list[Value] = []
    for code, is_falling in sort:
        kind = kind_of(row["type"], code)
        if code == "_lastUpdated":
            values.append((row["updated"] - EPOCH) // timedelta(milliseconds=1))
        elif not kind:
            values.append(row["_id"])
        elif kind in RANGED:
            values.append(_end(row, bytes(range_term(seal, row["type"], code)), is_falling))
        else:
            body = body or parse(open_body(row, seal))
            values.append(text_of(body, code, is_falling))
    return (*values, row["_id"])


def _end(row: Row, name: bytes, is_falling: bool) -> int | float | None:
    found = [each for each in row["ranges"] if name == each["p"] or name in each["p"]]
    if is_falling:
        return max((each["hi"] for each in found), default=None)
    return min((each["lo"] for each in found), default=None)
