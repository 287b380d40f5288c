"""A real `hie up` under load: its processes, its clients over keep-alive HTTP, its database."""

from __future__ import annotations

import http.client
import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

from hie_server import open_store
from hie_server.authz import scopes, tokens
from hie_server.fhir.resources import dump
from hie_server.identity import enrolment, facilities, people
from hie_server.local import database_of
from hie_server.store.database import Store
from tests.flows.ledger import Attempt
from tests.flows.test_up import Up, children, environment, hie
from tests.support import FHIR_JSON, SYSTEM, Json, observation

ANSWER_SECONDS = 120.0
TOKEN_SECONDS = 3600


@contextmanager
def running(data: Path, port: int) -> Iterator[Up]:
    """`hie up`, killed at the end. Its log is a file: a pipe that nobody reads would stop it."""
    command = hie("up", "--port", str(port), "--data-dir", str(data))
    with (data.parent / "hie.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment(),
            start_new_session=True,
        )
    with process:
        try:
            yield _ready(process, data, port)
        finally:
            process.kill()


def _ready(process: subprocess.Popen[str], data: Path, port: int) -> Up:
    assert process.stdout
    assert process.stdout.readline() == "ready\n", (data.parent / "hie.log").read_text()[-2000:]
    made = children(process.pid)
    mongod = next(pid for pid, program in made.items() if program.endswith("mongod"))
    runtime = json.loads((data / "runtime.json").read_text())
    return Up(process, port, runtime, mongod, [pid for pid in made if pid != mongod])


@contextmanager
def store_of(data: Path) -> Iterator[Store]:
    with database_of(data) as settings:
        store = open_store(settings)
        with store.client:
            yield store


@dataclass(frozen=True)
class Writer:
    """A facility's token, and the citizen it writes about."""

    token: str
    patient: str


def writer(store: Store) -> Writer:
    facility = facilities.add(store, "Sadar Hospital")
    patient, _ = enrolment.enrol(store, {"name": [{"text": "Satyendra Kumar"}], "gender": "male"})
    people.link(store, patient, facility)
    token = tokens.issue(
        store,
        client_id="load",
        facility=facility,
        scope=scopes.parse(SYSTEM),
        purpose="TREAT",
        seconds=TOKEN_SECONDS,
    )
    return Writer(token, patient)


class Client:
    """One keep-alive connection. OSError or HTTPException where no whole answer comes."""

    def __init__(self, port: int, by: Writer):
        self.by = by
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
        self._connection.connect()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(
        self, method: str, path: str, body: Json | None = None, if_match: int | None = None
    ) -> tuple[int, Json, http.client.HTTPMessage]:
        headers = {"Authorization": f"Bearer {self.by.token}", "Content-Type": FHIR_JSON}
        if if_match is not None:
            headers["If-Match"] = f'W/"{if_match}"'
        sent = None if body is None else dump(body)
        self._connection.request(method, f"/fhir{path}", sent, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content or b"{}"), answer.headers

    def create(self, attempt: Attempt) -> None:
        resource = self.resource(attempt.texts[0])
        self._written(attempt, *self.ask("POST", "/Observation", resource)[:2])

    def update(self, attempt: Attempt, identity: str, version: int) -> None:
        resource = self.resource(attempt.texts[0], id=identity)
        path = f"/Observation/{identity}"
        self._written(attempt, *self.ask("PUT", path, resource, version)[:2])

    def transact(self, attempt: Attempt, updates: list[tuple[str, int]]) -> str | None:
        """The first texts update these, the others create. The answer's Retry-After."""
        changed = [
            self._entry("PUT", f"Observation/{identity}", {"ifMatch": f'W/"{version}"'},
                        self.resource(text, id=identity))
            for text, (identity, version) in zip(attempt.texts, updates)
        ]
        created = [
            self._entry("POST", "Observation", {}, self.resource(text))
            for text in attempt.texts[len(updates):]
        ]
        sent = {"resourceType": "Bundle", "type": "transaction", "entry": changed + created}
        status, answer, headers = self.ask("POST", "", sent)
        if status == 200:
            told = [each["response"]["location"] for each in answer["entry"]]
            places = [each.partition("/fhir/")[2] for each in told]
            attempt.written = dict(zip(attempt.texts, places, strict=True))
        attempt.status = status
        return headers["Retry-After"]

    def resource(self, text: str, **more: Any) -> Json:
        time = "2026-01-15T06:30:00+05:30"
        return observation(self.by.patient, valueString=text, effectiveDateTime=time, **more)

    def _entry(self, method: str, url: str, more: Json, resource: Json) -> Json:
        return {"request": {"method": method, "url": url, **more}, "resource": resource}

    def _written(self, attempt: Attempt, status: int, answer: Json) -> None:
        if 200 <= status < 300:
            place = f"Observation/{answer['id']}/_history/{answer['meta']['versionId']}"
            attempt.written = {attempt.texts[0]: place}
        attempt.status = status
