"""`hie up` on real processes: it starts, stops in order, leaves nothing, starts again."""

from __future__ import annotations

import http.client
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from pymongo import MongoClient

ROOT = Path(__file__).parents[2]
READY_SECONDS = 60.0
GONE_SECONDS = 5.0


@dataclass
class Up:
    """A running `hie up` that said it is ready."""

    process: subprocess.Popen[str]
    port: int
    runtime: dict[str, str]
    mongod: int
    workers: list[int]

    @property
    def mongodb_port(self) -> int:
        return int(self.runtime["HIE_MONGODB_URI"].split("@127.0.0.1:")[1].split("/")[0])

    def database(self) -> MongoClient[dict[str, Any]]:
        return MongoClient(self.runtime["HIE_MONGODB_URI"])

    def nothing_left(self) -> bool:
        return not (
            any(map(alive, (self.process.pid, self.mongod, *self.workers)))
            or listens(self.port)
            or listens(self.mongodb_port)
        )


def hie(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "hie_server.cli", *arguments]


def environment(**changes: str) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("HIE_")}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


def alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> dict[int, str]:
    """The processes that this one made, and their programs."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child): os.readlink(f"/proc/{child}/exe") for child in pids}


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.fixture
def start(port: int, data: Path) -> Iterator[Callable[[], Up]]:
    """start() runs `hie up` on the test's port and folder, and returns when it is ready."""
    processes: list[subprocess.Popen[str]] = []

    def begin() -> Up:
        process = subprocess.Popen(
            hie("up", "--port", str(port), "--data-dir", str(data)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            start_new_session=True,
        )
        processes.append(process)
        assert process.stdout and process.stderr
        first = process.stdout.readline()
        assert first == "ready\n", process.stderr.read()
        assert process.stdout.readline() == f"http://127.0.0.1:{port}\n"
        made = children(process.pid)
        mongod = next(pid for pid, program in made.items() if program.endswith("mongod"))
        runtime = json.loads((data / "runtime.json").read_text())
        return Up(process, port, runtime, mongod, [pid for pid in made if pid != mongod])

    yield begin
    for process in processes:
        with process:
            process.kill()


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        hie(*arguments), capture_output=True, text=True, env=environment(**environ), timeout=60
    )


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """The one line that a command which could not start tells."""
    assert result.returncode == 2, result
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_server_first_then_mongod(
    start: Callable[[], Up], data: Path, number: signal.Signals
) -> None:
    up = start()
    assert get(up.port, "/health/ready") == 200
    assert {path.stat().st_mode & 0o777 for path in (data, data / "mongodb")} == {0o700}
    assert (data / "server.key").stat().st_mode & 0o777 == 0o600
    up.process.send_signal(number)
    assert until(lambda: not alive(up.mongod), GONE_SECONDS)
    assert not any(map(alive, up.workers))
    assert up.process.wait(GONE_SECONDS) == 0
    assert up.nothing_left()
    assert not (data / "runtime.json").exists()
    assert (data / "mongodb" / "mongod.lock").read_bytes() == b""


@pytest.mark.parametrize("victim", ["hie", "worker", "mongod"])
def test_nothing_listens_after_a_kill_and_the_same_command_starts_again(
    start: Callable[[], Up], data: Path, victim: str
) -> None:
    up = start()
    with up.database() as client:
        client.hie.kept.insert_one({"_id": 1})
    pids = {"hie": up.process.pid, "worker": up.workers[-1], "mongod": up.mongod}
    key = (data / "server.key").read_text()
    os.kill(pids[victim], signal.SIGKILL)
    assert until(up.nothing_left, GONE_SECONDS)
    assert up.process.wait(GONE_SECONDS) == (-signal.SIGKILL if victim == "hie" else 1)
    assert (data / "runtime.json").exists() == (victim == "hie")
    again = start()
    with again.database() as client:
        assert client.hie.kept.find_one() == {"_id": 1}
    assert (data / "server.key").read_text() == key


def test_starts_again_at_once_after_a_kill(start: Callable[[], Up]) -> None:
    start().process.kill()
    assert get(start().port, "/health/ready") == 200


def test_a_signal_before_it_is_ready_leaves_nothing(
    start: Callable[[], Up], data: Path, port: int
) -> None:
    command = hie("up", "--port", str(port), "--data-dir", str(data))
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as process:
        assert until(lambda: (data / "mongod.log").exists(), READY_SECONDS)
        mongod = next(iter(children(process.pid)), 0)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        assert process.wait(GONE_SECONDS) == 0
        assert process.stdout and process.stdout.read() == b""
    assert until(lambda: not (mongod and alive(mongod)), GONE_SECONDS)
    assert start().process.poll() is None


def test_ctrl_c_pressed_twice_in_a_terminal_leaves_nothing(data: Path, port: int) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(
            sys.executable,
            hie("up", "--port", str(port), "--data-dir", str(data)),
            environment(),
        )
    output = b""
    while f":{port}".encode() not in output:
        output += os.read(terminal, 1000)
    made = list(children(pid))
    os.write(terminal, b"\x03\x03")
    assert until(lambda: not alive(pid), GONE_SECONDS)
    os.waitpid(pid, 0)
    os.close(terminal)
    assert not any(map(alive, made))
    assert not listens(port)


def test_a_second_one_on_the_same_folder_is_refused(start: Callable[[], Up], data: Path) -> None:
    up = start()
    other = str(up.port + 1 if up.port < 65535 else up.port - 1)
    line = refused(run("up", "--port", other, "--data-dir", str(data)))
    assert str(data) in line and "in use by another hie" in line
    assert get(up.port, "/health/ready") == 200


def test_a_taken_port_is_refused_before_anything_starts(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        line = refused(run("up", "--port", taken, "--data-dir", str(data)))
    assert f"Port {taken} of 127.0.0.1 is taken" in line
    assert not data.exists()


def test_the_port_of_another_hie_is_taken_although_its_sockets_would_share_it(
    start: Callable[[], Up], tmp_path: Path
) -> None:
    up = start()
    line = refused(run("up", "--port", str(up.port), "--data-dir", str(tmp_path / "other")))
    assert "is taken" in line


def test_a_missing_mongod_is_named(data: Path, port: int, tmp_path: Path) -> None:
    hidden = tmp_path / "sitecustomize.py"  # hides the package that holds mongod, and that alone
    hidden.write_text(
        "import os.path\n"
        "is_file = os.path.isfile\n"
        "os.path.isfile = lambda path: 'mongod' not in str(path) and is_file(path)\n"
    )
    searched = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = ("up", "--port", str(port), "--data-dir", str(data))
    line = refused(run(*command, PATH="", PYTHONPATH=searched))
    assert "pip install 'hie_server[embedded]'" in line
    assert not listens(port)


@pytest.mark.parametrize("folder", ["/proc/nowhere", "{tmp}/file", "{tmp}/file/below"])
def test_an_unwritable_folder_is_named(folder: str, tmp_path: Path, port: int) -> None:
    (tmp_path / "file").touch()
    path = folder.format(tmp=tmp_path)
    line = refused(run("up", "--port", str(port), "--data-dir", path))
    assert path in line and "--data-dir" in line


def test_the_database_of_another_program_is_left_alone(data: Path, port: int) -> None:
    data.mkdir(0o755)
    (data / "WiredTiger").touch()
    line = refused(run("up", "--port", str(port), "--data-dir", str(data)))
    assert "database files of another kind (WiredTiger)" in line
    assert [path.name for path in data.iterdir()] == ["WiredTiger"]
    assert data.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    "environ, line",
    [
        ({}, "HIE_MONGODB_URI must name"),
        ({"HIE_MONGODB_URI": "mongodb://127.0.0.1/hie"}, "No server key"),
        ({"HIE_MONGODB_URI": "http://x/hie", "HIE_SERVER_KEY": "ab" * 32}, "can't be used"),
        ({"HIE_WORKERS": "many"}, "HIE_WORKERS must be a whole number"),
    ],
)
def test_serve_is_refused_without_what_production_needs(
    environ: dict[str, str], line: str, port: int
) -> None:
    assert line in refused(run("serve", "--port", str(port), **environ))
