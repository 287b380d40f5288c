"""Versions, deletion and races of the one door to the records."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any, Callable

import pytest

from hie_server.fhir.outcomes import FhirError
from hie_server.fhir.query import parse_query
from hie_server.fhir.resources import parse
from hie_server.store.access import Access
from hie_server.store.database import Store
from hie_server.store.repository import Repository, Version, referrers, whose
from tests.conftest import Clock, MakeStore
from tests.support import Json, observation

MINE, THEIRS = "Organization/mine", "Organization/theirs"


@pytest.fixture
def mine(store: Store) -> Repository:
    return Repository(store, Access(custodian=MINE))


def identity_of(version: Version) -> str:
    return version.reference.partition("/")[2]


def body_of(version: Version) -> Json:
    assert version.body is not None
    return parse(version.body)


def status_of(act: Callable[[], object]) -> int:
    try:
        act()
    except FhirError as error:
        return error.status
    return 200


def at_once(number: int, act: Callable[[int], object]) -> list[Any]:
    """What `number` threads, started together, came to; an error is a result, too."""
    results: list[Any] = [None] * number
    gate = threading.Barrier(number)

    def work(index: int) -> None:
        gate.wait()
        try:
            results[index] = act(index)
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=work, args=(each,)) for each in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def amended(number: int) -> Json:
    return observation(note=[{"text": f"note {number}"}])


def test_versions_are_counted_and_each_stays_as_it_was(mine: Repository) -> None:
    identity = identity_of(mine.create(observation()))
    for number in range(2, 5):
        made = mine.update("Observation", identity, amended(number))
        assert (made.version, made.created) == (number, False)
    for number in range(2, 5):
        past = body_of(mine.vread("Observation", identity, number))
        assert past["note"] == [{"text": f"note {number}"}]
        assert past["meta"]["versionId"] == str(number)
    history = mine.history("Observation", identity, None, 10)
    assert [each.version for each in history] == [4, 3, 2, 1]
    assert [each.version for each in mine.history("Observation", identity, 3, 1)] == [2]


def test_the_same_content_makes_no_new_version(mine: Repository) -> None:
    first = mine.create(observation())
    again = mine.update("Observation", identity_of(first), observation())
    assert (again.version, again.unchanged, again.body) == (1, True, first.body)
    assert again.updated == first.updated


def test_content_that_differs_in_digits_alone_is_a_new_version(mine: Repository) -> None:
    value = '{"resourceType":"Observation","valueQuantity":{"value":%s}}'
    first = mine.create(parse((value % "1.1").encode()))
    again = mine.update("Observation", identity_of(first), parse((value % "1.10").encode()))
    assert again.version == 2


def test_deletion_may_be_repeated_and_an_update_revives(mine: Repository) -> None:
    identity = identity_of(mine.create(observation()))
    assert [mine.delete("Observation", identity).version for _ in range(3)] == [2, 2, 2]
    assert status_of(lambda: mine.read("Observation", identity)) == 410
    assert status_of(lambda: mine.vread("Observation", identity, 2)) == 410
    revived = mine.update("Observation", identity, observation())
    assert (revived.version, revived.created) == (3, True)
    deleted = [each.body is None for each in mine.history("Observation", identity, None, 9)]
    assert deleted == [False, True, False]


def test_a_tombstone_says_nothing_of_what_was_deleted(mine: Repository, store: Store) -> None:
    reference = mine.create(observation("Patient/1")).reference
    mine.delete("Observation", reference.partition("/")[2])
    row = store.db.resources.find_one({"_id": reference})
    assert row is not None and row["body"] is None and row["kid"] is None
    by_id = ("_id", reference.partition("/")[2])
    for search in (by_id, ("code", "4548-4"), ("patient", "Patient/1"), ("code:not", "x")):
        query = parse_query("Observation", [search, ("_total", "accurate")])
        page = mine.search(query)
        assert (page.rows, page.total) == ((), 0)


def test_who_could_not_read_the_last_version_is_not_told_that_it_is_gone(
    mine: Repository, store: Store
) -> None:
    identity = identity_of(mine.create(observation()))
    mine.delete("Observation", identity)
    theirs = Repository(store, Access(custodian=THEIRS, directory=True))
    for act in (
        lambda: theirs.read("Observation", identity),
        lambda: theirs.vread("Observation", identity, 1),
        lambda: theirs.history("Observation", identity, None, 10),
    ):
        assert status_of(act) == 404


def test_unknown_hidden_and_foreign_ids_are_405_alike_before_if_match(
    mine: Repository, store: Store
) -> None:
    foreign = identity_of(Repository(store, Access(custodian=THEIRS)).create(observation()))
    told = set()
    for identity in (foreign, "00000000-0000-4000-8000-000000000000", "x"):
        for act in (
            lambda: mine.check_mine("Observation", identity),
            lambda: mine.update("Observation", identity, observation(), if_match=9),
            lambda: mine.update("Observation", identity, observation(), if_match=1),
            lambda: mine.delete("Observation", identity, if_match=9),
        ):
            with pytest.raises(FhirError) as refused:
                act()
            told.add((refused.value.status, str(refused.value), str(refused.value.headers)))
    assert len(told) == 1 and told.pop()[0] == 405


def test_an_access_that_permits_nothing_finds_and_writes_nothing(
    mine: Repository, store: Store
) -> None:
    identity = identity_of(mine.create(observation()))
    nobody = Repository(store, Access())
    assert nobody.search(parse_query("Observation", [("_total", "accurate")])).total == 0
    assert status_of(lambda: nobody.read("Observation", identity)) == 404
    assert status_of(lambda: nobody.create(observation())) == 405
    assert status_of(lambda: nobody.update("Observation", identity, observation())) == 405
    assert not nobody.sees([f"Observation/{identity}"])


def test_of_updates_at_once_with_if_match_one_wins(mine: Repository) -> None:
    identity = identity_of(mine.create(observation()))
    results = at_once(
        20, lambda n: mine.update("Observation", identity, amended(n), if_match=1).version
    )
    assert results.count(2) == 1
    lost = [each for each in results if each != 2]
    assert [each.status for each in lost] == [412] * 19
    assert len(mine.history("Observation", identity, None, 99)) == 2


def test_of_updates_at_once_without_if_match_no_version_is_lost(mine: Repository) -> None:
    identity = identity_of(mine.create(observation()))
    results = at_once(20, lambda n: mine.update("Observation", identity, amended(n)).version)
    assert sorted(results) == list(range(2, 22))
    history = mine.history("Observation", identity, None, 99)
    assert [each.version for each in history] == list(range(21, 0, -1))
    notes = {body_of(each)["note"][0]["text"] for each in history[:-1]}
    assert notes == {f"note {number}" for number in range(20)}
    moments = [each.updated for each in history]
    assert moments == sorted(moments, reverse=True) and len(set(moments)) == 21


def test_of_deletions_at_once_one_makes_the_tombstone(mine: Repository) -> None:
    identity = identity_of(mine.create(observation()))
    results = at_once(10, lambda _: mine.delete("Observation", identity))
    assert [each.version for each in results] == [2] * 10
    assert sum(not each.unchanged for each in results) == 1


def test_a_clock_set_back_never_makes_a_version_older_than_the_one_before(
    make_store: MakeStore, clock: Clock
) -> None:
    mine = Repository(make_store(clock=clock), Access(custodian=MINE))
    first = mine.create(observation())
    clock.advance(days=-3)
    second = mine.update("Observation", identity_of(first), amended(1))
    assert second.updated > first.updated
    assert datetime.fromisoformat(body_of(second)["meta"]["lastUpdated"]) == second.updated
    assert mine.delete("Observation", identity_of(first)).updated > second.updated


def test_what_is_to_be_written_with_it_fails_with_it(mine: Repository, store: Store) -> None:
    def fail(*_: object) -> None:
        raise FhirError(422, [])

    assert status_of(lambda: mine.create(observation(), [fail])) == 422
    assert store.db.resources.count_documents({"type": "Observation"}) == 0
    identity = identity_of(mine.create(observation()))
    assert status_of(lambda: mine.update("Observation", identity, amended(1), None, [fail])) == 422
    assert status_of(lambda: mine.delete("Observation", identity, None, [fail])) == 422
    assert mine.read("Observation", identity).version == 1
    assert store.db.history.count_documents({}) == 0


def test_returns_whose_a_row_is_and_who_refers_to_it(mine: Repository, store: Store) -> None:
    reference = mine.create(observation("Patient/1", focus=[{"reference": "Device/9"}])).reference
    custodian, patient = whose(store, reference)
    assert custodian == MINE and patient == store.seal.opaque("Patient/1")
    assert whose(store, "Observation/none") == (None, None)
    found = referrers(store, "Device/9", MINE, 10)
    assert [each["_id"] for each in found] == [reference]
    assert referrers(store, "Device/9", THEIRS, 10) == []
    assert referrers(store, "Device/9", None, 10) == []
