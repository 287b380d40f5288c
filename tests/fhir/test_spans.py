"""The table of https://hl7.org/fhir/R4/search.html#prefix, and R4's own examples."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from hie_server.fhir.dates import bounds
from hie_server.fhir.index import Range
from hie_server.fhir.quantities import interval, read_number
from hie_server.fhir.spans import date_spans, number_spans, split_prefix
from tests.fhir.generated import meets

NOW = bounds("2024-01-01")[0]


def date_is_met(asked: str, stored: Any) -> bool:
    prefix, text = split_prefix(asked)
    found = Range("date", *bounds(stored))
    return any(meets(found, span) for span in date_spans("date", prefix, bounds(text), NOW))


@pytest.mark.parametrize(
    ("asked", "stored", "met"),
    [
        ("2013-01-14", "2013-01-14T00:00:00Z", True),
        ("2013-01-14", "2013-01-14T10:00:00Z", True),
        ("2013-01-14", "2013-01-15T00:00:00Z", False),
        ("2013-01-14", "2013-01", False),
        ("2013-01", "2013-01-14", True),
        ("ne2013-01-14", "2013-01-15T00:00:00Z", True),
        ("ne2013-01-14", "2013-01-14T10:00:00Z", False),
        ("ne2013-01-14", "2013-01", True),
        ("lt2013-01-14T10:00", "2013-01-14", True),
        ("lt2013-01-14", "2013-01-14", False),
        ("gt2013-01-14T10:00", "2013-01-14", True),
        ("gt2013-01-14", "2013-01-14T23:59:59Z", False),
        ("gt2013-01-14", "2013-01-15", True),
        ("ge2013-01-14", "2013-01-14T10:00:00Z", True),
        ("ge2013-01-14", "2013-01-13", False),
        ("le2013-01-14", "2013-01-14", True),
        ("le2013-01-14", "2013-01-15", False),
        ("ge2013-03-14", {"start": "2013-01-21"}, True),
        ("le2013-03-14", {"start": "2013-01-21"}, True),
        ("sa2013-03-14", {"start": "2013-03-15"}, True),
        ("sa2013-03-14", {"start": "2013-01-21"}, False),
        ("sa2013-03-14", {"end": "2013-01-21"}, False),
        ("eb2013-03-14", {"start": "2013-03-15"}, False),
        ("eb2013-03-14", {"start": "2013-01-21"}, False),
        ("eb2013-03-14", {"end": "2013-01-21"}, True),
        ("ap2013-03-14", "2013-03-14", True),
        ("ap2013-03-14", "2013-06-14", True),
        ("ap2013-03-14", "2015-06-15", False),
        ("ap2023-12-31", "2023-12-29", False),
        ("2013-01-14", {}, False),
        ("ge2013-01-14", {}, True),
    ],
)
def test_a_date_meets_a_prefix(asked: str, stored: Any, met: bool) -> None:
    assert date_is_met(asked, stored) is met


def number_is_met(asked: str, stored: Any, kind: str) -> bool:
    prefix, digits = split_prefix(asked)
    found = interval(stored, kind)
    assert found is not None
    spans = number_spans("n", prefix, read_number(digits))
    return any(meets(Range("n", *found), span) for span in spans)


@pytest.mark.parametrize(
    ("asked", "stored", "met"),
    [
        ("100", "99.5", True),
        ("100", "100.4999", True),
        ("100", "100.5", False),
        ("100.00", "100", True),
        ("100.00", "99.995", True),
        ("100.00", "100.005", False),
        ("1e2", "95", True),
        ("1e2", "94.9", False),
        ("1e2", "105", False),
        ("eq-5", "-5.5", True),
        ("ne100", "100.4", False),
        ("ne100", "100.5", True),
        ("ne100", "99", True),
        ("lt100", "99.999", True),
        ("lt100", "100", False),
        ("le100", "100", True),
        ("gt100", "100", False),
        ("gt100", "100.0001", True),
        ("ge100", "100", True),
        ("sa100", "100", False),
        ("sa100", "101", True),
        ("eb100", "100", False),
        ("eb100", "99", True),
        ("ap100", "110", True),
        ("ap100", "110.1", False),
        ("ap0", "0.4", True),
        ("ap-100", "-92", True),
    ],
)
def test_a_number_meets_a_prefix(asked: str, stored: str, met: bool) -> None:
    assert number_is_met(asked, read_number(stored), "decimal") is met


@pytest.mark.parametrize(
    ("asked", "stored", "kind", "met"),
    [
        ("lt5", {"value": 5, "comparator": "<"}, "Quantity", True),
        ("eb5", {"value": 5, "comparator": "<"}, "Quantity", True),
        ("eb5", {"value": 5, "comparator": "<="}, "Quantity", False),
        ("5", {"value": 5, "comparator": "<"}, "Quantity", False),
        ("gt500", {"value": 5, "comparator": ">="}, "Quantity", True),
        ("sa5", {"value": 5, "comparator": ">"}, "Quantity", True),
        ("gt5", {"low": {"value": 1}, "high": {"value": 9}}, "Range", True),
        ("sa5", {"low": {"value": 1}, "high": {"value": 9}}, "Range", False),
        ("5", {"low": {"value": 4.6}, "high": {"value": 5.4}}, "Range", True),
        ("ap5", {"low": {"value": 5.4}}, "Range", True),
    ],
)
def test_a_stretch_of_numbers_meets_a_prefix(asked: str, stored: Any, kind: str, met: bool) -> None:
    assert number_is_met(asked, stored, kind) is met


def test_a_value_without_a_prefix_asks_for_equality() -> None:
    assert split_prefix("2024") == ("eq", "2024")
    assert split_prefix("ap2024") == ("ap", "2024")
    assert split_prefix("lge5") == ("eq", "lge5")


def test_a_number_finer_than_a_double_equals_itself() -> None:
    number = Decimal("6.317281804761683")
    [span] = number_spans("p", "eq", number)
    assert span.lo_gte is not None and span.hi_lt is not None
    assert span.lo_gte <= float(number) < span.hi_lt
