"""One real mongod for the whole run, and for each test a store on an empty, migrated database.

With `pytest -n` the controller starts mongod and tells the workers its URI; each has a database
of its own there. Everything dies with the run, however it ends.
"""

from __future__ import annotations

import os
import random as pseudorandom
import secrets
import shutil
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from pymongo.database import Database

from hie_server.config import Settings
from hie_server.store import migrations, mongod
from hie_server.store.database import Store, connect, now
from hie_server.store.sealing import Seal

SERVER_KEY = "5e" * 32
MEMORY = Path("/dev/shm")
BYTES_NEEDED = 4_000_000_000
PREFIX = "hie-tests-"
MakeStore = Callable[..., Store]


def _start_mongod(config: pytest.Config) -> str:
    """Start mongod, in memory where there is room; the run's end stops it."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > BYTES_NEEDED
    base = MEMORY if roomy else Path(tempfile.gettempdir())
    _remove_leftovers(base)
    home = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=base))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    (home / "db").mkdir()
    (home / "key").touch(0o600)
    (home / "key").write_text(secrets.token_hex(32))
    started = mongod.start(home / "db", home / "key", home / "log")
    config.add_cleanup(lambda: started.stop(patience=0))
    return started.uri


def _remove_leftovers(base: Path) -> None:
    """Of runs that were killed."""
    for folder in base.glob(f"{PREFIX}*"):
        process = folder.name.removeprefix(PREFIX).partition("-")[0]
        if not Path("/proc", process).exists():
            shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist's controller, before it starts a worker."""
    if not hasattr(node.config, "mongodb_uri"):
        node.config.mongodb_uri = _start_mongod(node.config)
    node.workerinput["mongodb_uri"] = node.config.mongodb_uri


@pytest.fixture(scope="session")
def mongodb_uri(pytestconfig: pytest.Config) -> str:
    """A replica set of one, a user that may use any database, a new database name per worker."""
    given = getattr(pytestconfig, "workerinput", {}).get("mongodb_uri")
    uri = given or _start_mongod(pytestconfig)
    return uri.replace("/hie?", f"/test_{secrets.token_hex(4)}?")


@pytest.fixture(scope="session")
def settings(mongodb_uri: str) -> Settings:
    """A machine that is busy with tests may be slow at a search."""
    return Settings(
        environment="development",
        mongodb_uri=mongodb_uri,
        server_key=SERVER_KEY,
        search_milliseconds=4_000,
    )


@dataclass
class Clock:
    """A clock that stands still until it is moved: `clock.advance(minutes=5)`."""

    moment: datetime = datetime(2026, 1, 15, 6, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **amount: float) -> None:
        self.moment += timedelta(**amount)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pinned_random() -> Callable[[int], bytes]:
    """The same bytes in every run."""
    return pseudorandom.Random(1).randbytes


@pytest.fixture(scope="session")
def _migrated(settings: Settings) -> Iterator[tuple[Store, dict[str, list[Any]]]]:
    """This worker's database with its indexes, and what it holds when empty."""
    client, db = connect(settings.mongodb_uri)
    with client:
        seal = Seal(bytes.fromhex(SERVER_KEY), db["keys"])
        store = Store(client, db, seal, search_seconds=4)
        migrations.run(store)
        yield store, {name: list(db[name].find()) for name in db.list_collection_names()}
        client.drop_database(db.name)


@pytest.fixture
def make_store(_migrated: tuple[Store, dict[str, list[Any]]]) -> Iterator[MakeStore]:
    """make_store(clock=…, random=…): a store with these instead of the real ones.

    All stores of a test share one database, emptied when the test ends.
    """
    base, empty = _migrated

    def make(
        clock: Callable[[], datetime] = now, random: Callable[[int], bytes] = secrets.token_bytes
    ) -> Store:
        seal = Seal(bytes.fromhex(SERVER_KEY), base.db["keys"])
        return replace(base, seal=seal, clock=clock, random=random)

    yield make
    _reset(base.db, empty)


@pytest.fixture
def store(make_store: MakeStore) -> Store:
    return make_store()


def _reset(db: Database[Any], empty: dict[str, list[Any]]) -> None:
    """Empty the collections: faster than to drop them and build their indexes again."""
    for name in db.list_collection_names():
        if name not in empty:
            db.drop_collection(name)
        elif list(db[name].find().limit(len(empty[name]) + 1)) != empty[name]:
            db[name].delete_many({})
            if empty[name]:
                db[name].insert_many(empty[name])
