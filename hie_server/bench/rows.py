"""The rows of the table: what is asked, of which server, and what it is compared with."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from typing import Any, Iterator

from hie_server.bench.broad import broad_queries
from hie_server.bench.floor import READS
from hie_server.bench.world import Series, World, series
from hie_server.fhir.resources import dump
from hie_server.store.access import Access
from hie_server.store.repository import Repository

PAGE = 20
BUNDLE = 20
MOST_REQUESTS = 1_000
FLOOR, INSERTS = "floor: find_one", "floor: insert_many"
READ, BY_CONSENT = "read by id, own", "read by id, by consent"
SEARCH, CREATE, TRANSACTION = "search, one patient", "create, validated", "transaction bundle"
BROAD, NEVER, HIDDEN = "search, broad and rare", "search, broad, none", "the same, all hidden"
BROAD_MS = 50.0  # or refused as too costly within a second
TOO_COSTLY = 403
SEED = 1


@dataclass(frozen=True)
class Row:
    """`least`: the share of the rate of row `of` that is to be reached (DESIGN, performance);
    `refused`: a status that is as good an answer as `status`."""

    name: str
    requests: tuple[bytes, ...]
    status: int = 200
    bare: bool = False
    of: str = FLOOR
    least: float | None = None
    refused: int = 0


def rows(world: World) -> list[Row]:
    """In the order of the table: a floor stands before what is compared with it."""
    names = [world.records.reference(n) for each in world.citizens for n in each.numbers]
    random.Random(SEED).shuffle(names)
    names = names[:MOST_REQUESTS]
    _fill_floor(world, names)
    bundles = [dump(each) for each in _bundles(world)]
    return [
        Row(FLOOR, tuple(_get(f"/{each}", "") for each in names), bare=True),
        Row(READ, _reads(names, world.own), least=0.40),
        Row(BY_CONSENT, _reads(names, world.other), least=0.33),
        Row(SEARCH, _searches(world, world.citizens), least=0.25),
        Row(CREATE, tuple(_creates(world)), status=201, least=0.20),
        Row(INSERTS, tuple(_post(f"/{BUNDLE}", "", each) for each in bundles), bare=True),
        Row(
            TRANSACTION,
            tuple(_post("/fhir", world.own, each) for each in bundles),
            of=INSERTS,
            least=0.20,
        ),
    ]


def spread(world: World, size: int) -> list[Row]:
    """Reads and searches all over the first `size` records, to see what more of them cost."""
    chosen = random.Random(SEED).choices(range(size), k=MOST_REQUESTS)
    everyone = series(world.records, size, MOST_REQUESTS, PAGE)
    names = [world.records.reference(each) for each in chosen]
    return [
        Row(READ, _reads(names, world.own)),
        Row(SEARCH, _searches(world, everyone)),
        *_broad(world),
    ]


def _broad(world: World) -> Iterator[Row]:
    """Two terms that most records of their type have, and a third that few or none of them have;
    asked by whose records they are, and by who sees few of them."""
    asked = broad_queries(world.records)
    for name, query, token in zip(
        (BROAD, NEVER, HIDDEN), (*asked, *asked[-1:]), (world.own, world.own, world.other)
    ):
        yield Row(name, (_get(f"/fhir/{query}&_count={PAGE}", token),), refused=TOO_COSTLY)


def _fill_floor(world: World, names: list[str]) -> None:
    """The floor's answers are the exchange's, byte for byte."""
    own = Repository(world.store, Access(custodian=world.facility))
    bodies = {each: own.read(*each.split("/")).body for each in names}
    kept = [{"_id": name, "body": body} for name, body in bodies.items()]
    world.store.db[READS].insert_many(kept)


def _reads(names: list[str], token: str) -> tuple[bytes, ...]:
    return tuple(_get(f"/fhir/{each}", token) for each in names)


def _searches(world: World, those: tuple[Series, ...] | list[Series]) -> tuple[bytes, ...]:
    asked = [(each.kind, world.records.reference(each.patient)) for each in those]
    return tuple(
        _get(f"/fhir/{kind}?patient={patient}&_count={PAGE}", world.own) for kind, patient in asked
    )


def _creates(world: World) -> Iterator[bytes]:
    for number in [n for each in world.citizens for n in each.numbers][:MOST_REQUESTS]:
        resource = world.records.record(number)
        del resource["id"]
        yield _post(f"/fhir/{resource['resourceType']}", world.own, dump(resource))


def _bundles(world: World) -> Iterator[dict[str, Any]]:
    for each in world.citizens:
        numbers = (each.numbers * BUNDLE)[:BUNDLE]
        entries = [_entry(world.records.record(number)) for number in numbers]
        yield {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _entry(resource: dict[str, Any]) -> dict[str, Any]:
    del resource["id"]
    return {
        "fullUrl": f"urn:uuid:{uuid.uuid4()}",
        "resource": resource,
        "request": {"method": "POST", "url": resource["resourceType"]},
    }


def _get(path: str, token: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\n{_headers(token)}\r\n".encode()


def _post(path: str, token: str, body: bytes) -> bytes:
    length = f"Content-Type: application/fhir+json\r\nContent-Length: {len(body)}\r\n"
    return f"POST {path} HTTP/1.1\r\n{_headers(token)}{length}\r\n".encode() + body


def _headers(token: str) -> str:
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"Host: 127.0.0.1\r\n{bearer}"
