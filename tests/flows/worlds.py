"""Two exchanges with the same ids, clock and keys; the second never had the hidden records."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any, Iterator

import pytest
from flask import Flask

from hie_server import create_app
from hie_server.audit.journal import Viewer, by_exchange
from hie_server.authz import tokens
from hie_server.authz.scopes import parse as scopes
from hie_server.authz.tokens import Caller
from hie_server.config import Settings
from hie_server.fhir.resources import parse
from hie_server.identity import people
from hie_server.store import migrations, sealing
from hie_server.store.access import Access
from hie_server.store.database import Store
from hie_server.store.repository import Also
from hie_server.web.exchange import Exchange
from tests.conftest import Clock
from tests.flows.world_records import Json
from tests.flows.world_story import ASKER, LINKS, PERMITTED, RELABELLED, Record, records

START = datetime(2026, 1, 15, 6, 30, tzinfo=UTC)
MOST_PAGES = 4
CHANGING = ("resources", "history", "journal", "people", "refused")
Rows = dict[str, list[dict[str, Any]]]


class Chance:
    """Bytes that follow from a seed; those of background threads never disturb them."""

    def __init__(self) -> None:
        self._thread, self._source = threading.get_ident(), Random(0)

    def seed(self, text: str) -> None:
        self._source.seed(text)

    def __call__(self, number: int) -> bytes:
        pinned = threading.get_ident() == self._thread
        return self._source.randbytes(number) if pinned else secrets.token_bytes(number)


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def reads(self) -> bool:
        if self.path == "/fhir":
            entries = parse(self.body or b"")["entry"]
            return all(each["request"]["method"] == "GET" for each in entries)
        return self.method in ("GET", "HEAD") or self.path.endswith("/_search")


@dataclass(frozen=True)
class Answer:
    """Everything that its caller can see of it but the time it took."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def resource(self) -> Json:
        is_fhir = ("Content-Type", "application/fhir+json") in self.headers and self.body
        return dict(parse(self.body)) if is_fhir else {}

    def records(self) -> set[str]:
        """The resources in it, not those that it merely names."""
        return set(_within(self.resource()))

    def next(self) -> str | None:
        links = {each["relation"]: each["url"] for each in self.resource().get("link", ())
                 if "relation" in each}
        return links.get("next")


def _within(found: Json) -> Iterator[str]:
    if "id" in found:
        yield f"{found['resourceType']}/{found['id']}"
    elif found.get("resourceType") == "Bundle":
        for entry in found.get("entry", ()):
            yield from _within(entry.get("resource", {}))


@dataclass
class World:
    app: Flask
    clock: Clock
    chance: Chance
    tokens: dict[str, str] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    @property
    def exchange(self) -> Exchange:
        found: Exchange = self.app.extensions["hie"]
        return found

    @property
    def store(self) -> Store:
        return self.exchange.store

    def answers(self, facility: str, asked: Asked) -> list[Answer]:
        """Its answer, and the pages that follow. The nth request of a facility has the same random
        bytes in every world, whatever others have asked there."""
        self.asked[facility] += 1
        answers = [self._answer(facility, asked, 0)]
        while (url := answers[-1].next()) and len(answers) < MOST_PAGES:
            path = url.removeprefix(self.exchange.settings.base_url)
            answers.append(self._answer(facility, Asked("GET", path), len(answers)))
        return answers

    def _answer(self, facility: str, asked: Asked, page: int) -> Answer:
        if asked.path.startswith("/fhir/AuditEvent"):
            self.exchange.refusals.settle()
        self.chance.seed(f"{facility} {self.asked[facility]} {page}")
        headers = [("Authorization", f"Bearer {self.tokens[facility]}"), *asked.headers]
        response = self.app.test_client().open(
            asked.path, method=asked.method, data=asked.body, headers=headers
        )
        return Answer(response.status_code, tuple(sorted(response.headers)), response.get_data())

    def events(self) -> set[str]:
        return {row["_id"] for row in self.store.db.journal.find({}, {"_id": 1})}

    def rendered(self, events: list[str]) -> list[Json]:
        rows = self.store.db.journal.find({"_id": {"$in": events}}).sort("_id")
        return [self.exchange.journal.shown(row, Viewer()) for row in rows]

    def rows(self) -> Rows:
        return {name: list(self.store.db[name].find()) for name in CHANGING}

    def restore(self, rows: Rows) -> None:
        """All but the clock: it never goes back."""
        self.exchange.refusals.settle()
        self.asked.clear()
        for name, known in rows.items():
            self.store.db[name].delete_many({})
            if known:
                self.store.db[name].insert_many(known)


@contextmanager
def pinned_nonces() -> Iterator[None]:
    """So that equal pages have equal cursors, and answers can be compared byte for byte."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing, "os", SimpleNamespace(urandom=bytes))
        yield


@contextmanager
def open_world(settings: Settings, name: str, with_hidden: bool) -> Iterator[World]:
    uri = settings.mongodb_uri.replace("?", f"_{name}?")
    clock, chance = Clock(START - timedelta(days=1)), Chance()
    app = create_app(replace(settings, mongodb_uri=uri), clock, chance)
    world = World(app, clock, chance)
    with world.store.client as client:
        migrations.run(world.store)
        _fill(world, with_hidden)
        for facility in (ASKER, PERMITTED):
            world.tokens[facility] = _token(world, facility)
        yield world
        world.exchange.refusals.settle()
        client.drop_database(world.store.db.name)


def _fill(world: World, with_hidden: bool) -> None:
    for number, record in enumerate(records()):
        world.chance.seed(f"record {number}")
        world.clock.advance(seconds=10)
        if with_hidden or not record.hidden:
            _write(world, record)
    for link in LINKS:
        if with_hidden or not link.hidden:
            people.link(world.store, link.person, link.facility, link.patient)
    if not with_hidden:
        world.store.db.history.delete_one({"_id": f"{RELABELLED}/1"})
    world.clock.moment = START


def _write(world: World, record: Record) -> None:
    repository = world.exchange.repository(Access(custodian=record.custodian))
    kind, _, identity = record.reference.partition("/")
    for number, version in enumerate(record.versions):
        terms, also = _brings(world, record.custodian, version)
        also = [*also, by_exchange(world.store)]
        if version is None:
            repository.delete(kind, identity, also=also)
        elif number:
            repository.update(kind, identity, version, also=also, terms=terms)
        else:
            repository.create(version, also, terms, identity)


def _brings(world: World, custodian: str, version: Json | None) -> tuple[Any, list[Also]]:
    """What the exchange itself does with such a write."""
    kind = version["resourceType"] if version else ""
    if kind == "Consent":
        is_citizen = custodian.startswith("Patient/")
        caller = _caller(None, custodian) if is_citizen else _caller(custodian, None)
        return world.exchange.rules.on_write(caller, version or {})
    if kind == "Patient" and custodian.startswith("Patient/"):
        return [], [lambda session, _: people.add(world.store, custodian, custodian, session)]
    return [], []


def _caller(facility: str | None, citizen: str | None) -> Caller:
    return Caller("client", facility, citizen, None, None, scopes("system/*.cruds"), "TREAT", "")


def _token(world: World, facility: str) -> str:
    world.chance.seed(f"token of {facility}")
    return tokens.issue(
        world.store, client_id="client", facility=facility, scope=scopes("system/*.cruds"),
        purpose="TREAT", seconds=10**8,
    )
