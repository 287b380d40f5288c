"""Entries of before are found by the journal's terms of today."""

from __future__ import annotations

from importlib import import_module

from bson.binary import Binary

from hie_server.audit.events import SEARCHABLE, render
from hie_server.audit.index import KIND, narrowed
from hie_server.audit.journal import Journal, Viewer
from hie_server.fhir.index import index
from hie_server.fhir.query import parse_query
from hie_server.store.database import Store
from tests.audit.test_events import FULL

FACILITY = Viewer("Organization/1")


def kept_as_before(store: Store) -> None:
    """An entry with a term for each value of its AuditEvent, and the date as a range."""
    Journal(store).append(FULL)
    found = index(render(FULL), only=frozenset(SEARCHABLE)).terms
    audience = (KIND, "-facility", "", "Organization/1")
    old = [store.seal.term(*each) for each in [*((KIND, *term) for term in found), audience]]
    change = {"index": [Binary(each) for each in old], "ranges": [{"p": b"x", "lo": 0, "hi": 1}]}
    store.db.journal.update_one({"_id": f"{KIND}/{FULL.id}"}, {"$set": change})


def found_by(store: Store, *pairs: tuple[str, str]) -> bool:
    query = narrowed(parse_query(KIND, pairs))
    return bool(Journal(store).search(FACILITY, query, None).rows)


def test_an_entry_of_before_is_found_and_its_audience_stays(store: Store) -> None:
    kept_as_before(store)
    assert not found_by(store, ("action", "E"))
    for _ in range(2):
        import_module("hie_server.migrations.0005_journal").upgrade(store)
        assert found_by(store, ("action", "E"), ("patient", FULL.entities[0].patient or ""))
    row = store.db.journal.find_one({"_id": f"{KIND}/{FULL.id}"})
    assert row is not None and "ranges" not in row
    assert store.seal.term(KIND, "-concerns", "", FULL.entities[0].patient) not in row["index"]
