"""Runs migrations/ in order, each once, one runner at a time.

A runner holds a lease in `migrations`; a second waits for it. A migration may be run again after
a crash, so each must bear that.
"""

from __future__ import annotations

import importlib.util
import time
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Iterator

from pymongo.errors import DuplicateKeyError

from hie_server.store.database import Store

FOLDER = Path(__file__).parent.parent / "migrations"
LEASE = timedelta(minutes=10)
WAIT_SECONDS = 0.2


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("[0-9]*_*.py"))


def pending(store: Store) -> list[str]:
    done = {row["_id"] for row in store.db.migrations.find({"done": True})}
    return [name for name in names() if name not in done]


def run(store: Store) -> list[str]:
    """The names of the migrations that this call ran."""
    if not pending(store):
        return []
    _take_lease(store)
    try:
        return list(_run_pending(store))
    finally:
        store.db.migrations.delete_one({"_id": "lease"})


def _run_pending(store: Store) -> Iterator[str]:
    for name in pending(store):
        _load(name).upgrade(store)
        row = {"done": True, "at": store.instant()}
        store.db.migrations.update_one({"_id": name}, {"$set": row}, upsert=True)
        yield name


def _take_lease(store: Store) -> None:
    while True:
        now = store.instant()
        stale = {"_id": "lease", "until": {"$lt": now}}
        try:
            store.db.migrations.update_one(
                stale, {"$set": {"until": now + LEASE}}, upsert=True
            )
            return
        except DuplicateKeyError:
            time.sleep(WAIT_SECONDS)


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"hie_migration_{name}", FOLDER / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"Migration {name} can't be loaded.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
