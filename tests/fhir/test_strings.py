from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hie_server.fhir.strings import fold, strings_of


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("  Ramesh \t KUMAR ", "ramesh kumar"),
        ("Śarmā", "sarma"),
        ("s\u0301arma\u0304", "sarma"),
        ("Straße", "strasse"),
        ("İstanbul", "istanbul"),
        ("Ǿrsted", "ørsted"),
        ("Ｒａｍｅｓｈ\u00a0Ｋ", "ramesh k"),
        ("क़लम", "कलम"),
        ("क\u093cलम", "कलम"),
        ("ज़ोया", "जोया"),
        ("क्\u200dष", "क्ष"),
        ("किताब", "किताब"),
        ("Майор", "майор"),
        ("\u093c", ""),
    ],
)
def test_strings_that_look_alike_fold_alike(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize(("one", "other"), [("कल", "काल"), ("कम", "कर्म"), ("й", "и")])
def test_strings_that_differ_by_more_than_accents_stay_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(st.text(st.characters(codec="utf-8")))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_a_name_is_searched_by_each_of_its_parts() -> None:
    name = {"use": "usual", "family": "A", "given": ["B", None, "C"], "suffix": ["D"], "text": "E"}
    assert list(strings_of(name, "HumanName")) == ["A", "B", "C", "D", "E"]


def test_an_address_is_searched_without_its_use_and_type() -> None:
    address = {"use": "home", "type": "postal", "line": ["12 MG Road"], "postalCode": "411001"}
    assert list(strings_of(address, "Address")) == ["12 MG Road", "411001"]


def test_what_has_no_text_is_not_searched_as_text() -> None:
    assert list(strings_of({"value": 1}, "Quantity")) == []
