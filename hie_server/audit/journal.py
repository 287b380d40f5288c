"""The journal: append-only, sealed, durable before the first byte of an answer leaves.

Requests that arrive while an entry is being committed are committed together by the next.
It is read as AuditEvents: by a citizen what concerns them, by a facility its own requests.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Callable

from bson.binary import Binary
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from hie_server.audit.events import INTERACTIONS, Entity, Event, from_json, render
from hie_server.audit.index import terms
from hie_server.fhir.outcomes import FhirError, Issue, not_found
from hie_server.fhir.query import Query
from hie_server.fhir.resources import dump, parse
from hie_server.store.access import EXCHANGE, Filter
from hie_server.store.database import Store
from hie_server.store.pages import Page, find_page
from hie_server.store.records import Row, Version, instant_text, open_body
from hie_server.store.repository import Also, new_id

log = logging.getLogger(__name__)


@dataclass
class _Waiting:
    rows: list[Row]
    done: bool = False
    error: PyMongoError | None = None


@dataclass
class Journal:
    store: Store
    # told of every commit: how many entries, in how many seconds, whether it failed
    watch: Callable[[int, float, bool], None] = lambda entries, seconds, failed: None
    _waiting: list[_Waiting] = field(default_factory=list)
    _list: threading.Lock = field(default_factory=threading.Lock)
    _commit: threading.Lock = field(default_factory=threading.Lock)

    def append(self, event: Event) -> None:
        """Returns when the entry is durable; 503 where it can't be."""
        mine = _Waiting(self._rows(event))
        with self._list:
            self._waiting.append(mine)
        with self._commit:
            if not mine.done:
                self._commit_all()
        if mine.error is not None:
            raise unavailable() from mine.error

    def append_with(self, session: ClientSession, event: Event) -> None:
        """The entry as part of the transaction that writes the record."""
        self.store.db.journal.insert_many(self._rows(event), session=session)

    def _commit_all(self) -> None:
        with self._list:
            batch, self._waiting = self._waiting, []
        error, began = None, time.perf_counter()
        try:
            rows = [row for each in batch for row in each.rows]
            self.store.db.journal.insert_many(rows, ordered=False)
        except PyMongoError as failure:
            error = failure
        self.watch(len(batch), time.perf_counter() - began, error is not None)
        for each in batch:
            each.error, each.done = error, True

    def _rows(self, event: Event) -> list[Row]:
        """One entry; of what concerns several citizens, one for the asker and one for each of
        them, so that none is shown another."""
        patients = event.patients()
        if len(patients) < 2 or event.citizen:
            return [self._row(event, _audience(event))]
        rows = [self._row(event, _asker(event))]
        for patient in patients:
            theirs = tuple(each for each in event.entities if each.patient == patient)
            alone = replace(event, id=new_id(self.store), entities=theirs)
            rows.append(self._row(alone, _concerned(alone)))
        return rows

    def _row(self, event: Event, audience: list[tuple[str, ...]]) -> Row:
        if event.interaction not in INTERACTIONS:
            raise ValueError(f"{event.interaction} is not among INTERACTIONS.")
        seal = self.store.seal
        reference = f"AuditEvent/{event.id}"
        body = dump(event.as_json())
        kid, sealed = seal.seal(EXCHANGE, body, f"{reference}|1")
        return {
            "_id": reference,
            "type": "AuditEvent",
            "version": 1,
            "updated": datetime.fromisoformat(event.recorded),
            "custodian": EXCHANGE,
            "index": [Binary(seal.term(*each)) for each in {*terms(event), *audience}],
            "kid": kid,
            "body": Binary(sealed),
            "size": len(body),
        }

    def search(self, viewer: Viewer, query: Query, after: tuple[datetime, str] | None) -> Page:
        """`query` in the journal's own terms (`index.narrowed`)."""
        return find_page(self.store, "journal", viewer.branches(self.store), query, after)

    def read(self, viewer: Viewer, identity: str) -> dict[str, Any]:
        wanted = {"_id": f"AuditEvent/{identity}"}
        branches = viewer.branches(self.store) or [{"_id": {"$in": []}}]
        row = self.store.db.journal.find_one({"$or": [{**wanted, **b} for b in branches]})
        if row is None:
            raise not_found()
        return self.shown(row, viewer)

    def shown(self, row: Row, viewer: Viewer) -> dict[str, Any]:
        """The AuditEvent as this viewer sees it: which consents a request relied on is the
        citizen's to know; whom else a search named is the asker's."""
        event = self.event(row)
        if viewer.facility is not None:
            bare = tuple(replace(each, consents=()) for each in event.entities)
            return render(replace(event, entities=bare))
        if viewer.patients:
            event = replace(event, asked=event.asked.partition("?")[0])
        return render(event)

    def event(self, row: Row) -> Event:
        return from_json(parse(open_body(row, self.store.seal)))


@dataclass(frozen=True)
class Viewer:
    """Whose view of the journal: one facility's own requests, or what concerns a citizen."""

    facility: str | None = None
    patients: frozenset[str] = frozenset()

    def branches(self, store: Store) -> list[Filter]:
        parts = [("AuditEvent", "-facility", "", self.facility)] if self.facility else []
        parts += [("AuditEvent", "-concerns", "", each) for each in sorted(self.patients)]
        return [{"index": Binary(store.seal.term(*each))} for each in parts]


def by_exchange(store: Store, interaction: str = "create") -> Also:
    """The entry of a write that the exchange itself makes, part of its transaction."""

    def append(session: ClientSession, version: Version) -> None:
        shown = version.patient if version.patient and "~" not in version.patient else None
        entity = Entity(shown, f"{version.reference}/_history/{version.version}")
        recorded = instant_text(store.instant())
        event = Event(
            new_id(store), recorded, interaction, 201, client=EXCHANGE, entities=(entity,)
        )
        Journal(store).append_with(session, event)

    return append


def _audience(event: Event) -> list[tuple[str, ...]]:
    return [*_concerned(event), *_asker(event)]


def _concerned(event: Event) -> list[tuple[str, ...]]:
    return [("AuditEvent", "-concerns", "", each) for each in event.patients()]


def _asker(event: Event) -> list[tuple[str, ...]]:
    """Why a read was refused is for the citizen alone."""
    if event.facility is None or event.refusal_of:
        return []
    return [("AuditEvent", "-facility", "", event.facility)]


def unavailable() -> FhirError:
    issue = Issue("transient", "The exchange can't answer now; try again.")
    return FhirError(503, [issue], {"Retry-After": "5"})


class Refusals:
    """Appends, after the answer has left, whom a refused read concerned and why."""

    def __init__(self, journal: Journal, explain: Callable[[Event], list[Event]]):
        self._journal, self._explain = journal, explain
        self._queue: queue.SimpleQueue[Event | threading.Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, event: Event) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="refusals", daemon=True)
            self._thread.start()
        self._queue.put(event)

    def settle(self) -> None:
        """Returns when all that was put before is appended."""
        if self._thread is not None:
            reached = threading.Event()
            self._queue.put(reached)
            reached.wait(30)

    def _work(self) -> None:
        while True:
            item = self._queue.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                for explained in self._explain(item):
                    self._journal.append(explained)
            except Exception as error:  # a fault in one must not lose the others
                log.error("A refusal is not explained: %s", type(error).__name__)
