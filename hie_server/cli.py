"""The `hie` command: what starts the exchange and what looks after it.

Exit codes: 0 done or stopped on request, 1 something failed on the way, 2 could not start.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import Popen
from types import FrameType
from typing import Callable, Iterator

import click
from pymongo import errors

from hie_server import admin, config, demo, open_store
from hie_server.config import ConfigError, Settings
from hie_server.local import data_dir_option, migrate
from hie_server.store import datadir
from hie_server.web import server

LOCAL = "127.0.0.1"
READY_SECONDS = 60
UP_GRACE = 2  # seconds for requests at work: one dead process must end all the others soon
DATABASE_FAULTS = (
    (errors.ServerSelectionTimeoutError, "No MongoDB answers: see that it runs"),
    (errors.ConfigurationError, "HIE_MONGODB_URI can't be used"),
    (errors.OperationFailure, "MongoDB refused"),
    (errors.PyMongoError, "The database failed"),
)

port_option = click.option(
    "--port", type=click.IntRange(1, 65535), default=8080, show_default=True
)


def main() -> None:
    """The console script: what can't work is told in one line, with exit code 2."""
    try:
        hie()
    except ConfigError as error:
        sys.exit(_complain(str(error), 2))
    except errors.PyMongoError as error:
        meaning = next(text for kind, text in DATABASE_FAULTS if isinstance(error, kind))
        sys.exit(_complain(f"{meaning} ({str(error).partition(', full error')[0][:200]}).", 2))


def _complain(line: str, code: int) -> int:
    click.echo(f"hie: {line}", err=True)
    return code


@click.group()
def hie() -> None:
    """A FHIR R4 health information exchange."""


@hie.command()
@click.option("--demo", "with_demo", is_flag=True, help="Load a district to try things with.")
@port_option
@data_dir_option
def up(with_demo: bool, port: int, data_dir: Path | None) -> None:
    """Start everything on this machine: MongoDB, schema, keys, server."""
    path = data_dir or datadir.default_path()
    with (
        _unwound_by_signals() as go_on,
        server.claimed(LOCAL, port),
        datadir.claimed(path) as lock,
        datadir.serving(path, lock, f"http://{LOCAL}:{port}") as (settings, mongod),
    ):
        go_on()
        migrate(settings, alone=mongod is not None)
        datadir.announce(path, settings)
        if with_demo:
            click.echo(demo.shown(demo.load(settings, path)))
        go_on()
        _serve_until_one_ends(settings, port, mongod)


@hie.command()
@click.option("--workers", type=click.IntRange(1, 256), help="Processes.  [default: HIE_WORKERS]")
@click.option("--host", default=LOCAL, show_default=True, help="Address to listen on.")
@port_option
def serve(workers: int | None, host: str, port: int) -> None:
    """Serve in production, with the database that HIE_MONGODB_URI names."""
    settings = config.load()
    if not settings.mongodb_uri:
        raise ConfigError(
            "HIE_MONGODB_URI must name the database: mongodb://host/hie?replicaSet=rs0."
        )
    config.server_key(settings)
    with server.claimed(host, port) as address:
        open_store(settings).client.close()
        server.serve(settings, address, port, workers or settings.workers, replace_workers=True)


@contextmanager
def _unwound_by_signals() -> Iterator[Callable[[], None]]:
    """Until the server takes the signals over: the first one unwinds, a second changes nothing.

    Python drops what a handler raises inside a callback (after a fork, say): hence `go_on`, which
    raises it again.
    """
    asked: list[int] = []

    def unwind(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) == 1:
            raise KeyboardInterrupt

    def go_on() -> None:
        if asked:
            raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM, *_hangup()):
        signal.signal(each, unwind)
    try:
        yield go_on
    except KeyboardInterrupt:
        pass


def _hangup() -> list[signal.Signals]:
    """SIGHUP, but under `nohup`, which has it ignored."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [] if ignored else [signal.SIGHUP]


def _treat_as_stop(signals: list[signal.Signals]) -> None:
    """Where the server has a use of its own for them: a closed terminal is no reason to reload."""
    for each in signals:
        signal.signal(each, signal.getsignal(signal.SIGTERM))


def _serve_until_one_ends(settings: Settings, port: int, mongod: Popen[bytes] | None) -> None:
    """Serve; SystemExit(1) if mongod or a worker ends by itself, or the server isn't ready."""
    faults: list[str] = []
    over = threading.Event()

    def fail(line: str) -> None:
        if not over.is_set():
            faults.append(line)
            os.kill(os.getpid(), signal.SIGTERM)

    def ready() -> None:
        if server.wait_ready(port, READY_SECONDS):
            click.echo(f"ready\n{settings.base_url}")
        else:
            fail(f"Not ready after {READY_SECONDS} s.")

    def watch(process: Popen[bytes]) -> None:
        fail(f"mongod ended with code {process.wait()}: all is stopped. Start it again.")

    def started() -> None:
        stop_on_hangup()
        threading.Thread(target=ready, daemon=True).start()
        if mongod:
            threading.Thread(target=watch, args=[mongod], daemon=True).start()

    stop_on_hangup = partial(_treat_as_stop, _hangup())
    try:
        server.serve(settings, LOCAL, port, settings.workers, started, UP_GRACE)
    finally:
        over.set()
    if faults:
        sys.exit(_complain(faults[0], 1))


for command in admin.COMMANDS:
    hie.add_command(command)

if __name__ == "__main__":
    main()
