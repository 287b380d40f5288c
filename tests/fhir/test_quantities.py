from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from hie_server.fhir.quantities import Unit, half_digit, interval, read_number, units

UCUM = "http://unitsofmeasure.org"


@pytest.mark.parametrize(
    ("text", "half"),
    [("100", "0.5"), ("100.00", "0.005"), ("1e2", "5"), ("5.40e-3", "0.000005"), ("0", "0.5")],
)
def test_a_number_implies_half_its_last_digit(text: str, half: str) -> None:
    assert half_digit(read_number(text)) == Decimal(half)


@pytest.mark.parametrize(
    "text",
    ["", "five", "1_000", " 5", "NaN", "Infinity", "1e999", "1e-999", "1e99999999999", "५", "0x1"],
)
def test_refuses_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="Not a number"):
        read_number(text)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (5, "integer", (5, 5)),
        (Decimal("5.4"), "decimal", (5.4, 5.4)),
        ({"value": Decimal("5.4")}, "Quantity", (5.4, 5.4)),
        ({"value": 5, "currency": "INR"}, "Money", (5, 5)),
        ({"value": 5, "comparator": "<="}, "Quantity", (-math.inf, 5)),
        ({"value": 5, "comparator": ">="}, "Quantity", (5, math.inf)),
        ({"value": 5, "comparator": "<"}, "Quantity", (-math.inf, math.nextafter(5, 0))),
        ({"value": 5, "comparator": ">"}, "Quantity", (math.nextafter(5, 6), math.inf)),
        ({"low": {"value": 1}, "high": {"value": 2}}, "Range", (1, 2)),
        ({"low": {"value": 1}}, "Range", (1, math.inf)),
        ({"high": {"value": 2}, "low": {"unit": "mg"}}, "Range", (-math.inf, 2)),
        ({}, "Range", None),
        ({"unit": "mg"}, "Quantity", None),
        (True, "boolean", None),
    ],
)
def test_returns_the_interval_of_a_value(value: Any, kind: str, expected: Any) -> None:
    assert interval(value, kind) == expected


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (
            {"system": UCUM, "code": "mg", "unit": "milligram"},
            "Quantity",
            [(UCUM, "mg"), ("", "mg"), ("", "milligram")],
        ),
        ({"system": UCUM, "code": "mg", "unit": "mg"}, "Quantity", [(UCUM, "mg"), ("", "mg")]),
        ({"unit": "tablets"}, "Quantity", [("", "tablets")]),
        ({"currency": "INR"}, "Money", [("urn:iso:std:iso:4217", "INR"), ("", "INR")]),
        ({"high": {"unit": "kg"}}, "Range", [("", "kg")]),
        ({}, "Range", []),
        (5, "integer", []),
    ],
)
def test_returns_each_name_of_a_unit(value: Any, kind: str, expected: list[Any]) -> None:
    assert list(units(value, kind)) == [Unit(*each) for each in expected]
