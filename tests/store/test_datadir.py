"""Whose folder it is, who may work on it, what is kept in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hie_server.config import ConfigError, Settings
from hie_server.store import datadir

pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HIE_")]:
        monkeypatch.delenv(name)


def test_lies_in_the_users_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert datadir.default_path() == Path("/data/hie")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/asha")
    assert datadir.default_path() == Path("/home/asha/.local/share/hie")


def test_only_one_at_a_time_works_on_a_folder(tmp_path: Path) -> None:
    with datadir.claimed(tmp_path):
        with pytest.raises(ConfigError, match="in use by another hie"):
            with datadir.claimed(tmp_path):
                pass
    with datadir.claimed(tmp_path):
        pass


def test_an_empty_folder_is_closed_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with datadir.claimed(tmp_path):
        assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_folder_with_other_files_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").touch()
    tmp_path.chmod(0o755)
    with datadir.claimed(tmp_path):
        assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").touch()
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="can be written by other users"):
        with datadir.claimed(tmp_path):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("name", ["", "mongodb", "server.key"])
def test_what_belongs_to_another_user_is_refused(tmp_path: Path, name: str) -> None:
    if name:
        (tmp_path / name).touch()
    os.chown(tmp_path / name, 12345, 12345)
    with pytest.raises(ConfigError, match="belongs to another user"):
        with datadir.claimed(tmp_path):
            pass


def test_a_database_without_our_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mongodb").mkdir()
    (tmp_path / "mongodb" / "WiredTiger").touch()
    with pytest.raises(ConfigError, match="that hie did not make"):
        with datadir.claimed(tmp_path):
            pass


def test_a_lost_server_key_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mongodb.key").write_text("ab" * 32)
    (tmp_path / "mongodb").mkdir()
    (tmp_path / "mongodb" / "WiredTiger").touch()
    with datadir.claimed(tmp_path) as lock:
        with pytest.raises(ConfigError, match="server.key is missing"):
            with datadir.serving(tmp_path, lock, "http://127.0.0.1:8080"):
                pass
    assert not (tmp_path / "server.key").exists()


def test_a_key_is_made_once(tmp_path: Path) -> None:
    first = datadir.key_file(tmp_path / "server.key").read_text()
    assert len(bytes.fromhex(first)) == 32
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o600
    assert datadir.key_file(tmp_path / "server.key").read_text() == first


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing/server.key can't be written"):
        datadir.key_file(tmp_path / "missing" / "server.key")


def test_a_database_of_ones_own_needs_no_mongod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIE_MONGODB_URI", "mongodb://db.example/hie")
    with datadir.claimed(tmp_path) as lock:
        with datadir.serving(tmp_path, lock, "http://127.0.0.1:8080") as (settings, mongod):
            assert mongod is None
            assert settings.mongodb_uri == "mongodb://db.example/hie"
            assert settings.server_key_file == tmp_path / "server.key"
            assert not settings.production
    assert not (tmp_path / "mongodb").exists()


def test_a_running_server_is_found_until_it_stops(tmp_path: Path) -> None:
    key = datadir.key_file(tmp_path / "server.key")
    settings = Settings(
        environment="development",
        mongodb_uri="mongodb://db.example/hie",
        base_url="http://127.0.0.1:9090",
        server_key_file=key,
    )
    with datadir.claimed(tmp_path):
        datadir.announce(tmp_path, settings)
        assert datadir.running(tmp_path) == settings
    assert datadir.running(tmp_path) is None
    assert not (tmp_path / "runtime.json").exists()


def test_what_a_killed_server_left_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "runtime.json").write_text("{}")
    assert datadir.running(tmp_path) is None


def test_waits_no_longer_than_its_deadline_for_a_server_that_is_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datadir, "START_SECONDS", 0.0)
    with datadir.claimed(tmp_path), pytest.raises(ConfigError, match="wait for it"):
        datadir.running(tmp_path)
