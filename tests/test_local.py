"""Commands find their database: of the running server, of a stopped one, or the one named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from hie_server import local, open_store
from hie_server.config import Settings
from hie_server.store import datadir, migrations


def client_of(settings: Settings) -> MongoClient[dict[str, Any]]:
    return MongoClient(settings.mongodb_uri)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HIE_")]:
        monkeypatch.delenv(name)


def test_starts_the_database_of_a_stopped_server_for_as_long_as_the_command_runs(
    tmp_path: Path
) -> None:
    for text in ("first run", "second run"):
        with local.database_of(tmp_path) as settings:
            store = open_store(settings)
            with store.client:
                assert migrations.pending(store) == []
                store.db.kept.insert_one({"_id": text})
                kept = store.db.kept.count_documents({})
    assert kept == 2
    assert (tmp_path / "mongodb" / "mongod.lock").read_bytes() == b""


def test_a_lease_left_by_a_killed_start_is_not_waited_for(tmp_path: Path) -> None:
    with local.database_of(tmp_path) as settings:
        with client_of(settings) as client:
            client.hie.migrations.delete_many({})
            client.hie.migrations.insert_one({"_id": "lease"})
    with local.database_of(tmp_path) as settings:
        with client_of(settings) as client:
            assert client.hie.migrations.find_one({"_id": "lease"}) is None


def test_uses_the_database_of_the_running_server(tmp_path: Path) -> None:
    key = datadir.key_file(tmp_path / "server.key")
    with datadir.claimed(tmp_path):
        datadir.announce(tmp_path, Settings(
            environment="development",
            mongodb_uri="mongodb://127.0.0.1:1/hie",
            base_url="http://127.0.0.1:9090",
            server_key_file=key,
        ))
        with local.database_of(tmp_path) as settings:
            assert settings.mongodb_uri == "mongodb://127.0.0.1:1/hie"
            assert settings.base_url == "http://127.0.0.1:9090"


def test_uses_the_database_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIE_MONGODB_URI", "mongodb://db.example/hie")
    with local.database_of() as settings:
        assert settings.mongodb_uri == "mongodb://db.example/hie"
        assert settings.production
