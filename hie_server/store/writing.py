"""Writes: one or a thousand in one transaction, all or nothing, with what must go with them.

An update copies the version it replaces to `history`, and replaces it only if it is still the
expected one. MongoDB's driver runs a transaction again after a conflict, so nothing here may be
done before the commit that can't be done twice.
https://www.mongodb.com/docs/manual/core/transactions/
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Callable, Iterable, Sequence

import pymongo
from pymongo import ReplaceOne, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.read_concern import ReadConcern

from hie_server.fhir.outcomes import FhirError, Issue
from hie_server.fhir.resources import dump, parse
from hie_server.store.database import Store
from hie_server.store.records import (
    Resource,
    Row,
    Version,
    history_of,
    open_body,
    row_of,
    stamp,
    tombstone_of,
    version_of,
)

DUPLICATE = 11000
SECONDS, SECONDS_EACH = 5.0, 0.03  # that a transaction may take, and more for each write
Terms = Iterable[tuple[str, ...]]


@dataclass(frozen=True)
class Write:
    """`identity`: the resource's id · `resource`: None deletes · `creates`: the id is new; else
    it must be the custodian's own · `upsert`: either · `if_match`: the version expected ·
    `terms`: who else may read it."""

    kind: str
    identity: str
    resource: Resource | None
    creates: bool = False
    upsert: bool = False
    if_match: int | None = None
    terms: tuple[tuple[str, ...], ...] = ()

    @property
    def reference(self) -> str:
        return f"{self.kind}/{self.identity}"


# What is written in the same transaction as the records: their journal event, a person's epoch.
AlsoAll = Callable[[ClientSession, Sequence[Version]], None]


@dataclass(frozen=True)
class _Change:
    """`new` follows `old`; without `old` it is the first, without `new` nothing changes."""

    old: Row | None
    new: Row | None

    def version(self, store: Store) -> Version:
        row = self.new or self.old or {}
        created = self.new is not None and (self.old is None or self.old["tombstone"])
        version = version_of(row, store.seal)
        return replace(
            version, created=created and not row["tombstone"], unchanged=self.new is None
        )


@dataclass(frozen=True)
class Writer:
    """Writes in the custody of one custodian."""

    store: Store
    custodian: str
    zone: tzinfo

    def write(self, writes: Sequence[Write], also: AlsoAll) -> list[Version]:
        """The versions written, in order. 405 for what isn't the custodian's, 412 for a stale
        `if_match`, DuplicateKeyError for an id that is taken; then nothing is written."""

        def transaction(session: ClientSession) -> list[Version]:
            current = self._current(writes, session)
            changes = [self._change(each, current.get(each.reference)) for each in writes]
            self._store(changes, session)
            versions = [each.version(self.store) for each in changes]
            also(session, versions)
            return versions

        # without a limit the driver tries for two minutes while the database is gone
        patience = pymongo.timeout(SECONDS + SECONDS_EACH * len(writes))
        with patience, self.store.client.start_session() as session:
            return session.with_transaction(
                transaction,
                read_concern=ReadConcern("snapshot"),
                write_concern=WriteConcern("majority", j=True),
            )

    def _current(self, writes: Sequence[Write], session: ClientSession) -> dict[str, Row]:
        known = [each.reference for each in writes if not each.creates]
        if not known:
            return {}
        own = {"_id": {"$in": known}, "custodian": self.custodian}
        return {row["_id"]: row for row in self.store.db.resources.find(own, session=session)}

    def _change(self, write: Write, old: Row | None) -> _Change:
        if old is None and not (write.creates or write.upsert):
            raise not_yours()
        if old is not None and write.if_match not in (None, old["version"]):
            current = f'The current version is W/"{old["version"]}".'
            raise FhirError(412, [Issue("conflict", f"If-Match is stale. {current}")])
        if write.resource is None:
            gone = old is None or old["tombstone"]
            return _Change(old, None if gone or old is None else self._tombstone(old))
        if old is not None and not old["tombstone"] and self._same(old, write.resource):
            return _Change(old, None)
        version, updated = 1, self.store.instant()
        if old is not None:
            version, updated = old["version"] + 1, self._after(old)
        return _Change(old, self._row(write, version, updated))

    def _row(self, write: Write, version: int, updated: datetime) -> Row:
        stamped = stamp(write.resource or {}, write.identity, version, updated)
        return row_of(stamped, self.custodian, updated, self.store, self.zone, write.terms)

    def _tombstone(self, old: Row) -> Row:
        return tombstone_of(old, self._after(old))

    def _after(self, old: Row) -> datetime:
        """Now, but never before the version it follows."""
        return max(self.store.instant(), old["updated"] + timedelta(milliseconds=1))

    def _same(self, old: Row, resource: Resource) -> bool:
        stored = parse(open_body(old, self.store.seal))
        return dump(stamp(resource, stored["id"], old["version"], old["updated"])) == dump(stored)

    def _store(self, changes: Sequence[_Change], session: ClientSession) -> None:
        db = self.store.db
        inserted = [each.new for each in changes if each.old is None and each.new]
        replaced = [(each.old, each.new) for each in changes if each.old and each.new]
        if inserted:
            try:
                db.resources.insert_many(inserted, session=session)
            except BulkWriteError as error:
                raise _duplicate(error) from error
        if replaced:
            orders = [
                ReplaceOne({"_id": old["_id"], "version": old["version"]}, new)
                for old, new in replaced
            ]
            done = db.resources.bulk_write(orders, session=session)
            if done.matched_count != len(replaced):
                raise FhirError(409, [Issue("conflict", "It was changed meanwhile; try again.")])
            db.history.insert_many([history_of(old) for old, _ in replaced], session=session)


def _duplicate(error: BulkWriteError) -> Exception:
    codes = {each.get("code") for each in (error.details or {}).get("writeErrors", ())}
    return DuplicateKeyError("The id is taken.", DUPLICATE) if codes == {DUPLICATE} else error


def not_yours() -> FhirError:
    diagnostics = "Only a resource that you hold can be changed, and the server chooses ids."
    return FhirError(405, [Issue("not-supported", diagnostics)], {"Allow": "GET, HEAD"})
