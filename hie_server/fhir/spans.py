"""Prefixes: what `gt`, `sa` and the others ask of a stored range.

Everything is a range here: the value that is searched for by its precision, the stored one as
terms.py made it. https://hl7.org/fhir/R4/search.html#prefix
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import NamedTuple

from hie_server.fhir.quantities import half_digit

PREFIXES = ("eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap")
_PREFIXED = re.compile(rf"({'|'.join(PREFIXES)})?(.*)", re.DOTALL)
Bound = int | float | None


class Span(NamedTuple):
    """Met by a stored Range of the parameter if every bound holds that isn't None."""

    parameter: str
    lo_gte: Bound = None
    lo_gt: Bound = None
    lo_lte: Bound = None
    lo_lt: Bound = None
    hi_gte: Bound = None
    hi_gt: Bound = None
    hi_lte: Bound = None
    hi_lt: Bound = None


def split_prefix(value: str) -> tuple[str, str]:
    """`eq` where none is written."""
    found = _PREFIXED.fullmatch(value)
    return (found[1] or "eq", found[2]) if found else ("eq", value)


def date_spans(
    parameter: str, prefix: str, asked: tuple[int, int], now_ms: int
) -> tuple[Span, ...]:
    """Any of them. `asked` and what is stored are half-open; `ap` reaches as far to either side
    as a tenth of the time between then and now."""
    lo, hi = asked
    within = Span(parameter, lo_gte=lo, hi_lte=hi)
    around = abs(now_ms - lo) // 10
    spans = {
        "eq": (within,),
        "ne": (Span(parameter, lo_lt=lo), Span(parameter, hi_gt=hi)),
        "gt": (Span(parameter, hi_gt=hi),),
        "ge": (Span(parameter, hi_gt=hi), within),
        "lt": (Span(parameter, lo_lt=lo),),
        "le": (Span(parameter, lo_lt=lo), within),
        "sa": (Span(parameter, lo_gte=hi),),
        "eb": (Span(parameter, hi_lte=lo),),
        "ap": (Span(parameter, lo_lt=hi + around, hi_gt=lo - around),),
    }
    return spans[prefix]


def number_spans(parameter: str, prefix: str, number: Decimal) -> tuple[Span, ...]:
    """Any of them. What is stored is closed; a comparison takes the number as exact; `ap` reaches
    a tenth of it to either side."""
    exact, half = float(number), half_digit(number)
    # A double may not tell the number from its bounds: what is equal to it must still be between.
    lo, hi = float(number - half), max(float(number + half), math.nextafter(exact, math.inf))
    around = max(abs(number) / 10, half)
    spans = {
        "eq": (Span(parameter, lo_gte=lo, hi_lt=hi),),
        "ne": (Span(parameter, lo_lt=lo), Span(parameter, hi_gte=hi)),
        "gt": (Span(parameter, hi_gt=exact),),
        "ge": (Span(parameter, hi_gte=exact),),
        "lt": (Span(parameter, lo_lt=exact),),
        "le": (Span(parameter, lo_lte=exact),),
        "sa": (Span(parameter, lo_gt=exact),),
        "eb": (Span(parameter, hi_lt=exact),),
        "ap": (Span(parameter, lo_lte=float(number + around), hi_gte=float(number - around)),),
    }
    return spans[prefix]
