"""Each migration runs once, whoever runs them and however often."""

from __future__ import annotations

import threading
from typing import Iterator

import pytest

from hie_server.config import Settings
from hie_server.store import migrations
from hie_server.store.database import Store, connect
from hie_server.store.sealing import Seal
from tests.conftest import Clock

KEY = bytes(32)


@pytest.fixture
def empty(settings: Settings, clock: Clock) -> Iterator[Store]:
    """A database that no migration has seen."""
    uri = settings.mongodb_uri.replace("/test_", "/empty_")
    client, db = connect(uri)
    client.drop_database(db.name)
    yield Store(client, db, Seal(KEY, db["keys"]), clock)
    client.drop_database(db.name)
    client.close()


def test_an_empty_database_gets_all_in_order_and_then_none(empty: Store) -> None:
    assert migrations.pending(empty) == migrations.names() != []
    assert migrations.run(empty) == migrations.names()
    assert migrations.run(empty) == migrations.pending(empty) == []
    assert empty.db.migrations.find_one({"_id": "lease"}) is None


def test_of_runners_at_once_one_runs_each(empty: Store) -> None:
    ran: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: ran.append(migrations.run(empty))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ran) == [[], [], migrations.names()]


def test_only_what_is_missing_is_run(empty: Store) -> None:
    migrations.run(empty)
    missing = migrations.names()[1]
    empty.db.migrations.delete_one({"_id": missing})
    assert migrations.run(empty) == [missing]


def test_each_may_be_run_again_after_a_crash(empty: Store) -> None:
    migrations.run(empty)
    before = {name: empty.db[name].count_documents({}) for name in ("resources", "people")}
    indexes = set(empty.db.resources.index_information())
    empty.db.migrations.delete_many({})
    assert migrations.run(empty) == migrations.names()
    assert {name: empty.db[name].count_documents({}) for name in before} == before
    assert set(empty.db.resources.index_information()) == indexes


def test_the_lease_of_a_runner_that_died_is_taken_over(empty: Store, clock: Clock) -> None:
    empty.db.migrations.insert_one({"_id": "lease", "until": empty.instant()})
    clock.advance(seconds=1)
    assert migrations.run(empty) == migrations.names()


def test_a_migration_that_fails_is_still_to_be_run(
    empty: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    (folder / "0001_works.py").write_text("def upgrade(store):\n    store.db.a.insert_one({})\n")
    (folder / "0002_fails.py").write_text("def upgrade(store):\n    raise OSError('no')\n")
    monkeypatch.setattr(migrations, "FOLDER", folder)
    with pytest.raises(OSError, match="no"):
        migrations.run(empty)
    assert migrations.pending(empty) == ["0002_fails"]
    assert empty.db.migrations.find_one({"_id": "lease"}) is None
