"""The journal: durable when `append` returns, whoever else appends; read by whom it concerns."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from bson import BSON
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.monitoring import CommandListener, CommandStartedEvent

from hie_server.audit.events import Entity, Event
from hie_server.audit.index import narrowed
from hie_server.audit.journal import Journal, Refusals, Viewer, by_exchange
from hie_server.config import Settings
from hie_server.fhir.outcomes import FhirError
from hie_server.fhir.query import parse_query
from hie_server.store.access import EXCHANGE, Access
from hie_server.store.database import Store
from hie_server.store.repository import Repository
from tests.support import Json, observation

ASHA, RAVI = (f"Patient/00000000-0000-4000-8000-00000000000{n}" for n in "ab")
HOSPITAL, CLINIC = "Organization/hospital", "Organization/clinic"
EVENT = Event("0", "2026-01-15T06:30:00.000Z", "read", 200, client="c", facility=HOSPITAL)


def numbered(number: int, **more: Any) -> Event:
    return replace(EVENT, id=str(number), **more)


def found(journal: Journal, viewer: Viewer, *pairs: tuple[str, str]) -> list[str]:
    query = parse_query("AuditEvent", [("_count", "1000"), *pairs])
    page = journal.search(viewer, narrowed(query), None)
    return sorted(row["_id"].partition("/")[2] for row in page.rows)


class Inserts(CommandListener):
    """How many insert commands the journal took."""

    def __init__(self) -> None:
        self.number = 0

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "insert" and event.command["insert"] == "journal":
            self.number += 1

    def succeeded(self, event: object) -> None:
        pass

    failed = succeeded


def append_at_once(journal: Journal, threads: int, each: int) -> list[str]:
    """The ids whose append returned without an error."""
    durable: list[str] = []
    gate = threading.Barrier(threads)

    def work(first: int) -> None:
        gate.wait()
        for number in range(first, first + each):
            journal.append(numbered(number))
            durable.append(str(number))

    workers = [threading.Thread(target=work, args=(n * each,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return durable


def test_entries_appended_at_once_are_all_durable_and_share_commits(
    store: Store, settings: Settings
) -> None:
    inserts = Inserts()
    client: MongoClient[Json]
    with MongoClient(settings.mongodb_uri, event_listeners=[inserts], tz_aware=True) as client:
        db: Database[Json] = client.get_default_database()
        db = db.with_options(write_concern=store.db.write_concern)
        journal = Journal(replace(store, client=client, db=db))
        durable = append_at_once(journal, threads=16, each=25)
    assert len(durable) == 400
    stored = {row["_id"] for row in store.db.journal.find({"_id": {"$ne": "x"}}, {"_id": 1})}
    assert {f"AuditEvent/{each}" for each in durable} <= stored
    assert 25 <= inserts.number < 400


def test_an_entry_that_cant_be_written_is_503_for_all_who_waited_with_it(store: Store) -> None:
    journal = Journal(store)
    validator = {"$jsonSchema": {"required": ["nothing has this"]}}
    store.db.command("collMod", "journal", validator=validator)
    try:
        with pytest.raises(FhirError) as refused:
            journal.append(numbered(1))
    finally:
        store.db.command("collMod", "journal", validator={})
    assert refused.value.status == 503 and refused.value.headers["Retry-After"]
    journal.append(numbered(2))
    assert found(journal, Viewer(HOSPITAL)) == ["2"]


def test_a_lost_database_is_503(store: Store) -> None:
    nowhere: MongoClient[Json]
    with MongoClient("mongodb://127.0.0.1:1/", serverSelectionTimeoutMS=50) as nowhere:
        lost = Journal(replace(store, client=nowhere, db=nowhere.gone))
        with pytest.raises(FhirError) as refused:
            lost.append(numbered(1))
    assert refused.value.status == 503


def test_an_entry_is_on_disk_sealed(store: Store) -> None:
    event = numbered(
        1, asked="Patient?name=Satyendra", entities=(Entity(ASHA, "Observation/1/_history/1"),),
        status=403, reason="no consent permits", refusal_of="0",
    )
    Journal(store).append(event)
    row = store.db.journal.find_one({"_id": "AuditEvent/1"})
    assert row is not None and row["custodian"] == EXCHANGE
    for said in (b"Satyendra", ASHA.encode(), HOSPITAL.encode(), b"consent", b"Observation"):
        assert said not in BSON.encode(row)


def test_each_sees_what_concerns_them(store: Store) -> None:
    journal = Journal(store)
    journal.append(numbered(1, entities=(Entity(ASHA),)))
    journal.append(numbered(2, entities=(Entity(RAVI), Entity(ASHA))))
    journal.append(numbered(3, facility=CLINIC, entities=(Entity(RAVI),)))
    journal.append(numbered(4, facility=None, citizen=ASHA))
    refusal = {"refusal_of": "5", "reason": "no consent permits", "status": 403}
    journal.append(numbered(6, entities=(Entity(ASHA),), **refusal))
    theirs = found(journal, Viewer(None, frozenset({ASHA})))
    assert len(theirs) == 4 and {"1", "4", "6"} < {*theirs}
    ravis = found(journal, Viewer(None, frozenset({RAVI})))
    assert len(ravis) == 2 and "3" in ravis and not {*theirs} & {*ravis}
    assert {*found(journal, Viewer(None, frozenset({ASHA, RAVI})))} == {*theirs, *ravis}
    assert found(journal, Viewer(HOSPITAL)) == ["1", "2"]
    assert found(journal, Viewer(CLINIC)) == ["3"]
    assert found(journal, Viewer()) == []
    assert found(journal, Viewer(HOSPITAL), ("patient", RAVI)) == ["2"]
    assert found(journal, Viewer(None, frozenset({ASHA})), ("outcome", "4")) == ["6"]
    for viewer, status in ((Viewer(CLINIC), 404), (Viewer(), 404)):
        with pytest.raises(FhirError) as refused:
            journal.read(viewer, "1")
        assert refused.value.status == status
    assert journal.read(Viewer(HOSPITAL), "1")["id"] == "1"


def test_the_exchanges_own_write_and_its_entry_are_one(store: Store) -> None:
    before = store.db.journal.count_documents({})
    repository = Repository(store, Access(custodian=HOSPITAL))
    repository.create(observation(ASHA), [by_exchange(store)])
    journal = Journal(store)
    assert store.db.journal.count_documents({}) == before + 1
    assert len(found(journal, Viewer(None, frozenset({ASHA})))) == 1
    repository.create(observation("Patient/9876543210"), [by_exchange(store)])
    assert len(found(journal, Viewer(None, frozenset({"Patient/9876543210"})))) == 0


def test_refusals_are_explained_after_the_answer_and_a_failure_stops_no_later_one(
    store: Store,
) -> None:
    journal = Journal(store)

    def explain(event: Event) -> list[Event]:
        if event.id == "1":
            raise FhirError(400, [])
        if event.id == "2":
            return []
        why = f"{event.id}-why"
        return [replace(event, id=why, entities=(Entity(ASHA),), refusal_of=event.id)]

    refusals = Refusals(journal, explain)
    refusals.settle()
    for number in (1, 2, 3, 4):
        refusals.put(numbered(number, status=404))
    refusals.settle()
    assert found(journal, Viewer(None, frozenset({ASHA}))) == ["3-why", "4-why"]
