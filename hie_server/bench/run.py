"""One run: a database and two servers of its own, the world, every row, all stopped at the end."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable

from hie_server import open_store
from hie_server.bench import mixed, processes, rows, table, world
from hie_server.bench.load import Load, drive
from hie_server.bench.processes import Database, Server, cpu_seconds
from hie_server.bench.records import records
from hie_server.bench.rows import Row
from hie_server.bench.table import Figures
from hie_server.bench.world import Series, World
from hie_server.config import ConfigError
from hie_server.store.database import Store

CITIZENS = 50
WARM_SECONDS = 1.0  # each worker compiles what a type needs when it is first asked for
ONE_REQUEST = 1e-9  # seconds: over before a second one is sent
PROCESSES = min(2, os.cpu_count() or 1)
SAID_EACH = 5_000
GIGABYTE = 1 << 30


@dataclass(frozen=True)
class Plan:
    """`resources` are there for the rows; `scale`, if more, for a second look at reads and
    searches. `seconds` for each figure, `mixed` for all rows at once at the end. `data`: files and
    folders; none: records made here."""

    data: tuple[Path, ...] = ()
    resources: int = 10_000
    scale: int = 0
    seconds: float = 5.0
    mixed: float = 0
    connections: tuple[int, ...] = (1, 8, 32)


@dataclass(frozen=True)
class _Run:
    """What runs, the citizens' records among those to load, and what the bulk loads took."""

    plan: Plan
    shared: list[Series]
    say: Callable[[str], object]
    pool: Executor
    database: Database
    exchange: Server
    floor: Server
    loads: list[dict[str, float]]

    def measure_all(self, those: list[Row], resources: int) -> list[Figures]:
        """Connections by connections, so that a row and its floor are of the same minute."""
        refused = {row.name: self._refused(row) for row in those}
        for row in those:
            if refused[row.name] is None:
                self._drive(row, max(self.plan.connections), min(WARM_SECONDS, self.plan.seconds))
        return [
            Figures(row.name, connections, resources, not_served=refused[row.name])
            if refused[row.name] is not None
            else self._measure(row, connections, resources)
            for connections in self.plan.connections
            for row in those
        ]

    def _refused(self, row: Row) -> int | None:
        """The status where the server has no such interaction."""
        first = self._drive(replace(row, requests=row.requests[:1]), 1, ONE_REQUEST)
        status = next(iter(first.statuses))
        return status if status != row.status and status in (404, 405) else None

    def _measure(self, row: Row, connections: int, resources: int) -> Figures:
        self.say(f"{row.name}, {connections} connections")
        pids = self._server(row).process.pid or 0, self.database.pid
        before = [cpu_seconds(pid) for pid in pids]
        load = self._drive(row, connections, self.plan.seconds)
        used = [cpu_seconds(pid) - start for pid, start in zip(pids, before)]
        return table.figures(row, connections, resources, load, *used)

    def _server(self, row: Row) -> Server:
        return self.floor if row.bare else self.exchange

    def _drive(self, row: Row, connections: int, seconds: float) -> Load:
        port = self._server(row).port
        return self.pool.submit(drive, port, row.requests, connections, seconds).result()

    def load(self, facility: str, first: int, last: int) -> None:
        start, done, seconds = time.perf_counter(), 0, 0.0
        settings, data = self.database.settings, self.plan.data
        for more in world.load(self.pool, settings, data, facility, first, last):
            done += more
            seconds = time.perf_counter() - start
            if done % SAID_EACH == 0 or done == last - first:
                rate = f"{done / seconds:,.0f}/s"
                self.say(f"loaded {first + done:,} of {last:,} resources, {rate}")
        self.loads.append(
            {"resources": done, "seconds": round(seconds, 2), "rate": round(done / seconds, 1)}
        )


def run(plan: Plan, say: Callable[[str], object] = lambda line: None) -> dict[str, Any]:
    """The table as JSON (see `table.as_json`); `say` is told what is under way.

    ConfigError where it can't start, or the data holds no patient with records.
    """
    source = records(plan.data)
    shared = world.series(source, plan.resources, CITIZENS, rows.PAGE) if len(source) else []
    if not shared:
        raise ConfigError("The data must hold Patients, and records whose subject they are.")
    with (
        tempfile.TemporaryDirectory(prefix="hie-bench-") as folder,
        processes.workers(PROCESSES) as pool,
        processes.database(Path(folder), cache_gb()) as database,
        processes.serving(database.settings, Path(folder, "exchange.log")) as exchange,
        processes.serving(database.settings, Path(folder, "floor.log"), bare=True) as floor,
    ):
        store = open_store(database.settings)
        with store.client:
            return _table(_Run(plan, shared, say, pool, database, exchange, floor, []), store)


def cache_gb() -> float:
    """For MongoDB's cache: a third of the memory, but at most 8 GB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return round(max(0.5, min(8.0, memory / GIGABYTE / 3)), 2)


def _table(run: _Run, store: Store) -> dict[str, Any]:
    few, many = run.plan.resources, run.plan.scale
    run.say(f"loading {few:,} resources")
    made = _world(run, store)
    all_rows = rows.rows(made)
    scaled = run.measure_all(rows.spread(made, few), few) if many > few else []
    measured = run.measure_all(all_rows, few)
    if many > few:
        run.say(f"loading {many:,} resources")
        run.load(made.facility, few, many)
        scaled += run.measure_all(rows.spread(made, many), many)
    told = table.as_json(_about(run, made), all_rows, measured, scaled)
    if run.plan.mixed:
        told["mixed"] = mixed.bear(all_rows, run.exchange, run.database, run.pool, run.plan.mixed)
    return told


def _about(run: _Run, made: World) -> dict[str, Any]:
    plan, settings = run.plan, run.database.settings
    return {
        "resources": plan.resources,
        "scale": plan.scale,
        "data": ", ".join(each.name for each in plan.data) or "made here",
        "originals": len(made.records),
        "refused": made.records.refused,
        "seconds": plan.seconds,
        "workers": settings.workers,
        "threads": settings.threads,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "mongodb": made.store.client.server_info()["version"],
        "cache_gb": cache_gb(),
        "loads": run.loads,
    }


def _world(run: _Run, store: Store) -> World:
    plan, settings = run.plan, run.database.settings
    facilities = world.found(store)
    run.load(facilities[0], 0, plan.resources)
    return world.settle(store, settings, records(plan.data), facilities, run.shared)
