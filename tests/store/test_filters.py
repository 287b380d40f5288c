"""What a search finds by index is what it asks for, whatever is combined with what."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bson.binary import Binary

from hie_server.fhir.outcomes import FhirError
from hie_server.fhir.query import parse_query
from hie_server.store import pages
from hie_server.store.access import Access
from hie_server.store.database import Store
from hie_server.store.filters import conditions, moment
from hie_server.store.repository import Repository
from tests.conftest import Clock, MakeStore
from tests.support import Json, observation

MINE = "Organization/mine"
SYSTEM = "http://loinc.org"


def weight(kilograms: str, **more: object) -> Json:
    quantity = {"value": float(kilograms), "system": "http://unitsofmeasure.org", "code": "kg"}
    return observation("Patient/a", "29463-7", valueQuantity=quantity, **more)


RECORDS: dict[str, Json] = {
    "weight in may": weight("71.5", effectiveDateTime="2024-05-31"),
    "weight in june": weight("72", effectiveDateTime="2024-06-01T08:00:00+05:30"),
    "sugar of a": observation("Patient/a", "4548-4", status="amended"),
    "sugar of b": observation(
        "Patient/b", "4548-4", identifier=[{"system": "urn:x", "value": "1"}]
    ),
    "asha": {"resourceType": "Patient", "name": [{"family": "Kumari", "given": ["Asha Devi"]}],
             "birthDate": "2001-06-09"},
    "asa": {"resourceType": "Patient", "name": [{"family": "Kumar", "given": ["Asa"]}]},
}


@pytest.fixture
def mine(make_store: MakeStore, clock: Clock) -> Repository:
    return Repository(make_store(clock=clock), Access(custodian=MINE))


@pytest.fixture
def named(mine: Repository, clock: Clock) -> dict[str, str]:
    """A record's name by its reference; each a minute younger than the one before."""
    found = {}
    for name, resource in RECORDS.items():
        found[mine.create(resource).reference] = name
        clock.advance(minutes=1)
    return found


def pairs(search: str) -> list[tuple[str, str]]:
    each = (part.partition("=") for part in search.split("&") if part)
    return [(name, value) for name, _, value in each]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("", ["weight in may", "weight in june", "sugar of a", "sugar of b"]),
        ("code=4548-4", ["sugar of a", "sugar of b"]),
        (f"code={SYSTEM}|4548-4", ["sugar of a", "sugar of b"]),
        ("code=urn:other|4548-4", []),
        ("code=|4548-4", []),
        (f"code={SYSTEM}|", ["weight in may", "weight in june", "sugar of a", "sugar of b"]),
        ("code=4548-4,29463-7&patient=Patient/b", ["sugar of b"]),
        ("code=4548-4&code=29463-7", []),
        ("code:not=4548-4", ["weight in may", "weight in june"]),
        ("code:not=4548-4&code:not=29463-7", []),
        ("code=4548-4&status:not=amended", ["sugar of b"]),
        ("patient=a", ["weight in may", "weight in june", "sugar of a"]),
        ("subject:Patient=a&status=amended", ["sugar of a"]),
        ("identifier=urn:x|1", ["sugar of b"]),
        ("identifier:missing=false", ["sugar of b"]),
        ("identifier:missing=true&code=4548-4", ["sugar of a"]),
        ("date=2024-05", ["weight in may"]),
        ("date=ge2024-05&date=le2024-05", ["weight in may"]),
        ("date=ge2024-06-01", ["weight in june"]),
        ("date=lt2024", []),
        ("value-quantity=gt71.5", ["weight in june"]),
        ("value-quantity=72.0|http://unitsofmeasure.org|kg", ["weight in june"]),
        ("value-quantity=72|http://unitsofmeasure.org|g", []),
        ("value-quantity=lt100&date=2024-06-01", ["weight in june"]),
        ("_lastUpdated=ge2026-01-15T06:32:00Z", ["sugar of a", "sugar of b"]),
        ("_lastUpdated=2026-01-15T06:31:00.000Z", ["weight in june"]),
        ("_lastUpdated=lt2026-01-15T06:31:00.000Z", ["weight in may"]),
        ("_lastUpdated=gt9999", []),
        ("_lastUpdated=gt0001", ["weight in may", "weight in june", "sugar of a", "sugar of b"]),
    ],
)
def test_a_search_finds_what_it_asks_for(
    mine: Repository, named: dict[str, str], search: str, expected: list[str]
) -> None:
    query = parse_query("Observation", [*pairs(search), ("_total", "accurate")])
    page = mine.search(query)
    assert sorted(named[row["_id"]] for row in page.rows) == sorted(expected)
    assert page.total == len(expected)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("name=as", ["asha", "asa"]),
        ("name=ASHA", ["asha"]),
        ("given=asha devi", ["asha"]),
        ("given=asha devi k", []),
        ("family=kumar", ["asha", "asa"]),
        ("family:exact=Kumar", ["asa"]),
        ("family:exact=kumar", []),
        ("name:contains=dev", ["asha"]),
        ("name:contains=uma&birthdate=2001", ["asha"]),
        ("birthdate=lt2001-06-09", []),
    ],
)
def test_a_name_is_found_by_how_it_begins_or_what_it_contains(
    mine: Repository, named: dict[str, str], search: str, expected: list[str]
) -> None:
    query = parse_query("Patient", [*pairs(search), ("_total", "accurate")])
    page = mine.search(query)
    assert sorted(named[row["_id"]] for row in page.rows) == sorted(expected)
    assert page.total == len(expected)


def test_ids_are_found_among_the_type_asked_for(mine: Repository, named: dict[str, str]) -> None:
    by_name = {name: reference for reference, name in named.items()}
    asha = by_name["asha"].partition("/")[2]
    sugar = by_name["sugar of a"].partition("/")[2]
    query = parse_query("Patient", [("_id", f"{asha},{sugar}")])
    assert [row["_id"] for row in mine.search(query).rows] == [by_name["asha"]]


def test_one_term_always_drives_the_walk(store: Store) -> None:
    type_term = {"index": Binary(store.seal.term("Observation", "-type", ""))}
    missing = "code:missing=true"
    for search in ("", "code:not=a", "date=2024", "_id=1", "_lastUpdated=2024", missing):
        found = conditions(parse_query("Observation", pairs(search)), store.seal)
        assert found[0] == type_term, search
    driven = conditions(parse_query("Observation", pairs("code=a&date=2024")), store.seal)
    assert type_term not in driven


def test_rows_of_the_same_instant_are_paged_once_each(
    mine: Repository, clock: Clock
) -> None:
    stored = {mine.create(observation()).reference for _ in range(7)}
    for sort in ("_lastUpdated", "-_lastUpdated"):
        query = parse_query("Observation", [("_count", "3"), ("_sort", sort)])
        found: list[str] = []
        after = None
        for _ in range(3):
            page = mine.search(query, after)
            found += [row["_id"] for row in page.rows]
            after = page.after
        assert after is None and len(found) == 7 and set(found) == stored


def test_a_search_that_must_open_too_many_bodies_is_too_costly(
    mine: Repository, named: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_BODIES", 1)
    query = parse_query("Patient", [("name:contains", "nobody")])
    with pytest.raises(FhirError) as refused:
        mine.search(query)
    assert refused.value.issues[0].code == "too-costly"
    assert "name" in refused.value.issues[0].diagnostics


def test_returns_a_moment_for_any_milliseconds() -> None:
    assert moment(0) == datetime(1970, 1, 1, tzinfo=UTC)
    assert moment(10**30).year == 9999 and moment(-(10**30)).year == 1
