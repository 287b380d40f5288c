"""One page of a search: keyset by what it is sorted by, counts only of what may be seen.

A clause that terms can't answer exactly is asked of the decrypted body, up to a bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Iterator

import pymongo
from pymongo.errors import ExecutionTimeout

from hie_server.fhir.match import satisfies
from hie_server.fhir.outcomes import FhirError, Issue
from hie_server.fhir.query import Clause, Query
from hie_server.fhir.resources import parse
from hie_server.store.access import NOTHING, Filter
from hie_server.store.database import Store
from hie_server.store.filters import conditions
from hie_server.store.records import Row, open_body
from hie_server.store.sorting import MOST_SORTED, first_sorted

MOST_BODIES = 2_000
# Bytes of resources; a page that would be larger ends earlier, and goes on with the next.
MOST_PAGE = 32 * 1024 * 1024
# What a page has no use for; sorting by values looks at the ranges.
UNUSED = ("ranges", "index", "kept", "kinds", "mentions", "labels", "others")
# (updated, _id), or the place of a page that is sorted by values.
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Page:
    """`rows` of this page · `after`: the key the next one starts behind, None on the last ·
    `total`: None where it was not asked for."""

    rows: tuple[Row, ...]
    after: Key | None
    total: int | None


def find_page(
    store: Store, collection: str, branches: list[Filter], query: Query, after: Key | None
) -> Page:
    """`branches`: the alternatives under which a row may be seen; none, and nothing is found.

    FhirError 403 `too-costly` where it takes longer than the store allows: what is walked are rows
    that the caller may see, so the time tells nothing of others.
    """
    try:
        with pymongo.timeout(store.search_seconds):
            return _page(store, collection, branches, query, after)
    except ExecutionTimeout as error:
        diagnostics = "The search takes too long: narrow it, or ask for no total."
        raise FhirError(403, [Issue("too-costly", diagnostics)]) from error


def _page(
    store: Store, collection: str, branches: list[Filter], query: Query, after: Key | None
) -> Page:
    seen = _Seen(store, collection, branches, query)
    total = seen.count() if query.total != "none" or query.summary == "count" else None
    if query.summary == "count":
        return Page((), None, total)
    rows = list(seen.placed(query.count + 1, after))
    fit = _fitting([row for _, row in rows[: query.count]])
    more = len(rows) > fit
    rows = rows[:fit]
    return Page(tuple(row for _, row in rows), rows[-1][0] if more else None, total)


def _fitting(rows: list[Row]) -> int:
    """How many of the rows a page has room for; one at least."""
    size = 0
    for number, row in enumerate(rows):
        size += row["size"]
        if size > MOST_PAGE and number:
            return number
    return len(rows)


class _Seen:
    """The rows that the query matches and the caller may see."""

    def __init__(self, store: Store, collection: str, branches: list[Filter], query: Query):
        self.store, self.collection = store, store.db[collection]
        self.wanted = conditions(query, store.seal)
        self.branches = branches
        self.residual = [clause for clause in query.clauses if not clause.exact]
        self.descending = query.by_update and query.sort[0][1]
        self.query = query

    def filter(self, after: Key | None = None) -> Filter:
        wanted = [*self.wanted, *([self._behind(after)] if after else [])]
        if not self.branches:
            return NOTHING
        return {"$or": [{"$and": [branch, *wanted]} for branch in self.branches]}

    def placed(self, number: int, after: Key | None) -> Iterable[tuple[Key, Row]]:
        """The first rows behind a place, each with its own."""
        if self.query.by_update:
            return [((row["updated"], row["_id"]), row) for row in self.first(number, after)]
        rows = self._checked(None) if self.residual else self._rows(None, MOST_SORTED + 1)
        return first_sorted(rows, self.query, self.store.seal, after, number)

    def _behind(self, after: Key) -> Filter:
        further = "$lt" if self.descending else "$gt"
        updated, identity = after
        return {
            "$or": [
                {"updated": {further: updated}},
                {"updated": updated, "_id": {further: identity}},
            ]
        }

    def count(self) -> int:
        if not self.residual:
            return self.collection.count_documents(self.filter())
        return sum(1 for _ in self._checked(None))

    def first(self, number: int, after: Key | None) -> list[Row]:
        if not self.residual:
            return list(self._rows(after, number))
        rows = []
        for row in self._checked(after):
            rows.append(row)
            if len(rows) == number:
                break
        return rows

    def _rows(self, after: Key | None, limit: int = 0) -> Iterator[Row]:
        direction = -1 if self.descending else 1
        unused = UNUSED if self.query.by_update else UNUSED[1:]
        cursor = self.collection.find(self.filter(after), dict.fromkeys(unused, 0), limit=limit)
        yield from cursor.sort([("updated", direction), ("_id", direction)])

    def _checked(self, after: Key | None) -> Iterator[Row]:
        """Rows whose bodies bear the residual clauses out, each looked at once."""
        looked_at = 0
        for row in self._rows(after):
            looked_at += 1
            if looked_at > MOST_BODIES:
                raise _too_costly(self.residual)
            body: dict[str, Any] = parse(open_body(row, self.store.seal))
            if all(satisfies(body, clause) for clause in self.residual):
                yield row


def _too_costly(residual: list[Clause]) -> FhirError:
    names = ", ".join(sorted({clause.parameter for clause in residual}))
    diagnostics = f"Too many resources to look through for {names}: narrow the search."
    return FhirError(403, [Issue("too-costly", diagnostics)])
