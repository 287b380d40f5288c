"""The HTTP server: granian's processes around the WSGI application, and their end.

A worker dies with the process that made it; a dead worker ends the whole, unless it is to be
replaced. HTTP/1 only: a proxy in front speaks the rest. https://github.com/emmett-framework/granian
"""

from __future__ import annotations

import errno
import http.client
import os
import signal
import socket
import sys
import time
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Iterator

from flask import Flask
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from hie_server import create_app
from hie_server.config import ConfigError, Settings
from hie_server.store.mongod import die_with
from hie_server.web import logs, metrics

BACKLOG = 1024
# Connections at once in a worker, idle ones too: threads bound the work, this only the memory.
CONNECTIONS = 1024
HTTP1 = HTTP1Settings(header_read_timeout=10_000, max_buffer_size=32_768)
CLAIM_SECONDS = 1.0  # what the kernel needs to end the processes of a killed server


@contextmanager
def claimed(host: str, port: int) -> Iterator[str]:
    """Hold the port against a second server of ours; yields the host's numeric address.

    granian's sockets share their port with any process of this user, so that a second server
    would get half of the requests instead of an error. ConfigError where the port can't be had.
    """
    family, address = _resolve(host, port)
    with socket.socket(socket.AF_UNIX) as name:
        try:
            _retry(lambda: _try_port(family, address))
            if sys.platform == "linux":
                # an abstract name: it ends with the last process that holds it
                _retry(lambda: name.bind(f"\0hie {address[0]} {port}"))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"Port {port} of {host} is taken: stop what uses it, or choose with --port."
                ) from error
            raise ConfigError(f"{host}:{port} can't be served: {error.strerror}.") from error
        yield str(address[0])


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigError(f"{host} is no address: {error.strerror}.") from error
    return family, address


def _try_port(family: socket.AddressFamily, address: tuple[Any, ...]) -> None:
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen()


def _retry(bind: Callable[[], None]) -> None:
    deadline = time.monotonic() + CLAIM_SECONDS
    while True:
        try:
            return bind()
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def serve(
    settings: Settings,
    address: str,
    port: int,
    workers: int,
    started: Callable[[], object] = lambda: None,
    grace: int = 30,
    replace_workers: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT; from the main thread only. Requests at work get `grace`
    seconds to end. `started` is called once, with the signal handlers set, before the workers.

    SystemExit(1) if a worker ended by itself and isn't to be replaced.
    """
    server = Server(
        "hie_server:create_app",
        address=address,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1,
        websockets=False,
        workers=workers,
        blocking_threads=settings.threads,
        backlog=BACKLOG,
        backpressure=CONNECTIONS,
        workers_kill_timeout=grace,
        respawn_failed_workers=replace_workers,
        log_level=LogLevels.error,
        log_dictconfig=logs.config(settings),
    )
    server.on_startup(started)
    _end_young_workers()
    with metrics.shared():
        server.serve(target_loader=partial(_load, settings, os.getpid()), wrap_loader=False)


def _end_young_workers() -> None:
    """A worker begins with its parent's handlers, which would swallow a SIGTERM that is meant for
    it: the signal waits until the worker can die of it."""
    hold = partial(signal.pthread_sigmask, signal.SIG_BLOCK, [signal.SIGTERM])
    release = partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, [signal.SIGTERM])

    def born() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        release()

    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=born)


def _load(settings: Settings, parent: int) -> Flask:
    """In the worker: the application, in a process that outlives nobody."""
    os.setpgid(0, 0)  # Ctrl-C reaches the parent alone, which then stops the workers in order
    die_with(parent)
    logs.tell_thread_faults()
    return create_app(settings)


def wait_ready(port: int, seconds: float) -> bool:
    """Poll /health/ready of this machine until it answers 200."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return True
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    return False
