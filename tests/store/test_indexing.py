"""A search is refused, never short, while a parameter is not indexed everywhere."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from hie_server.fhir.outcomes import FhirError
from hie_server.fhir.query import parse_query
from hie_server.store import indexing
from hie_server.store.access import Access
from hie_server.store.database import Store
from hie_server.store.repository import Repository
from tests.support import observation

BY_CODE = [("code", "4548-4"), ("_count", "1000")]


def found(store: Store) -> set[str]:
    """By a process that knows nothing yet of the database."""
    store.known.clear()
    mine = Repository(store, Access("Organization/mine"))
    page = mine.search(parse_query("Observation", BY_CODE))
    return {row["_id"] for row in page.rows}


def forget(store: Store, name: str) -> None:
    """As if this parameter had just been added: no row has it, and it is not noted as built."""
    terms = {"$set": {"index": []}}
    store.db.resources.update_many({}, terms)
    store.db.state.update_one({"_id": "index"}, {"$pull": {"built": {"name": name}}})


@pytest.fixture
def stored(store: Store) -> set[str]:
    mine = Repository(store, Access("Organization/mine"))
    references = [mine.create(observation()) for _ in range(5)]
    mine.delete(*references.pop().reference.split("/"))
    return {each.reference for each in references}


def test_an_empty_database_needs_no_work(store: Store) -> None:
    assert indexing.pending(store) == frozenset()
    assert indexing.run(store, UTC, lambda _: None) == 0


def test_a_query_by_what_is_not_indexed_is_refused(store: Store, stored: set[str]) -> None:
    forget(store, "Observation.code")
    with pytest.raises(FhirError) as refused:
        found(store)
    assert refused.value.status == 503 and "code" in refused.value.issues[0].diagnostics
    store.known.clear()
    Repository(store, Access("Organization/mine")).search(parse_query("Observation", []))


def test_reindexing_makes_it_whole(store: Store, stored: set[str]) -> None:
    before = {row["_id"]: row for row in store.db.resources.find()}
    forget(store, "Observation.code")
    heard: list[int] = []
    assert indexing.run(store, UTC, heard.append) == sum(heard) == len(before)
    assert found(store) == stored
    after = {row["_id"]: row for row in store.db.resources.find() if not row["tombstone"]}
    for reference, row in after.items():
        assert {**row, "index": None} == {**before[reference], "index": None}
        assert set(row["index"]) == set(before[reference]["index"])


def test_goes_on_where_it_was_stopped(
    store: Store, stored: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "BATCH", 2)
    forget(store, "Observation.code")

    def stop(number: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        indexing.run(store, UTC, stop)
    with pytest.raises(FhirError):
        found(store)
    rest = store.db.resources.count_documents({}) - 2
    assert indexing.run(store, UTC, lambda _: None) == rest
    assert found(store) == stored


def test_what_is_written_meanwhile_is_left_to_its_writer(
    store: Store, stored: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = min(stored)
    forget(store, "Observation.code")
    real = indexing.open_body

    def meanwhile(row: dict[str, Any], seal: Any) -> bytes:
        body = real(row, seal)
        if row["_id"] == reference and row["version"] == 1:
            changed = observation(code="718-7")
            mine = Repository(store, Access("Organization/mine"))
            mine.update(*reference.split("/"), changed)
        return body

    monkeypatch.setattr(indexing, "open_body", meanwhile)
    indexing.run(store, UTC, lambda _: None)
    assert found(store) == stored - {reference}
