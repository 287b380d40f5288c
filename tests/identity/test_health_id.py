"""Health ID numbers: 14 digits, checked by Luhn's formula."""

from __future__ import annotations

import secrets
from typing import Callable

import pytest

from hie_server.identity import health_id


@pytest.mark.parametrize(
    ("body", "digit"),
    [
        # ISO/IEC 7812-1's worked example, and numbers that payment schemes publish for tests
        ("7992739871", 3),
        ("411111111111111", 1),
        ("37828224631000", 5),
        ("0", 0),
        ("1", 8),
        ("0000000000000", 0),
    ],
)
def test_the_check_digit_is_luhns(body: str, digit: int) -> None:
    assert health_id.check_digit(body) == digit


def test_every_single_wrong_digit_and_swapped_neighbours_are_noticed() -> None:
    """Luhn's formula misses one swap only: 09 for 90."""
    number = health_id.make(secrets.token_bytes)
    for place, digit in enumerate(number):
        for other in "0123456789".replace(digit, ""):
            assert health_id.read(number[:place] + other + number[place + 1 :]) is None
    for place in range(13):
        pair = number[place : place + 2]
        swapped = number[:place] + pair[::-1] + number[place + 2 :]
        expected = number if pair[0] == pair[1] else None
        if {*pair} != {"0", "9"}:
            assert health_id.read(swapped) == expected


def test_numbers_dont_repeat_and_are_drawn_from_the_whole_range() -> None:
    numbers = {health_id.make(secrets.token_bytes) for _ in range(100_000)}
    assert len(numbers) == 100_000
    assert {each[0] for each in numbers} == set("123456789")
    assert all(len(each) == 14 and health_id.read(each) == each for each in list(numbers)[:2_000])


def test_a_number_follows_from_the_random_bytes_alone(
    pinned_random: Callable[[int], bytes]
) -> None:
    assert health_id.make(lambda n: bytes(n)) == "10000000000008"
    assert health_id.make(pinned_random) != health_id.make(pinned_random)


@pytest.mark.parametrize("written", ["10-0000-0000-0008", " 10000000000008 ", "10 0000 0000 0008"])
def test_a_number_is_read_as_people_write_it(written: str) -> None:
    assert health_id.read(written) == "10000000000008"
    assert health_id.shown("10000000000008") == "10-0000-0000-0008"


@pytest.mark.parametrize(
    "text", ["", "10000000000007", "1000000000000", "100000000000080", "१००००००००००००८", "x" * 14]
)
def test_what_is_no_health_id_is_none(text: str) -> None:
    assert health_id.read(text) is None
