"""The exchange's one rule, proved: a hidden record answers exactly as an absent one.

Two worlds of the same ids, clock and keys, one of which never had the hidden records. The same
generated requests of a facility that no consent permits must have equal answers, byte for byte.
That the requests would find a leak is shown twice: asked by a permitted facility, many of them
return a hidden record; and with any one filter of the exchange off, some answers differ.
"""

from __future__ import annotations

import secrets
from typing import Iterator

import pytest

from hie_server.config import Settings
from tests.flows import hops
from tests.flows.asking import ABSENT, MAKERS, Material, requests, served
from tests.flows.world_records import Json
from tests.flows.world_story import ASKER, PERMITTED, RELABELLED, Record, aliases, records, story
from tests.flows.worlds import Answer, Asked, Rows, World, open_world, pinned_nonces

SEED, NUMBER, MANY = 20260115, 300, 10_000
LEAST_RETURNED = 0.3
MOST_EVENTS = 8
HIDDEN = {each.reference for each in records() if each.hidden}

Worlds = tuple[World, World]
Built = tuple[Worlds, tuple[Rows, Rows]]


@pytest.fixture(scope="module")
def built(settings: Settings) -> Iterator[Built]:
    with (
        pinned_nonces(),
        open_world(settings, "with", True) as one,
        open_world(settings, "without", False) as other,
    ):
        yield (one, other), (one.rows(), other.rows())


@pytest.fixture
def worlds(built: Built) -> Worlds:
    for world, rows in zip(*built):
        world.restore(rows)
    return built[0]


@pytest.fixture(scope="module")
def found(built: Built) -> Material:
    """What the requests are made of: what the first world alone holds, the journal too."""
    one, other = built[0]
    known = served(one.app.test_client().get("/fhir/metadata").json or {})
    pools = {name: list(_hidden(told)) for name, told in story().items()}
    events = one.rendered(sorted(one.events() - other.events())[:MOST_EVENTS])
    absent = [{"resourceType": kind, "id": ABSENT} for kind in known]
    often = [pools["asha"]] * 5 + [pools["bina"]] * 5 + [pools["chitra"], pools["divya"]] * 2
    own = [version for each in story()["asker"] for version in each.versions if version]
    return Material(known, [*often, events, absent], own, aliases())


def _hidden(told: list[Record]) -> Iterator[Json]:
    for record in told:
        if record.hidden or record.reference == RELABELLED:
            yield from (version for version in record.versions if version)


@pytest.fixture(scope="module")
def asked(found: Material) -> list[Asked]:
    return hops.SAMPLE + requests(found, SEED, NUMBER)


def differences(
    worlds: Worlds, asked: list[Asked]
) -> Iterator[tuple[Asked, list[Answer], list[Answer]]]:
    with_hidden, without = worlds
    for each in asked:
        for world in worlds:
            world.clock.advance(seconds=1)
        one, other = with_hidden.answers(ASKER, each), without.answers(ASKER, each)
        if one != other:
            yield each, one, other


def returned(world: World, each: Asked) -> bool:
    """Whether the permitted facility is given a hidden record; it is asked for reads only."""
    return each.reads and any(
        answer.records() & HIDDEN for answer in world.answers(PERMITTED, each)
    )


def test_a_hidden_record_answers_as_an_absent_one(worlds: Worlds, asked: list[Asked]) -> None:
    assert next(differences(worlds, asked), None) is None, f"seed {SEED}"


def test_the_permitted_caller_is_given_hidden_records(worlds: Worlds, asked: list[Asked]) -> None:
    share = sum(returned(worlds[0], each) for each in asked) / len(asked)
    assert share >= LEAST_RETURNED


@pytest.mark.parametrize("hop", hops.ALL)
def test_with_one_filter_off_the_worlds_differ(
    worlds: Worlds, hop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hops.ALL[hop](monkeypatch)
    assert next(differences(worlds, hops.SAMPLE), None) is not None


def test_the_requests_are_drawn_from_all_that_is_served(
    found: Material, asked: list[Asked]
) -> None:
    assert len(asked) == len(hops.SAMPLE) + NUMBER
    interactions = {code for codes, _ in found.served.values() for code in codes}
    kinds = {each["resourceType"] for pool in found.pools for each in pool}
    assert interactions == MAKERS.keys()
    assert kinds == found.served.keys()


@pytest.mark.slow
def test_many_more_requests_find_no_difference(worlds: Worlds, found: Material) -> None:
    seed = secrets.randbits(32)
    asked = requests(found, seed, MANY)
    given = 0
    for each in asked:
        different = next(differences(worlds, [each]), None)
        assert different is None, f"seed {seed}: {different}"
        given += returned(worlds[0], each)
    assert given / len(asked) >= LEAST_RETURNED, f"seed {seed}"
