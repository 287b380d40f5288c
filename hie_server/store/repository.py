"""Repository(store, access): the only door to the records.

Whatever is asked, the access filter is part of the query, in every branch of its root `$or`.
https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Callable, Iterable, Sequence

from bson.binary import Binary
from pymongo.client_session import ClientSession

from hie_server.fhir.outcomes import FhirError, Issue, not_found
from hie_server.fhir.query import Query
from hie_server.fhir.resources import dump, parse
from hie_server.store.access import Access, Filter
from hie_server.store.database import Store
from hie_server.store.pages import Page, find_page
from hie_server.store.records import (
    Resource,
    Row,
    history_of,
    open_body,
    row_of,
    stamp,
    tombstone_of,
)

READ_INDEX = "read"
# Stands in for the custodian of a record that is not there: the same look-up is made.
DECOY = "Organization/00000000-0000-4000-8000-000000000000"
Terms = Iterable[tuple[str, ...]]


@dataclass(frozen=True)
class Version:
    """One version as it leaves the store. `body` is None where it was deleted."""

    reference: str
    version: int
    updated: datetime
    body: bytes | None
    patient: str | None
    custodian: str
    created: bool = False
    unchanged: bool = False


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
        row = self._current(kind, identity)
        if row is None:
            raise not_found()
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

    def sees(self, references: Sequence[str]) -> bool:
        """Whether any of these is visible; decided by rows alone, no body is opened."""
        by_kind: dict[str, list[str]] = {}
        for reference in references:
            by_kind.setdefault(reference.partition("/")[0], []).append(reference)
        return any(
            self.store.db.resources.find_one(
                {**self._visible(kind, {"_id": {"$in": ids}}), "tombstone": False}, {"_id": 1}
            )
            for kind, ids in by_kind.items()
        )

    def search(self, query: Query, after: tuple[datetime, str] | None = None) -> Page:
        """One page of what the query and the access both match."""
        return find_page(self.store, "resources", self._branches(query.type), query, after)

    def versions(self, page: Page) -> list[Version]:
        self.store.seal.preload(row["kid"] for row in page.rows)
        return [self._version(row) for row in page.rows]

    def check_mine(self, kind: str, identity: str) -> None:
        """405 alike for an id that is unknown, hidden or another's, before anything else."""
        mine = {"_id": f"{kind}/{identity}", "custodian": self.access.custodian}
        if self.store.db.resources.find_one(mine, {"_id": 1}, hint=READ_INDEX) is None:
            raise _not_yours()

    def create(
        self,
        resource: Resource,
        also: Sequence[Also] = (),
        terms: Terms = (),
        identity: str | None = None,
    ) -> Version:
        """The server chooses the id; `identity` is for the exchange's own entries."""
        identity = identity or new_id(self.store)

        def write(session: ClientSession) -> Version:
            row = self._row(stamp(resource, identity, 1, self.store.instant()), terms)
            self.store.db.resources.insert_one(row, session=session)
            return self._done(session, row, also, created=True)

        return self._transact(write)

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

        def write(session: ClientSession) -> Version:
            row = self._mine(kind, identity, if_match, session)
            if not row["tombstone"] and self._same(row, resource):
                return self._done(session, row, also, unchanged=True)
            updated = self._after(row)
            new = self._row(stamp(resource, identity, row["version"] + 1, updated), terms)
            self._replace(row, new, session)
            return self._done(session, new, also, created=row["tombstone"])

        return self._transact(write)

    def delete(
        self,
        kind: str,
        identity: str,
        if_match: int | None = None,
        also: Sequence[Also] = (),
    ) -> Version:
        """Idempotent for its custodian; 405 alike for everybody else."""

        def write(session: ClientSession) -> Version:
            row = self._mine(kind, identity, if_match, session)
            if row["tombstone"]:
                return self._done(session, row, also, unchanged=True)
            new = tombstone_of(row, self._after(row))
            self._replace(row, new, session)
            return self._done(session, new, also)

        return self._transact(write)

    def _branches(self, kind: str, key: str = "_id") -> list[Filter]:
        return self.access.branches(kind, self.store.seal.term, key)

    def _visible(self, kind: str, own: Filter, key: str = "_id") -> Filter:
        """`own` is repeated in each branch: MongoDB then refuses a hidden row by its index."""
        branches = self._branches(kind, key) or [{"_id": {"$in": []}}]
        return {"$or": [{**own, "$and": [branch]} for branch in branches]}

    def _current(self, kind: str, identity: str) -> Row | None:
        own = {"_id": f"{kind}/{identity}"}
        return self.store.db.resources.find_one(self._visible(kind, own), hint=READ_INDEX)

    def _mine(
        self, kind: str, identity: str, if_match: int | None, session: ClientSession
    ) -> Row:
        own = {"_id": f"{kind}/{identity}", "custodian": self.access.custodian}
        row = self.store.db.resources.find_one(own, session=session)
        if row is None:
            raise _not_yours()
        if if_match is not None and if_match != row["version"]:
            current = f'The current version is W/"{row["version"]}".'
            raise FhirError(412, [Issue("conflict", f"If-Match is stale. {current}")])
        return row

    def _row(self, resource: Resource, terms: Terms) -> Row:
        custodian = self.access.custodian
        if custodian is None:
            raise _not_yours()
        updated = datetime.fromisoformat(resource["meta"]["lastUpdated"])
        return row_of(resource, custodian, updated, self.store, self.zone, terms)

    def _after(self, row: Row) -> datetime:
        """Now, but never before the version it follows."""
        return max(self.store.instant(), row["updated"] + timedelta(milliseconds=1))

    def _same(self, row: Row, resource: Resource) -> bool:
        stored = parse(open_body(row, self.store.seal))
        again = stamp(resource, stored["id"], row["version"], row["updated"])
        return dump(again) == dump(stored)

    def _replace(self, old: Row, new: Row, session: ClientSession) -> None:
        db = self.store.db
        expected = {"_id": old["_id"], "version": old["version"]}
        replaced = db.resources.replace_one(expected, new, session=session)
        if replaced.matched_count != 1:
            raise FhirError(409, [Issue("conflict", "It was changed meanwhile; try again.")])
        db.history.insert_one(history_of(old), session=session)

    def _done(
        self, session: ClientSession, row: Row, also: Sequence[Also], **facts: bool
    ) -> Version:
        version = self._version(row, **facts)
        for write in also:
            write(session, version)
        return version

    def _transact(self, write: Callable[[ClientSession], Version]) -> Version:
        """All or nothing; MongoDB's driver runs `write` again after a conflict."""
        with self.store.client.start_session() as session:
            return session.with_transaction(write)

    def _version(self, row: Row, **facts: bool) -> Version:
        body = None if row["tombstone"] else open_body(row, self.store.seal)
        return Version(
            str(row.get("resource", row["_id"])),
            row["version"],
            row["updated"],
            body,
            row["patient"],
            row["custodian"],
            **facts,
        )


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


def _not_yours() -> FhirError:
    diagnostics = "Only a resource that you hold can be changed, and the server chooses ids."
    return FhirError(405, [Issue("not-supported", diagnostics)], {"Allow": "GET, HEAD"})
