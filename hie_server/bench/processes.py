"""What is measured and what measures: mongod, two servers, the load generator, and their CPU."""

from __future__ import annotations

import multiprocessing
import os
import secrets
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Iterator

from hie_server import config, open_store
from hie_server.bench import floor
from hie_server.config import ConfigError, Settings
from hie_server.store import datadir, migrations, mongod
from hie_server.store.mongod import die_with
from hie_server.web import server

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
GRACE = 2
TICKS = os.sysconf("SC_CLK_TCK")
# fresh processes: a fork of this one would share the database's connections
_fresh = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Database:
    settings: Settings
    pid: int


@contextmanager
def database(folder: Path, cache_gb: float) -> Iterator[Database]:
    """A database of its own in this folder, whatever HIE_MONGODB_URI says, and its settings."""
    (folder / "mongodb").mkdir()
    key = datadir.key_file(folder / "mongodb.key")
    own = {name: text for name, text in os.environ.items() if name != "HIE_MONGODB_URI"}
    log = folder / "mongod.log"
    started = mongod.start(folder / "mongodb", key, log, cache_gb=cache_gb)
    try:
        settings = replace(
            config.load({**own, "HIE_ENVIRONMENT": "development"}),
            mongodb_uri=started.uri,
            server_key=secrets.token_hex(32),
            base_url=f"http://127.0.0.1:{mongod.free_port()}",
        )
        store = open_store(settings)
        with store.client:
            migrations.run(store)
        yield Database(settings, started.process.pid)
    finally:
        started.stop()


@dataclass(frozen=True)
class Server:
    port: int
    process: BaseProcess


@contextmanager
def serving(settings: Settings, log: Path, bare: bool = False) -> Iterator[Server]:
    """A server in its own processes: the exchange, or the floor where it is `bare`."""
    port = mongod.free_port() if bare else int(settings.base_url.rpartition(":")[2])
    process = _fresh.Process(target=_serve, args=(settings, port, log, bare, os.getpid()))
    process.start()
    try:
        if not server.wait_ready(port, READY_SECONDS):
            last = (log.read_text(errors="replace").splitlines() or ["no word"])[-1]
            raise ConfigError(f"No server is ready after {READY_SECONDS:.0f} s: {last[:200]}")
        yield Server(port, process)
    finally:
        process.terminate()
        process.join(STOP_SECONDS)
        process.kill()


def _serve(settings: Settings, port: int, log: Path, bare: bool, parent: int) -> None:
    _apart(parent)
    with log.open("wb") as output:
        os.dup2(output.fileno(), 2)
    # workers are forked, as under `hie up`
    multiprocessing.set_start_method("fork", force=True)
    if bare:
        # the same server to the last option, around the other application
        setattr(server, "create_app", floor.create_app)
    server.serve(settings, "127.0.0.1", port, settings.workers, grace=GRACE)


def _apart(parent: int) -> None:
    """Ctrl-C reaches the parent alone, which then stops this process; it outlives nobody."""
    os.setpgid(0, 0)
    die_with(parent)


@contextmanager
def workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """Processes for work beside this one: the load, the making of records."""
    pool = ProcessPoolExecutor(count, _fresh, _apart, (os.getpid(),))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of all that it made and that live.

    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(fields[11]) + int(fields[12])) / TICKS + sum(map(cpu_seconds, map(int, children)))


def memory_mb(pid: int) -> float:
    """What a process and all that it made hold in memory, what they share counted once.

    https://docs.kernel.org/filesystems/proc.html#process-specific-subdirectories
    """
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    pss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return pss / 1024 + sum(map(memory_mb, map(int, children)))
