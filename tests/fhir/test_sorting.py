from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hie_server.fhir.sorting import LONGEST, order, text_of

PATIENT = {
    "resourceType": "Patient",
    "id": "a",
    "active": False,
    "name": [{"family": "Śarmā", "given": ["Ramesh"]}, {"family": "Ahuja"}],
    "identifier": [{"system": "urn:x", "value": "7"}, {"system": "urn:y"}, {"value": "3"}],
    "gender": "male",
    "managingOrganization": {"reference": "Organization/o/_history/2"},
    "generalPractitioner": [{"display": "Dr. Rao"}],
    "meta": {"profile": ["http://p.example/b", "http://p.example/a"]},
}


@pytest.mark.parametrize(
    ("code", "lowest", "highest"),
    [
        ("family", "ahuja", "sarma"),
        ("identifier", "3", "7"),
        ("gender", "male", "male"),
        ("active", "false", "false"),
        ("organization", "Organization/o", "Organization/o"),
        ("general-practitioner", None, None),
        ("_profile", "http://p.example/a", "http://p.example/b"),
        ("phone", None, None),
    ],
)
def test_returns_the_lowest_text_or_the_highest(
    code: str, lowest: str | None, highest: str | None
) -> None:
    assert text_of(PATIENT, code, False) == lowest
    assert text_of(PATIENT, code, True) == highest


def test_an_entry_is_sorted_by_type_and_id() -> None:
    entry = [{"resource": {"resourceType": "Composition", "id": "c"}}]
    bundle = {"resourceType": "Bundle", "type": "document", "entry": entry}
    assert text_of(bundle, "composition", False) == "Composition/c"


def test_long_texts_are_compared_by_their_beginning() -> None:
    patient = {"resourceType": "Patient", "name": [{"family": "x" * 1000}]}
    assert text_of(patient, "family", False) == "x" * LONGEST


values = st.none() | st.integers(0, 3)
sorts = st.tuples(st.tuples(st.just("a"), st.booleans()), st.tuples(st.just("b"), st.booleans()))
places = st.lists(st.tuples(values, values, st.sampled_from("abc")), max_size=12)


@given(places, sorts)
def test_rows_are_in_the_order_that_was_asked_for(places: list[Any], sort: Any) -> None:
    ordered = sorted(places, key=lambda place: order(place, sort))
    for one, other in zip(ordered, ordered[1:]):
        assert not _comes_before(other, one, sort)


def _comes_before(one: Any, other: Any, sort: Any) -> bool:
    for a, b, (_, is_falling) in zip(one, other, sort):
        if a != b:
            if a is None or b is None:
                return b is None
            return bool(a > b if is_falling else a < b)
    return bool(one[-1] < other[-1])
