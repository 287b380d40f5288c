"""Health ID numbers: 14 digits, the last a Luhn check digit, written NN-NNNN-NNNN-NNNN.

https://www.iso.org/standard/70484.html (ISO/IEC 7812-1, annex B: the Luhn formula)
"""

from __future__ import annotations

from typing import Callable

SYSTEM = "https://healthid.ndhm.gov.in"
TYPE_SYSTEM = "https://nrces.in/ndhm/fhir/r4/CodeSystem/ndhm-identifier-type-code"
DIGITS = 14


def make(random: Callable[[int], bytes]) -> str:
    """A new number, drawn evenly: never by rank, place or time. It starts with 1 to 9."""
    body = 10**12 + int.from_bytes(random(16), "big") % (9 * 10**12)
    return f"{body}{check_digit(str(body))}"


def check_digit(body: str) -> int:
    """The digit that makes the whole pass."""
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in body[::-2])
    return -(doubled + sum(int(digit) for digit in body[-2::-2])) % 10


def read(text: str) -> str | None:
    """The 14 digits of a number as people write it, with or without dashes; None if it is none."""
    digits = text.strip().replace("-", "").replace(" ", "")
    if len(digits) != DIGITS or not digits.isascii() or not digits.isdigit():
        return None
    return digits if check_digit(digits[:-1]) == int(digits[-1]) else None


def shown(digits: str) -> str:
    return f"{digits[:2]}-{digits[2:6]}-{digits[6:10]}-{digits[10:]}"
