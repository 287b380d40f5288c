"""Repository(store, access): the only door to the records.

Whatever is asked, the access filter is part of the query, in every branch of its root `$or`.
https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Any, Callable, Sequence

from bson.binary import Binary
from pymongo.client_session import ClientSession

from hie_server.fhir.outcomes import FhirError, Issue, bad_request, not_found
from hie_server.fhir.query import Query
from hie_server.store import indexing
from hie_server.store.access import Access, Filter
from hie_server.store.database import Store
from hie_server.store.filters import conditions
from hie_server.store.pages import UNUSED, Page, find_page
from hie_server.store.records import Resource, Row, Version, version_of
from hie_server.store.writing import AlsoAll, Terms, Write, Writer, not_yours

READ_INDEX = "read"
# Stands in for the custodian of a record that is not there: the same look-up is made.
DECOY = "Organization/00000000-0000-4000-8000-000000000000"

# What is written in the same transaction as the record: its journal event, a person's epoch.
Also = Callable[[ClientSession, Version], None]


def new_id(store: Store) -> str:
    return str(uuid.UUID(bytes=store.random(16), version=4))


@dataclass(frozen=True)
class Repository:
    store: Store
    access: Access
    zone: tzinfo = UTC

    def read(self, kind: str, identity: str) -> Version:
        """The current version; 404 where hidden or absent, 410 where it is deleted."""
        version = self.find(kind, identity)
        if version is None:
            raise not_found()
        return version

    def find(self, kind: str, identity: str) -> Version | None:
        """The current version, or None where hidden or absent; 410 where it is deleted."""
        row = self._current(kind, identity)
        if row is None:
            return None
        if row["tombstone"]:
            raise _gone()
        return self._version(row)

    def vread(self, kind: str, identity: str, version: int) -> Version:
        """A past version is visible only if the current resource and it itself both are."""
        row = self._current(kind, identity)
        if row is not None and row["version"] != version:
            own = {"_id": f"{kind}/{identity}/{version}"}
            row = self.store.db.history.find_one(self._visible(kind, own, "resource"))
        if row is None:
            raise not_found()
        if row["tombstone"]:
            raise _gone()
        return self._version(row)

    def history(self, kind: str, identity: str, before: int | None, count: int) -> list[Version]:
        """Up to `count` versions older than `before`, newest first; 404 where none is visible."""
        current = self._current(kind, identity)
        if current is None:
            raise not_found()
        older = {"resource": current["_id"], "version": {"$lt": before or current["version"]}}
        rows = [current] if before is None else []
        visible = self._visible(kind, older, "resource")
        past = self.store.db.history.find(visible).sort("version", -1).limit(count)
        rows.extend(past)
        return [self._version(row) for row in rows[:count]]

    def sees(self, references: Sequence[str]) -> set[str]:
        """Those of these that are visible; decided by rows alone, no body is opened."""
        by_kind: dict[str, list[str]] = {}
        for reference in references:
            by_kind.setdefault(reference.partition("/")[0], []).append(reference)
        found: set[str] = set()
        for kind, ids in by_kind.items():
            visible = {**self._visible(kind, {"_id": {"$in": ids}}), "tombstone": False}
            found.update(row["_id"] for row in self.store.db.resources.find(visible, {"_id": 1}))
        return found

    def search(self, query: Query, after: tuple[Any, ...] | None = None) -> Page:
        """One page of what the query and the access both match."""
        return find_page(self.store, "resources", self._searched(query), query, after)

    def versions(self, page: Page) -> list[Version]:
        self.store.seal.preload(row["kid"] for row in page.rows)
        return [self._version(row) for row in page.rows]

    def check_mine(self, kind: str, identity: str) -> None:
        """405 alike for an id that is unknown, hidden or another's, before anything else."""
        mine = {"_id": f"{kind}/{identity}", "custodian": self.access.custodian}
        if self.store.db.resources.find_one(mine, {"_id": 1}, hint=READ_INDEX) is None:
            raise not_yours()

    def create(
        self,
        resource: Resource,
        also: Sequence[Also] = (),
        terms: Terms = (),
        identity: str | None = None,
    ) -> Version:
        """The server chooses the id; `identity` is for the exchange's own entries."""
        kind, chosen = resource["resourceType"], identity or new_id(self.store)
        return self._write(Write(kind, chosen, resource, creates=True, terms=tuple(terms)), also)

    def update(
        self,
        kind: str,
        identity: str,
        resource: Resource,
        if_match: int | None = None,
        also: Sequence[Also] = (),
        terms: Terms = (),
    ) -> Version:
        """405 alike for an id that is unknown, hidden or another's; 412 for a stale `if_match`."""
        write = Write(kind, identity, resource, if_match=if_match, terms=tuple(terms))
        return self._write(write, also)

    def delete(
        self,
        kind: str,
        identity: str,
        if_match: int | None = None,
        also: Sequence[Also] = (),
    ) -> Version:
        """Idempotent for its custodian; 405 alike for everybody else."""
        return self._write(Write(kind, identity, None, if_match=if_match), also)

    def write(self, writes: Sequence[Write], also: AlsoAll) -> list[Version]:
        """All of these in one transaction, or none."""
        if self.access.custodian is None:
            raise not_yours()
        return Writer(self.store, self.access.custodian, self.zone).write(writes, also)

    def _write(self, write: Write, also: Sequence[Also]) -> Version:
        def each(session: ClientSession, versions: Sequence[Version]) -> None:
            for one in also:
                one(session, versions[0])

        return self.write([write], each)[0]

    def _branches(self, kind: str, key: str = "_id") -> list[Filter]:
        return self.access.branches(kind, self.store.seal.term, key)

    def _searched(self, query: Query) -> list[Filter]:
        if query.hops:
            raise bad_request("A condition can't be chained.", code="not-supported")
        indexing.check(self.store, query)
        branches = self._branches(query.type)
        if query.own and self.access.custodian is not None:
            narrower = conditions(replace(query, clauses=query.own), self.store.seal)
            branches[0] = {"$and": [{"custodian": self.access.custodian}, *narrower]}
        return branches

    def _visible(self, kind: str, own: Filter, key: str = "_id") -> Filter:
        """`own` is repeated in each branch: MongoDB then refuses a hidden row by its index."""
        branches = self._branches(kind, key) or [{"_id": {"$in": []}}]
        return {"$or": [{**own, "$and": [branch]} for branch in branches]}

    def _current(self, kind: str, identity: str) -> Row | None:
        own = {"_id": f"{kind}/{identity}"}
        visible, unused = self._visible(kind, own), dict.fromkeys(UNUSED, 0)
        return self.store.db.resources.find_one(visible, unused, hint=READ_INDEX)

    def _version(self, row: Row) -> Version:
        return version_of(row, self.store.seal)


def search_together(
    asked: Sequence[tuple[Repository, Query]], query: Query, after: tuple[Any, ...] | None
) -> Page:
    """One page of what each query and its own access match; `query` says how it is paged."""
    store = asked[0][0].store
    branches = [
        {"$and": [branch, *conditions(each, store.seal)]}
        for repository, each in asked
        for branch in repository._searched(each)
    ]
    return find_page(store, "resources", branches, query, after)


def whose(store: Store, reference: str) -> tuple[str | None, str | None]:
    """(custodian, patient) of a row, from the index alone; (None, None) where there is none."""
    row = store.db.resources.find_one(
        {"_id": reference}, {"custodian": 1, "patient": 1, "_id": 0}, hint=READ_INDEX
    )
    return (row["custodian"], row["patient"]) if row else (None, None)


def referrers(store: Store, reference: str, custodian: str | None, most: int) -> list[Row]:
    """The newest rows of this custodian that refer to it: `_id` and `patient` alone."""
    wanted = {
        "custodian": custodian or DECOY,
        "index": Binary(store.seal.term("*", "-ref", "", reference)),
    }
    rows = store.db.resources.find(wanted, {"patient": 1}).limit(most)
    return list(rows.sort([("updated", -1), ("_id", -1)]))


def _gone() -> FhirError:
    return FhirError(410, [Issue("deleted", "It was deleted.")])
