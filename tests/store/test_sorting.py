"""Pages sorted by values: whole, stable, and bounded."""

from __future__ import annotations

import pytest

from hie_server.fhir.outcomes import FhirError
from hie_server.fhir.query import parse_query
from hie_server.fhir.resources import parse
from hie_server.store import pages, sorting
from hie_server.store.access import Access
from hie_server.store.database import Store
from hie_server.store.records import open_body
from hie_server.store.repository import Repository, search_together
from tests.conftest import Clock, MakeStore
from tests.support import Json, observation

MINE = "Organization/mine"
PATIENTS: list[Json] = [
    {"birthDate": "1990-05", "name": [{"family": "Śarmā"}], "gender": "male"},
    {"birthDate": "1980", "name": [{"family": "ahuja"}], "gender": "female"},
    {"name": [{"family": "Rao", "given": ["Zoya", "Asha"]}], "gender": "male"},
    {"birthDate": "1990-05-02", "name": [{"given": ["Beena"]}]},
    {"birthDate": "1980", "name": [{"family": "Bose"}], "gender": "male"},
]


@pytest.fixture
def mine(make_store: MakeStore, clock: Clock) -> Repository:
    return Repository(make_store(clock=clock), Access(custodian=MINE))


@pytest.fixture
def numbered(mine: Repository, clock: Clock) -> dict[str, int]:
    """Each patient's place in the list by its reference."""
    found = {}
    for number, each in enumerate(PATIENTS):
        found[mine.create({"resourceType": "Patient", **each}).reference] = number
        clock.advance(minutes=1)
    return found


def walked(mine: Repository, kind: str, *pairs: tuple[str, str]) -> list[str]:
    """References of all pages, one after the other."""
    query, after, found = parse_query(kind, pairs), None, []
    while True:
        page = mine.search(query, after)
        found += [row["_id"] for row in page.rows]
        after = page.after
        if after is None:
            return found


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("birthdate,_lastUpdated", [1, 4, 0, 3, 2]),
        ("-birthdate,_lastUpdated", [0, 3, 1, 4, 2]),
        ("-birthdate,-_lastUpdated", [0, 3, 4, 1, 2]),
        ("family,_id", [1, 4, 2, 0, 3]),
        ("-family", [0, 2, 4, 1, 3]),
        ("given", [2, 3, None, None, None]),
        ("gender,-_lastUpdated", [1, 4, 2, 0, 3]),
        ("-gender,family", [4, 2, 0, 1, 3]),
        ("_lastUpdated,family", [0, 1, 2, 3, 4]),
    ],
)
@pytest.mark.parametrize("count", ["1", "2", "9"])
def test_pages_joined_are_sorted(
    mine: Repository, numbered: dict[str, int], sort: str, expected: list[int | None], count: str
) -> None:
    found = walked(mine, "Patient", ("_sort", sort), ("_count", count))
    assert sorted(found) == sorted(numbered)
    for reference, number in zip(found, expected):
        assert number in (numbered[reference], None)


def test_equal_ones_are_sorted_by_id_whatever_the_direction(
    mine: Repository, numbered: dict[str, int]
) -> None:
    assert walked(mine, "Patient", ("_sort", "_id")) == sorted(numbered)
    assert walked(mine, "Patient", ("_sort", "-_id")) == sorted(numbered, reverse=True)
    for sort in ("phone", "-phone"):
        assert walked(mine, "Patient", ("_sort", sort), ("_count", "2")) == sorted(numbered)


def test_what_comes_and_goes_between_pages_moves_nothing(
    mine: Repository, numbered: dict[str, int]
) -> None:
    query = parse_query("Patient", [("_sort", "family"), ("_count", "2")])
    first = mine.search(query)
    shown = [row["_id"] for row in first.rows]
    mine.delete(*shown[0].split("/"))
    mine.create({"resourceType": "Patient", "name": [{"family": "Aa"}]})
    late = mine.create({"resourceType": "Patient", "name": [{"family": "Roy"}]}).reference
    second = mine.search(query, first.after)
    both = shown + [row["_id"] for row in second.rows]
    assert [numbered.get(each) for each in both] == [1, 4, 2, None] and both[-1] == late


def test_quantities_are_sorted_by_their_ends(mine: Repository, clock: Clock) -> None:
    values = [{"value": 7}, {"value": 5, "comparator": "<"}, {"value": -1}, {"value": 6.5}, None]
    named = {}
    for value in values:
        more = {"valueQuantity": value} if value else {}
        named[mine.create(observation(**more)).reference] = value
    found = [named[each] for each in walked(mine, "Observation", ("_sort", "value-quantity"))]
    assert found == [values[1], values[2], values[3], values[0], None]
    found = [named[each] for each in walked(mine, "Observation", ("_sort", "-value-quantity"))]
    assert found == [values[0], values[3], values[1], values[2], None]


def test_a_sorted_search_is_checked_on_the_body_too(
    mine: Repository, numbered: dict[str, int]
) -> None:
    search = ("name:contains", "a"), ("_sort", "-family"), ("_count", "2")
    assert [numbered[each] for each in walked(mine, "Patient", *search)] == [0, 2, 1, 3]


def test_only_what_may_be_seen_is_sorted_and_counts(
    mine: Repository, numbered: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = Repository(mine.store, Access(custodian="Organization/theirs"))
    for _ in range(3):
        theirs.create({"resourceType": "Patient", "name": [{"family": "Bose"}]})
    for module in (sorting, pages):
        monkeypatch.setattr(module, "MOST_SORTED", len(numbered))
    assert len(walked(mine, "Patient", ("_sort", "family"))) == len(numbered)
    assert mine.search(parse_query("Patient", [("_sort", "family"), ("_total", "accurate")])).total
    mine.create({"resourceType": "Patient"})
    with pytest.raises(FhirError, match="More than 5 resources to sort by family") as caught:
        walked(mine, "Patient", ("_sort", "family"))
    assert (caught.value.status, caught.value.issues[0].code) == (403, "too-costly")
    assert walked(mine, "Patient", ("_sort", "family"), ("gender", "female"))


def test_several_types_make_one_page(mine: Repository, numbered: dict[str, int]) -> None:
    weight = mine.create(observation("Patient/a", "29463-7")).reference
    theirs = Repository(mine.store, Access(custodian="Organization/theirs"))
    theirs.create(observation("Patient/a", "29463-7"))
    kinds = ("Observation", "Patient")
    asked = [(mine, parse_query(kind, [("_lastUpdated", "gt2000")])) for kind in kinds]
    query = parse_query("", [("_count", "4"), ("_total", "accurate")])
    first = search_together(asked, query, None)
    second = search_together(asked, query, first.after)
    found = [row["_id"] for row in (*first.rows, *second.rows)]
    assert found == [weight, *sorted(numbered, key=lambda each: -numbered[each])]
    assert (first.total, second.after) == (6, None)


def test_a_number_of_entries_have_the_same_ends_once(mine: Repository, store: Store) -> None:
    quantity = {"value": 72, "system": "http://unitsofmeasure.org", "code": "kg", "unit": "kilo"}
    reference = mine.create(observation("Patient/a", "29463-7", valueQuantity=quantity)).reference
    row = store.db.resources.find_one({"_id": reference}) or {}
    assert [(each["lo"], each["hi"]) for each in row["ranges"]] == [(72.0, 72.0)]
    assert len(row["ranges"][0]["p"]) == len(set(row["ranges"][0]["p"])) > 20
    assert parse(open_body(row, store.seal))["valueQuantity"]["unit"] == "kilo"
