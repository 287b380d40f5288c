from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hie_server.fhir.escapes import parts, split, unescape
from tests.fhir.generated import escaped


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b", ["a", "b"]),
        (r"a\,b", [r"a\,b"]),
        (r"a\\,b", [r"a\\", "b"]),
        (",a,", ["", "a", ""]),
        ("a\\", ["a\\"]),
        ("", [""]),
    ],
)
def test_a_separator_counts_unless_escaped(text: str, expected: list[str]) -> None:
    assert split(text, ",") == expected


def test_a_backslash_before_anything_else_is_a_backslash() -> None:
    assert unescape(r"C:\temp\,x") == r"C:\temp,x"


@given(st.lists(st.text(st.characters(exclude_categories=["C"])), min_size=1))
def test_returns_the_parts_that_were_escaped(texts: list[str]) -> None:
    assert parts("|".join(map(escaped, texts))) == texts
