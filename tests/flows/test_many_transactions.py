"""Many clients post large transactions at once: each commits whole or is told to send it again."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.flows.ledger import Attempt, faults, kept
from tests.flows.running import Client, Writer, running, store_of, writer

MOST_TRIES = 20
MOST_SECONDS = 300.0
MOST_MEMORY = 2 << 30  # bytes of mongod: its cache is 0.5 GB


@dataclass
class Sender:
    """One client with one transaction to get through."""

    port: int
    by: Writer
    number: int
    entries: int
    attempts: list[Attempt] = field(default_factory=list)
    waits: list[str | None] = field(default_factory=list)
    seconds: float = 0.0

    def send(self) -> None:
        """Again after each 503, as long as it asks us to wait, until it is done."""
        began = time.monotonic()
        with Client(self.port, self.by) as client:
            for attempt_number in range(MOST_TRIES):
                name = f"{self.number}-{attempt_number}"
                attempt = Attempt(tuple(f"{name}-{n}" for n in range(self.entries)))
                self.attempts.append(attempt)
                wait = client.transact(attempt, [])
                self.seconds = time.monotonic() - began
                if attempt.status != 503 or wait is None:
                    return
                self.waits.append(wait)
                threading.Event().wait(int(wait))


def memory(pid: int, name: str) -> int:
    """Bytes; `name`: VmRSS now, VmHWM the most so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(each.split()[1] for each in lines if each.startswith(f"{name}:"))) * 1024


def all_commit(folder: Path, port: int, clients: int, entries: int) -> None:
    with running(folder, port) as up, store_of(folder) as store:
        assert len(up.workers) == 2
        by, before = writer(store), memory(up.mongod, "VmRSS")
        senders = [Sender(port, by, n, entries) for n in range(clients)]
        threads = [threading.Thread(target=each.send) for each in senders]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(MOST_SECONDS)
        seconds = time.monotonic() - began
        most = memory(up.mongod, "VmHWM")
        attempts = [attempt for each in senders for attempt in each.attempts]
        unclear = [each for each in attempts if each.status == 503]
        found = kept(store)
        done = [each for each in unclear if found.places(each)[0]]
        print(
            f"{clients} x {entries} in {seconds:.1f} s, the slowest answer after "
            f"{max(each.seconds for each in senders):.1f} s; {len(attempts)} requests, "
            f"{len(unclear)} told to retry, of these {len(done)} were done all the same; "
            f"mongod {before >> 20} MB before, {most >> 20} MB at most"
        )
        assert [each.attempts[-1].status for each in senders] == [200] * clients
        assert {each.status for each in attempts} <= {200, 503}
        assert all(wait and int(wait) > 0 for each in senders for wait in each.waits)
        assert faults(attempts, found) == []
        assert most < MOST_MEMORY


def test_six_clients_with_a_hundred_entries_each(data: Path, port: int) -> None:
    all_commit(data, port, 6, 100)


@pytest.mark.slow
def test_twenty_clients_with_eight_hundred_entries_each(data: Path, port: int) -> None:
    all_commit(data, port, 20, 800)
