"""`hie doctor` finds what is wrong, says what to do, and changes nothing."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Iterator

import pytest
from click.testing import CliRunner

from hie_server import doctor, local, open_store
from hie_server.config import ConfigError, Settings
from hie_server.doctor import Subject, examine
from hie_server.identity import facilities
from hie_server.store import migrations, mongod
from hie_server.store.database import Store, now
from tests.conftest import Clock, MakeStore

LINES = [
    "configuration", "time zone", "server key", "database", "durability", "schema", "index",
    "sealing",
    "clock", "disk",
]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HIE_")]:
        monkeypatch.delenv(name)


def look(subject: Subject) -> dict[str, str]:
    """The faults, by the check that found them."""
    lines: list[str] = []
    well = examine(subject, lines.append)
    assert [line[7:].partition(":")[0] for line in lines] == LINES
    faults = [line[7:].partition(": ") for line in lines if line.startswith("fault  ")]
    assert well == (not faults)
    return {name: text for name, _, text in faults}


def test_all_is_well(settings: Settings, store: Store) -> None:
    store.seal.seal("Organization/1", b"{}", "x")
    assert look(Subject(settings)) == {}


def test_an_empty_database_is_well_once_it_is_migrated(settings: Settings, store: Store) -> None:
    for name in ("keys", "journal"):
        store.db[name].delete_many({})
    assert look(Subject(settings)) == {}


def test_pending_migrations(settings: Settings, store: Store) -> None:
    store.db.migrations.delete_one({"_id": "0001_records"})
    assert look(Subject(settings)) == {"schema": "Pending: 0001_records. Run `hie migrate`."}


def test_another_server_key_than_that_of_the_records(settings: Settings, store: Store) -> None:
    store.seal.seal("Organization/1", b"{}", "x")
    keys = store.db["keys"].count_documents({})
    faults = look(Subject(replace(settings, server_key="00" * 32)))
    assert list(faults) == ["sealing"]
    assert "is not the one that this database was sealed with. Put the" in faults["sealing"]
    assert store.db["keys"].count_documents({}) == keys


@pytest.mark.parametrize("mode, said", [(0o644, "readable by its owner only"), (0o600, "64 hex")])
def test_a_key_file_that_cannot_be_used_ends_the_examination(
    settings: Settings, tmp_path: Path, mode: int, said: str
) -> None:
    file = tmp_path / "server.key"
    file.write_text("5e" * 31)
    file.chmod(mode)
    faults = look(Subject(replace(settings, server_key="", server_key_file=file)))
    assert said in faults.pop("server key")
    assert list(faults) == LINES[3:]
    assert set(faults.values()) == {"not checked, see above."}


def test_no_database(settings: Settings) -> None:
    gone = replace(settings, mongodb_uri="mongodb://127.0.0.1:1/hie")
    began = time.monotonic()
    faults = look(Subject(gone))
    assert "Connection refused. See that it runs" in faults.pop("database")
    assert set(faults.values()) == {"not checked, see above."}
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_out_of_step_with_the_database(
    settings: Settings, store: Store, hours: int
) -> None:
    faults = look(Subject(settings, Clock(now() + timedelta(hours=hours))))
    assert "clock" in faults and "from the database's: keep both" in faults["clock"]


def test_a_clock_set_back(settings: Settings, make_store: MakeStore) -> None:
    tomorrow = Clock(now() + timedelta(days=1))
    facilities.add(make_store(clock=tomorrow), "Sadar Hospital")
    faults = look(Subject(settings))
    assert f"is of {tomorrow.moment:%Y-%m-%d %H:%M:%S} UTC. Set it right" in faults["clock"]


@pytest.mark.parametrize("environment, base, said", [
    ("production", "http://hie.example.org", "must be https"),
    ("development", "http://hie.example.org", "must be https"),
    ("development", "https://hie.example.org", "HIE_ENVIRONMENT=development"),
])
def test_an_address_that_is_not_safe(
    settings: Settings, store: Store, environment: str, base: str, said: str
) -> None:
    faults = look(Subject(replace(settings, environment=environment, base_url=base)))
    assert list(faults) == ["configuration"] and said in faults["configuration"]


def test_production_at_https(settings: Settings, store: Store) -> None:
    safe = replace(settings, environment="production", base_url="https://hie.example.org")
    assert look(Subject(safe)) == {}


def test_a_full_disk(settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE", 2**60)
    assert "GiB free where the database is" in look(Subject(settings))["disk"]


def test_a_version_of_mongodb_that_is_not_supported(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "VERSIONS", (99,))
    assert "is not supported: use 7 or 8." in look(Subject(settings))["database"]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[str]:
    """The URI of a mongod without replica set and password."""
    port = mongod.free_port()
    command = [str(mongod.binary()), "--dbpath", str(tmp_path), "--port", str(port), "--quiet"]
    with subprocess.Popen([*command, "--bind_ip", "127.0.0.1"], stdout=subprocess.DEVNULL) as each:
        yield f"mongodb://127.0.0.1:{port}/hie"
        each.kill()


def test_a_mongod_without_replica_set(settings: Settings, alone: str) -> None:
    faults = look(Subject(replace(settings, mongodb_uri=alone)))
    assert faults["database"].startswith("It is no replica set")


def test_a_replica_set_that_asks_for_no_password(settings: Settings, tmp_path: Path) -> None:
    port = mongod.free_port()
    command = [str(mongod.binary()), "--dbpath", str(tmp_path), "--port", str(port), "--quiet"]
    command += ["--bind_ip", "127.0.0.1", "--replSet", "open"]
    uri = f"mongodb://127.0.0.1:{port}/hie?directConnection=true"
    open_set = replace(settings, mongodb_uri=uri)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            with open_store(open_set).client as client:
                members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
                assert "run rs.initiate()" in look(Subject(open_set))["database"]
                client.admin.command("replSetInitiate", {"_id": "open", "members": members})
                while not client.admin.command("hello")["isWritablePrimary"]:
                    time.sleep(0.05)
            assert look(Subject(open_set))["database"].startswith("It asks for no password")
        finally:
            process.kill()


def test_a_stopped_exchange_is_examined_as_it_was_left(tmp_path: Path) -> None:
    with local.database_of(tmp_path) as settings:
        store = open_store(settings)
        with store.client:
            store.db.migrations.delete_one({"_id": migrations.names()[-1]})
    found = CliRunner().invoke(doctor.doctor, ["--data-dir", str(tmp_path)])
    assert found.exit_code == 1
    assert f"fault  schema: Pending: {migrations.names()[-1]}." in found.output
    with local.database_of(tmp_path):
        pass
    found = CliRunner().invoke(doctor.doctor, ["--data-dir", str(tmp_path)])
    assert (found.exit_code, found.output.count("ok     ")) == (0, len(LINES))


def test_a_folder_without_an_exchange_stays_as_it_is(tmp_path: Path) -> None:
    found = CliRunner().invoke(doctor.doctor, ["--data-dir", str(tmp_path)])
    assert isinstance(found.exception, ConfigError)
    assert "holds no exchange: name its folder" in str(found.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_search_parameter_that_is_not_indexed(settings: Settings, store: Store) -> None:
    built = {"$pull": {"built": {"name": "Observation.code"}}}
    store.db.state.update_one({"_id": "index"}, built)
    faults = look(Subject(settings))
    assert list(faults) == ["index"] and "Observation.code" in faults["index"]
