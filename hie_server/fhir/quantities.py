"""Numbers and quantities as intervals of doubles, and the precision that a number implies.

A stored number is the point [x, x]: R4 gives the width to the number that is searched for. Values
closer than a double can tell apart are the same. https://hl7.org/fhir/R4/search.html#number
"""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from typing import Any, Iterator, Mapping, NamedTuple

Interval = tuple[float, float]
CURRENCIES = "urn:iso:std:iso:4217"


class Unit(NamedTuple):
    """`code` without a system is either the code or the unit as displayed."""

    system: str
    code: str


def read_number(text: str) -> Decimal:
    """ValueError unless it is a finite number as R4 writes them."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"Not a number: {text}") from None
    if not text.isascii() or "_" in text or text != text.strip() or not _is_finite(number):
        raise ValueError(f"Not a number: {text}")
    return number


def _is_finite(number: Decimal) -> bool:
    return number.is_finite() and math.isfinite(float(number)) and abs(number.adjusted()) < 400


def half_digit(number: Decimal) -> Decimal:
    """Half a unit of the last digit written: 100 → 0.5, 100.00 → 0.005.

    1e2 → 5, as in R4's own example, which takes a tenth of what its one digit would imply.
    """
    exponent = int(number.as_tuple().exponent)
    return Decimal(5).scaleb(exponent - 1 if exponent <= 0 else exponent - 2)


def interval(value: Any, kind: str) -> Interval | None:
    """Of a number, Quantity, Money or Range; None where there is no number in it."""
    if kind == "Range":
        low, high = _bound(value.get("low")), _bound(value.get("high"))
        if low is None and high is None:
            return None
        return -math.inf if low is None else low, math.inf if high is None else high
    number = value.get("value") if isinstance(value, dict) else value
    if isinstance(number, bool) or not isinstance(number, (int, float, Decimal)):
        return None
    comparator = value.get("comparator", "") if isinstance(value, dict) else ""
    return _compared(float(number), comparator)


def _bound(quantity: Mapping[str, Any] | None) -> float | None:
    number = (quantity or {}).get("value")
    return None if number is None else float(number)


def _compared(number: float, comparator: str) -> Interval:
    """A result of "< 5" is anything below 5."""
    lo, hi = number, number
    if comparator.startswith("<"):
        lo, hi = -math.inf, number if comparator == "<=" else math.nextafter(number, -math.inf)
    elif comparator.startswith(">"):
        lo, hi = number if comparator == ">=" else math.nextafter(number, math.inf), math.inf
    return lo, hi


def units(value: Any, kind: str) -> Iterator[Unit]:
    """Each way of naming the unit of a value: by system and code, by code alone, as displayed."""
    if kind == "Range":
        value = value.get("low") or value.get("high")
    if not isinstance(value, dict):
        return
    currency = value.get("currency")
    system, code = (CURRENCIES, currency) if currency else (value.get("system"), value.get("code"))
    if system and code:
        yield Unit(system, code)
    for name in dict.fromkeys((code, value.get("unit"))):
        if name:
            yield Unit("", name)
