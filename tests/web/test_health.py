"""Alive, ready, and what is answered while the database is gone or the clock is wrong."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Iterator

import pytest
from werkzeug.test import TestResponse

from hie_server import create_app, open_store
from hie_server.config import Settings
from hie_server.store import migrations, mongod
from hie_server.store.database import now
from hie_server.store.mongod import Mongod
from tests.conftest import SERVER_KEY, Clock, MakeStore
from tests.support import Api, District, body_of, observation, open_district
from tests.web.test_server import until

PATIENCE = 9.0  # seconds, on a busy machine, for an answer that takes 5 s of waiting and a probe


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "db").mkdir()
    (tmp_path / "key").touch(0o600)
    (tmp_path / "key").write_text("ab" * 32)
    return tmp_path


@pytest.fixture
def database(home: Path) -> Iterator[Mongod]:
    """A mongod of this test's own, to be stopped and killed."""
    started = mongod.start(home / "db", home / "key", home / "log", cache_gb=0.25)
    yield started
    if started.process.poll() is None:
        os.kill(started.process.pid, signal.SIGCONT)
    started.stop(patience=0)


@pytest.fixture
def apart(database: Mongod) -> Iterator[District]:
    """An exchange on that database."""
    settings = Settings(
        environment="development", mongodb_uri=database.uri, server_key=SERVER_KEY
    )
    store = open_store(settings)
    with store.client:
        migrations.run(store)
    yield from open_district(settings)


def ready(district: District) -> TestResponse:
    """Not from memory."""
    district.app.extensions.pop("ready", None)
    return district.app.test_client().get("/health/ready")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def unavailable(answer: TestResponse) -> bool:
    outcome = body_of(answer)
    return (
        answer.status_code == 503
        and answer.headers["Retry-After"] == "5"
        and outcome["issue"][0]["code"] == "transient"
    )


def test_is_alive_and_ready(district: District) -> None:
    assert district.app.test_client().get("/health/live").data == b"ok\n"
    assert (ready(district).status_code, ready(district).data) == (200, b"ready\n")


def test_is_not_ready_while_migrations_are_pending(district: District) -> None:
    done = district.records.db.migrations
    row = done.find_one_and_delete({"_id": "0001_records"})
    answer = ready(district)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.data == b"pending migrations: run hie migrate\n"
    done.insert_one(row)  # type: ignore[arg-type]
    assert ready(district).status_code == 200


def test_what_was_found_is_told_for_a_second(district: District) -> None:
    assert ready(district).status_code == 200
    district.records.db.migrations.delete_one({"_id": "0001_records"})
    client = district.app.test_client()
    assert client.get("/health/ready").status_code == 200
    assert until(lambda: client.get("/health/ready").status_code == 503, 3)


class Writers:
    """Four clients that store without end; `waits` are their answers' status and seconds."""

    def __init__(self, api: Api):
        self.waits: list[tuple[int, float]] = []
        self._api, self._over = api, threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(4)]
        for each in self._threads:
            each.start()

    def _work(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            status = self._api.post("Observation", observation()).status_code
            self.waits.append((status, time.monotonic() - began))

    def stored(self) -> int:
        return sum(status == 201 for status, _ in self.waits)

    def stop(self) -> None:
        self._over.set()
        for each in self._threads:
            each.join()


def test_a_database_that_stands_still_is_told_once_and_waited_for_by_few(
    apart: District, database: Mongod, caplog: pytest.LogCaptureFixture
) -> None:
    api = apart.api(apart.facility())
    writers = Writers(api)
    assert until(lambda: writers.stored() > 20)
    os.kill(database.process.pid, signal.SIGSTOP)
    assert until(lambda: any(status == 503 for status, _ in writers.waits), PATIENCE)
    assert unavailable(api.get("Observation"))
    assert unavailable(apart.app.test_client().post("/oauth/token"))
    assert (ready(apart).status_code, ready(apart).data) == (503, b"no database\n")
    writers.stop()
    assert max(seconds for _, seconds in writers.waits) < PATIENCE
    assert {status for status, _ in writers.waits} == {201, 503}
    assert [line[:18] for line in told(caplog)] == ["The database fails"]

    os.kill(database.process.pid, signal.SIGCONT)
    assert until(lambda: api.get("Observation").status_code == 200)
    assert [line[:20] for line in told(caplog)[1:]] == ["The database is back"]
    kept = apart.records.db.resources.count_documents({"type": "Observation"})
    # of a write whose answer was lost it can't be said; each that is there is in the journal
    assert writers.stored() <= kept <= writers.stored() + 4
    created = [e for e in apart.journal() if e["outcome"] == "0" and e["action"] == "C"]
    assert len([e for e in created if "Observation/" in str(e["entity"])]) == kept


def test_a_database_that_died_is_told_once_and_found_again(
    apart: District, database: Mongod, caplog: pytest.LogCaptureFixture
) -> None:
    api = apart.api(apart.facility())
    reference = api.store(observation())
    database.process.kill()
    database.process.wait()
    began = time.monotonic()
    assert unavailable(api.get(reference))
    assert time.monotonic() - began < PATIENCE
    for _ in range(5):
        assert unavailable(api.post("Observation", observation()))
    assert ready(apart).status_code == 503
    assert len(told(caplog)) == 1

    with subprocess.Popen(database.process.args, stdout=subprocess.DEVNULL) as again:
        try:
            assert until(lambda: api.get(reference).status_code == 200, 30)
            assert ready(apart).status_code == 200
            assert len(told(caplog)) == 2
        finally:
            again.kill()


def test_one_request_that_the_database_refuses_does_not_stop_others(
    district: District, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        district.records.db.command("no-such-command")

    district.app.add_url_rule("/fhir/Broken", view_func=fail)
    assert unavailable(api.get("Broken"))
    assert api.get("Observation").status_code == 200
    assert [line[:18] for line in told(caplog)][:1] == ["The database fails"]


@pytest.fixture
def pinned(settings: Settings, make_store: MakeStore, clock: Clock) -> Iterator[District]:
    make_store()
    clock.moment = now()  # later than the migrations
    yield from open_district(settings, clock=clock)


def test_nothing_is_served_while_the_clock_is_set_back(
    pinned: District, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    api = pinned.api(pinned.facility())
    reference = api.store(observation())
    entries = pinned.records.db.journal.count_documents({})
    clock.advance(minutes=-1)
    for _ in range(2):
        assert unavailable(api.get(reference))
        assert unavailable(api.post("Observation", observation()))
    assert pinned.records.db.resources.count_documents({"type": "Observation"}) == 1
    assert pinned.records.db.journal.count_documents({}) == entries
    assert told(caplog) == [
        "The clock is 60 s behind what was written already: nothing is served until it is right."
    ]
    clock.advance(minutes=1)
    assert api.get(reference).status_code == 200


def test_a_clock_set_back_while_no_server_ran_is_noticed_by_the_journal(
    pinned: District, settings: Settings, clock: Clock
) -> None:
    hospital = pinned.facility()
    pinned.api(hospital).get("Observation")
    token = pinned.token(hospital)
    clock.advance(minutes=-1)
    app = create_app(settings, clock=clock)
    assert unavailable(Api(app, token).get("Observation"))
    app.extensions["hie"].store.client.close()


def test_clocks_of_several_machines_may_differ_by_seconds(pinned: District, clock: Clock) -> None:
    api = pinned.api(pinned.facility())
    api.store(observation())
    clock.advance(seconds=-4)
    assert api.post("Observation", observation()).status_code == 201
