from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hie_server.fhir.dates import FOREVER, NEVER, bounds

INDIA = ZoneInfo("Asia/Kolkata")
DAY = 86_400_000
Y2K = 946_684_800_000
INDIAN = 19_800_000


@pytest.mark.parametrize(
    ("text", "lo", "width"),
    [
        ("2000", Y2K, 366 * DAY),
        ("2000-02", Y2K + 31 * DAY, 29 * DAY),
        ("2000-12", Y2K + 335 * DAY, 31 * DAY),
        ("2000-01-01", Y2K, DAY),
        ("2000-01-01T00:00", Y2K, 60_000),
        ("2000-01-01T00:00Z", Y2K, 60_000),
        ("2000-01-01T00:00:00Z", Y2K, 1_000),
        ("2000-01-01T05:30:00+05:30", Y2K, 1_000),
        ("1999-12-31T23:00:00-01:00", Y2K, 1_000),
        ("1999-12-31T23:59:60Z", Y2K - 1_000, 1_000),
        ("2000-01-01T00:00:00.5Z", Y2K + 500, 100),
        ("2000-01-01T00:00:00.12Z", Y2K + 120, 10),
        ("2000-01-01T00:00:00.123Z", Y2K + 123, 1),
        ("2000-01-01T00:00:00.123999Z", Y2K + 123, 1),
        ("1969-12-31T23:59:59.999Z", -1, 1),
    ],
)
def test_a_date_is_as_wide_as_it_is_written(text: str, lo: int, width: int) -> None:
    assert bounds(text) == (lo, lo + width)


def test_a_date_is_of_the_zone_that_is_given() -> None:
    assert bounds("2000-01-01", INDIA) == (Y2K - INDIAN, Y2K - INDIAN + DAY)
    assert bounds("2000-01-01T00:00:00", INDIA)[0] == Y2K - INDIAN
    assert bounds("2000-01-01T00:00:00Z", INDIA)[0] == Y2K


def test_a_day_lasts_as_long_as_the_clock_of_its_zone_says() -> None:
    lo, hi = bounds("2024-03-31", ZoneInfo("Europe/Berlin"))
    assert hi - lo == 23 * 3_600_000


def test_the_last_year_never_ends() -> None:
    for text in ("9999", "9999-12", "9999-12-31"):
        assert bounds(text)[1] == FOREVER
    assert bounds("0001")[0] > NEVER
    assert bounds("0001", INDIA)[0] < bounds("0001")[0]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "20",
        "2000-1",
        "2000-13",
        "2001-02-29",
        "0000",
        "2000-01-01T",
        "2000-01-01T10",
        "2000-01-01T24:00:00Z",
        "2000-01-01T10:60",
        "2000-01-01T10:00:61Z",
        "2000-01-01T10:00:00+15:00",
        "2000-01-01T10:00:00+05:60",
        "2000-01-01 10:00",
        "2000-01-01Z",
        " 2000",
        "२०००",
        2000,
        None,
        ["2000"],
        {"start": "soon"},
        {"event": ["soon"]},
    ],
)
def test_refuses_what_is_no_date(value: Any) -> None:
    with pytest.raises(ValueError, match="Not a|month|day|hour|minute|second|year"):
        bounds(value)


def test_a_period_without_an_end_is_open() -> None:
    assert bounds({"start": "2000"}) == (Y2K, FOREVER)
    assert bounds({"end": "1999"}) == (NEVER, Y2K)
    assert bounds({}) == (NEVER, FOREVER)


def test_of_a_timing_the_outer_limits_count() -> None:
    repeat = {"boundsPeriod": {"start": "2000-01-02", "end": "2000-01-03"}}
    events = ["2000-01-05", "2000-01-01", None]
    assert bounds({"event": events}) == (Y2K, Y2K + 5 * DAY)
    assert bounds({"repeat": repeat}) == (Y2K + DAY, Y2K + 3 * DAY)
    assert bounds({"event": events, "repeat": repeat}) == (Y2K, Y2K + 5 * DAY)
    assert bounds({"code": {"text": "twice a day"}}) == (NEVER, FOREVER)


@given(st.datetimes(timezones=st.just(UTC)))
def test_returns_the_millisecond_of_any_instant(moment: datetime) -> None:
    lo, hi = bounds(moment.isoformat(timespec="milliseconds"))
    microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6
    assert hi - lo == 1
    assert abs(lo * 1000 - microseconds) < 1_100
