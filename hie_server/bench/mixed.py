"""Reads and writes together, for long, at a share of what the exchange can: does it stay steady?

The rate is kept however slow the answers are, as people at many counters would.
"""

from __future__ import annotations

import random
from concurrent.futures import Executor
from itertools import cycle, islice
from typing import Any

from hie_server.bench import rows
from hie_server.bench.load import Load, drive
from hie_server.bench.processes import Database, Server, memory_mb
from hie_server.bench.rows import Row

# Of a hundred requests, as of a district whose records are read far more than written.
SHARES = {rows.READ: 55, rows.BY_CONSENT: 20, rows.SEARCH: 17, rows.CREATE: 7, rows.TRANSACTION: 1}
CONNECTIONS = 8
WAITING = 32  # connections that a paced load may have open: some are busy with slow answers
SHARE = 0.80
CAPACITY_SECONDS = 10.0
SETTLED = 0.2  # of the time, after which memory is to stay as it is


def bear(
    those: list[Row], exchange: Server, database: Database, pool: Executor, seconds: float
) -> dict[str, Any]:
    """Rates a second, times in ms; `wrong`: answers that are no success; `spread`: p99 over p50;
    `memory` in MB, after a fifth of the time and at its end."""
    requests = _mixed(those)
    most = min(CAPACITY_SECONDS, seconds)
    full = pool.submit(drive, exchange.port, requests, CONNECTIONS, most).result()
    capacity = len(full.latencies) / full.seconds
    rate = capacity * SHARE
    under_way = pool.submit(drive, exchange.port, requests, WAITING, seconds, rate)
    pids = {"server": exchange.process.pid or 0, "mongod": database.pid}
    try:
        under_way.result(seconds * SETTLED)
    except TimeoutError:
        pass
    settled = {name: memory_mb(pid) for name, pid in pids.items()}
    load = under_way.result()
    memory = {name: [settled[name], memory_mb(pid)] for name, pid in pids.items()}
    return {"capacity": capacity, "rate": rate, **_figures(load), "memory": memory}


def _mixed(those: list[Row]) -> list[bytes]:
    """Ten thousand requests, each row's share of them, in one order for every run."""
    requests = [
        request
        for row in those
        for request in islice(cycle(row.requests), SHARES.get(row.name, 0) * 100)
    ]
    random.Random(rows.SEED).shuffle(requests)
    return requests


def _figures(load: Load) -> dict[str, Any]:
    ordered = sorted(load.latencies)
    p50, p99 = (ordered[int(len(ordered) * share)] / 1e6 for share in (0.50, 0.99))
    wrong = sum(count for status, count in load.statuses.items() if status not in (200, 201))
    return {
        "seconds": load.seconds,
        "answers": len(ordered),
        "wrong": wrong,
        "p50": p50,
        "p99": p99,
        "spread": p99 / p50,
        "generator": load.generator,
    }
