import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hie_server.authz.scopes import CRUDS, Scope, Scopes, narrow, parse

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "scopes.json").read_text("utf-8"))
LEVELS = ("patient", "user", "system")
TYPES = ("*", "Observation", "Patient", "Task")


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["why"] for row in rows]


@pytest.mark.parametrize("row", VECTORS["parse"], ids=ids(VECTORS["parse"]))
def test_a_text_has_this_meaning(row: dict[str, Any]) -> None:
    scopes = parse(row["text"])
    assert str(scopes) == row.get("normal", "")
    assert list(scopes.unknown) == row.get("unknown", [])


@pytest.mark.parametrize("row", VECTORS["narrow"], ids=ids(VECTORS["narrow"]))
def test_a_request_is_narrowed(row: dict[str, Any]) -> None:
    requested = None if row["requested"] is None else parse(row["requested"])
    assert str(narrow(parse(row["registered"]), requested)) == row["granted"]


@pytest.mark.parametrize(
    "text, type, interaction, allowed",
    [
        ("system/*.rs", "Observation", "r", True),
        ("system/*.rs", "*", "s", True),
        ("system/Observation.rs", "Observation", "s", True),
        ("system/Observation.rs", "*", "s", False),
        ("system/Observation.rs", "Observation", "c", False),
        ("system/Observation.rs", "ObservationDefinition", "r", False),
        ("system/Observation.c", "Observation", "r", False),
        ("system/Observation.rs", "Observation", "", False),
        ("system/Observation.rs", "Observation", "rs", False),
        ("", "Observation", "r", False),
    ],
)
def test_an_interaction_is_allowed_by_a_scope_that_names_it(
    text: str, type: str, interaction: str, allowed: bool
) -> None:
    assert bool(parse(text).allows(type, interaction)) is allowed


def test_returns_the_scopes_that_allow_it() -> None:
    scopes = parse("system/*.r patient/Observation.rs?code=1 user/Observation.s")
    found = scopes.allows("Observation", "r")
    assert [str(scope) for scope in found] == ["patient/Observation.rs?code=1", "system/*.r"]


def test_returns_the_granular_scopes() -> None:
    granular = parse("system/*.r patient/Observation.rs?code=1").granular
    assert granular == (
        Scope("patient", "Observation", frozenset("rs"), (("code", "1"),)),
    )


interactions = st.frozensets(st.sampled_from(CRUDS), min_size=1)
conditions = st.frozensets(st.sampled_from([("code", "a|b"), ("status", "x&y")]))
single = st.builds(
    Scope,
    st.sampled_from(LEVELS),
    st.sampled_from(TYPES),
    interactions,
    conditions.map(lambda pairs: tuple(sorted(pairs))),
)
texts = st.lists(single, max_size=6).map(lambda scopes: " ".join(map(str, scopes)))
several = texts.map(parse)


def meaning(scopes: Scopes) -> set[tuple[str, str, str, bool, bool]]:
    """What is allowed of everything that can be asked: level, type, letter, and whether the
    resource meets each of the two conditions."""
    return {
        (level, type, letter, code, status)
        for level in LEVELS
        for type in TYPES
        for letter in CRUDS
        for code in (False, True)
        for status in (False, True)
        for scope in scopes.allows(type, letter)
        if scope.level == level and all(dict(code=code, status=status)[p] for p, _ in scope.params)
    }


@given(several)
def test_the_normal_form_reads_back_as_itself(scopes: Scopes) -> None:
    assert parse(str(scopes)) == scopes
    assert str(parse(str(scopes))) == str(scopes)


@given(st.lists(texts, max_size=4))
def test_order_and_repetition_mean_nothing(words: list[str]) -> None:
    assert parse(" ".join(words)) == parse(" ".join(reversed(words + words)))


@given(several, several)
def test_narrowing_means_what_both_sides_allow(one: Scopes, other: Scopes) -> None:
    assert meaning(narrow(one, other)) == meaning(one) & meaning(other)


@given(several, several)
def test_narrowing_commutes(one: Scopes, other: Scopes) -> None:
    assert narrow(one, other) == narrow(other, one)


@given(several, several)
def test_scopes_are_equal_exactly_if_they_mean_the_same(one: Scopes, other: Scopes) -> None:
    assert (one == other) is (meaning(one) == meaning(other))


@given(several, several)
def test_narrowing_twice_is_narrowing_once(one: Scopes, other: Scopes) -> None:
    once = narrow(one, other)
    assert narrow(one, one) == one
    assert narrow(once, other) == narrow(one, once) == once


@given(st.text(max_size=60))
def test_no_text_widens_what_is_registered(text: str) -> None:
    registered = parse("system/Observation.rs")
    assert str(narrow(registered, parse(text))) in ("", "system/Observation.rs")
