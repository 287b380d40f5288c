"""kill -9 at random moments of a load: what was acknowledged is kept, and nothing is half done."""

from __future__ import annotations

import os
import random
import secrets
import signal
import threading
from http.client import HTTPException
from pathlib import Path
from typing import Sequence

import pytest

from tests.flows.ledger import Attempt, faults, kept
from tests.flows.running import Client, Writer, running, store_of, writer
from tests.flows.test_up import Up, until

CLIENTS = 6
ENTRIES, UPDATES = 30, 5
VICTIMS = ("hie", "worker", "mongod")
MOST_SECONDS = 1.5  # of load before the kill
GONE_SECONDS = 10.0
READ = 60  # acknowledged versions, the last and others, that are read over HTTP after each kill
WARM = 10


class Load:
    """Clients that write until no server listens; `attempts` grows as requests are sent."""

    def __init__(self, port: int, by: Writer, seed: str):
        self.port, self.by, self.seed = port, by, seed
        self.attempts: list[Attempt] = []
        self.known: dict[str, int] = {}
        self.errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._work, args=[n]) for n in range(CLIENTS)]
        for each in self._threads:
            each.start()

    def join(self) -> None:
        for each in self._threads:
            each.join()
        assert not self.errors, self.errors

    def acknowledged(self) -> list[Attempt]:
        return [each for each in self.attempts if each.acknowledged]

    def _work(self, number: int) -> None:
        """A broken connection is opened again: other processes may still live."""
        chance = random.Random(f"{self.seed}-{number}")
        turn = 0
        while True:
            try:
                with Client(self.port, self.by) as client:
                    while True:
                        turn += 1
                        self._write(client, chance, f"{self.seed}-{number}-{turn}")
            except ConnectionRefusedError:
                return
            except (OSError, HTTPException):
                continue
            except BaseException as error:
                self.errors.append(error)
                raise

    def _write(self, client: Client, chance: random.Random, text: str) -> None:
        kind = chance.choice(("create", "update", "update", "transaction"))
        many = ENTRIES if kind == "transaction" else 1
        attempt = Attempt(tuple(f"{text}-{n}" for n in range(many)))
        # clients race for the same few, so that versions conflict
        known = list(self.known.items())[-100:]
        self.attempts.append(attempt)
        if kind == "transaction":
            client.transact(attempt, chance.sample(known, UPDATES) if len(known) > 50 else [])
        elif kind == "update" and known:
            client.update(attempt, *chance.choice(known))
        else:
            client.create(attempt)
        for place in attempt.written.values():
            _, identity, _, version = place.split("/")
            self.known[identity] = max(int(version), self.known.get(identity, 0))


def crash(up: Up, by: Writer, victim: str, chance: random.Random) -> list[Attempt]:
    """Load, the kill at a random moment, and what the clients sent and were told."""
    load = Load(up.port, by, f"{chance.random():.12f}"[2:])
    assert until(lambda: len(load.acknowledged()) > WARM, GONE_SECONDS), load.errors
    # the random moment is what is tested, not a wait for something
    threading.Event().wait(chance.uniform(0, MOST_SECONDS))
    pids = {"hie": up.process.pid, "worker": chance.choice(up.workers), "mongod": up.mongod}
    os.kill(pids[victim], signal.SIGKILL)
    assert until(up.nothing_left, GONE_SECONDS), f"{victim} was killed, and others live on"
    load.join()
    return load.attempts


def read_back(up: Up, by: Writer, attempts: Sequence[Attempt], chance: random.Random) -> list[str]:
    """What a caller is told of some acknowledged versions, where it is wrong."""
    told = [pair for each in attempts for pair in each.written.items()]
    some = told[-READ // 2:] + chance.sample(told, min(len(told), READ // 2))
    wrong = []
    with Client(up.port, by) as client:
        for text, place in some:
            status, body, _ = client.ask("GET", f"/{place}")
            if (status, body.get("valueString")) != (200, text):
                wrong.append(f"{place} was acknowledged as {text}, and reads {status} {body}")
    return wrong


def survive(folder: Path, port: int, seed: str, victims: Sequence[str]) -> list[Attempt]:
    chance = random.Random(seed)
    attempts: list[Attempt] = []
    last: list[Attempt] = []
    with running(folder, port) as up:
        with store_of(folder) as store:
            by = writer(store)
    for round_, victim in enumerate((*victims, None)):
        with running(folder, port) as up:
            with store_of(folder) as store:
                wrong = faults(attempts, kept(store)) + read_back(up, by, last, chance)
            assert not wrong, f"seed {seed}, after {victims[:round_]}: {wrong[:10]}"
            if victim:
                last = crash(up, by, victim, chance)
                attempts += last
    return attempts


def report(attempts: Sequence[Attempt], seed: str, victims: Sequence[str]) -> str:
    by_status: dict[int, int] = {}
    for each in attempts:
        by_status[each.status] = by_status.get(each.status, 0) + 1
    writes = sum(len(each.written) for each in attempts)
    return f"seed {seed}, {victims}: requests by status (0: no answer) {by_status}, {writes} writes"


def test_what_was_acknowledged_survives_a_kill_of_each(data: Path, port: int) -> None:
    seed = secrets.token_hex(4)
    victims = random.Random(seed).sample(VICTIMS, len(VICTIMS))
    print(report(survive(data, port, seed, victims), seed, victims))


@pytest.mark.slow
def test_what_was_acknowledged_survives_twenty_kills(data: Path, port: int) -> None:
    seed = secrets.token_hex(4)
    victims = random.Random(seed).choices(VICTIMS, k=20)
    attempts = survive(data, port, seed, victims)
    print(report(attempts, seed, victims))
    assert sum(not each.status for each in attempts) >= 20  # the kills met requests at work
