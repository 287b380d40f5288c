"""The HTTP server: which ports it takes, what it does with odd clients and dead workers."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

import pytest

from hie_server.config import ConfigError, Settings
from hie_server.store.database import Store
from hie_server.web import server

LOCAL = "127.0.0.1"
ROOT = Path(__file__).parents[2]


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        return int(probe.getsockname()[1])


def children(process: subprocess.Popen[str]) -> set[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return {int(pid) for pid in path.read_text().split()}


def answer(port: int, sent: bytes) -> bytes:
    """What the server says to these bytes, up to its first line's end."""
    with socket.create_connection((LOCAL, port), 10) as connection:
        connection.sendall(sent)
        return connection.recv(4096).partition(b"\r\n")[0]


@contextmanager
def served(settings: Settings) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`hie serve` with two workers, and its port."""
    port = free_port()
    kept = {name: text for name, text in os.environ.items() if not name.startswith("HIE_")}
    environ = {
        **kept,
        "PYTHONPATH": str(ROOT),
        "HIE_MONGODB_URI": settings.mongodb_uri,
        "HIE_SERVER_KEY": settings.server_key,
    }
    command = [sys.executable, "-m", "hie_server.cli", "serve", "--workers", "2"]
    with subprocess.Popen([*command, "--port", str(port)], env=environ, text=True) as process:
        assert server.wait_ready(port, 60)
        assert until(lambda: len(children(process)) == 2)
        yield process, port
        process.terminate()
        assert process.wait(10) == 0


@pytest.fixture(scope="module")
def serving(settings: Settings, _migrated: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    with served(settings) as process_and_port:
        yield process_and_port


def test_a_free_port_is_held_while_it_is_claimed() -> None:
    port = free_port()
    with server.claimed("localhost", port) as address:
        assert address in (LOCAL, "::1")
        with pytest.raises(ConfigError, match=f"Port {port} of localhost is taken"):
            with server.claimed("localhost", port):
                pass
    with server.claimed("localhost", port):
        pass


def test_a_port_at_which_another_program_listens_is_taken() -> None:
    with socket.create_server((LOCAL, 0)) as other:
        with pytest.raises(ConfigError, match="is taken"):
            with server.claimed(LOCAL, other.getsockname()[1]):
                pass


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_this_machine_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=host), server.claimed(host, free_port()):
        pass


def test_waits_in_vain_for_what_does_not_answer() -> None:
    assert not server.wait_ready(free_port(), 0.2)


def test_a_killed_worker_is_replaced_in_production(
    serving: tuple[subprocess.Popen[str], int]
) -> None:
    process, port = serving
    before = children(process)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    assert until(lambda: len(children(process) - {victim}) == 2)
    assert server.wait_ready(port, 10)
    assert process.poll() is None


def test_stops_at_once_though_a_worker_has_just_begun(settings: Settings, store: Store) -> None:
    with served(settings) as (process, _):
        before = children(process)
        os.kill(min(before), signal.SIGKILL)
        while not children(process) - before:
            assert process.poll() is None


def test_headers_larger_than_any_client_needs_are_refused(
    serving: tuple[subprocess.Popen[str], int]
) -> None:
    request = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Long: %b\r\n\r\n"
    assert b" 200 " in answer(serving[1], request % (b"a" * 8_000))
    assert b" 431 " in answer(serving[1], request % (b"a" * 100_000))


def test_half_open_connections_do_not_keep_others_from_being_answered(
    serving: tuple[subprocess.Popen[str], int]
) -> None:
    idle = [socket.create_connection((LOCAL, serving[1])) for _ in range(100)]
    for connection in idle:
        connection.sendall(b"GET / HTTP/1.1\r\nHost:")
    try:
        request = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
        assert b" 200 " in answer(serving[1], request)
    finally:
        for connection in idle:
            connection.close()


def test_says_nothing_in_http_2(serving: tuple[subprocess.Popen[str], int]) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    assert not answer(serving[1], preface).startswith(b"\x00\x00")


def test_keeps_a_connection_for_the_next_request(
    serving: tuple[subprocess.Popen[str], int]
) -> None:
    connection = http.client.HTTPConnection(LOCAL, serving[1], timeout=10)
    connection.request("GET", "/health/live")
    connection.getresponse().read()
    first = connection.sock
    connection.request("GET", "/health/live")
    assert connection.getresponse().read() and connection.sock is first
    connection.close()
