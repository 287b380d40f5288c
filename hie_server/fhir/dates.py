"""Dates as the stretch of time that they name: half-open [lo, hi), in milliseconds since 1970 UTC.

A date is a day, month or year in the exchange's zone; a time is as wide as its last digit. What is
finer than a millisecond is cut off. https://hl7.org/fhir/R4/search.html#date
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Iterator, Mapping

NEVER = -(2**62)
"""Before every date: where a Period without start begins."""
FOREVER = 2**62
"""After every date: where a Period without end ends."""
Interval = tuple[int, int]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)"
    r"(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)


def bounds(value: Any, zone: tzinfo = UTC) -> Interval:
    """Of a date, dateTime, instant, Period or Timing; ValueError if it is none of these.

    Of a Timing only the outer limits count, as R4 asks; without limits it is unbounded.
    """
    if isinstance(value, str):
        return _interval(value, zone)
    if not isinstance(value, dict):
        raise ValueError(f"Not a date: {type(value).__name__}")
    if "event" in value or "repeat" in value or "code" in value:
        return _timing(value, zone)
    return _period(value, zone)


def _period(period: Mapping[str, Any], zone: tzinfo) -> Interval:
    start, end = period.get("start"), period.get("end")
    lo = NEVER if start is None else bounds(start, zone)[0]
    return lo, FOREVER if end is None else bounds(end, zone)[1]


def _timing(timing: Mapping[str, Any], zone: tzinfo) -> Interval:
    limits = list(_limits(timing, zone))
    return min((lo for lo, _ in limits), default=NEVER), max(
        (hi for _, hi in limits), default=FOREVER
    )


def _limits(timing: Mapping[str, Any], zone: tzinfo) -> Iterator[Interval]:
    yield from (bounds(each, zone) for each in timing.get("event", ()) if each is not None)
    period = timing.get("repeat", {}).get("boundsPeriod")
    if period is not None:
        yield _period(period, zone)


def _interval(text: str, zone: tzinfo) -> Interval:
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError(f"Not a date: {text}")
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    if hour is not None:
        where = zone if offset is None else _offset(offset)
        # R4 lets a leap second be written; it is taken for the second before it.
        seconds = 59 if second == "60" else int(second or 0)
        start = datetime(
            int(year), int(month), int(day), int(hour), int(minute), seconds, tzinfo=where
        )
        return _instant(_milliseconds(start), second, fraction)
    first = datetime(int(year), int(month or 1), int(day or 1), tzinfo=zone)
    return _milliseconds(first), _end(first, month, day)


def _instant(start: int, second: str | None, fraction: str | None) -> Interval:
    if second is None:
        return start, start + 60_000
    if not fraction:
        return start, start + 1_000
    digits = fraction[:3]
    width = 10 ** (3 - len(digits))
    return start + int(digits) * width, start + (int(digits) + 1) * width


def _end(first: datetime, month: str | None, day: str | None) -> int:
    """The start of the next year, month or day, by the clock of the zone."""
    try:
        if day is not None:
            return _milliseconds(first + timedelta(days=1))
        if month is not None and first.month < 12:
            return _milliseconds(first.replace(month=first.month + 1))
        return _milliseconds(first.replace(year=first.year + 1, month=1))
    except (OverflowError, ValueError):
        return FOREVER


def _offset(text: str) -> tzinfo:
    if text == "Z":
        return UTC
    size = timedelta(hours=int(text[1:3]), minutes=int(text[4:]))
    if size > timedelta(hours=14) or int(text[4:]) > 59:
        raise ValueError(f"Not an offset: {text}")
    return timezone(size if text[0] == "+" else -size)


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND
