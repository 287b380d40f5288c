"""What each primitive type of R4 accepts, value space and calendar included.

https://hl7.org/fhir/R4/datatypes.html#primitive
"""

from __future__ import annotations

import binascii
import re
from calendar import monthrange
from decimal import Decimal
from typing import Any, Callable, Mapping

from hie_server.fhir.narrative import is_narrative

MAX_STRING = 1024 * 1024
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
YEAR = r"(?!0000)\d{4}"
MONTH = r"(?:0[1-9]|1[0-2])"
DAY = rf"{YEAR}-{MONTH}-(?:0[1-9]|[12]\d|3[01])"
CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?"
ZONE = r"(?:Z|[+-](?:(?:0\d|1[0-3]):[0-5]\d|14:00))"

DATE = re.compile(rf"{YEAR}(?:-{MONTH})?|{DAY}", re.ASCII)
DATE_TIME = re.compile(rf"{YEAR}(?:-{MONTH})?|{DAY}(?:T{CLOCK}{ZONE})?", re.ASCII)
INSTANT = re.compile(rf"{DAY}T{CLOCK}{ZONE}", re.ASCII)
TIME = re.compile(CLOCK, re.ASCII)
URI = re.compile(r"\S+", re.ASCII)
CODE = re.compile(r"\S+(?:\s\S+)*", re.ASCII)
ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
OID = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+")
UUID = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_string(value: Any) -> bool:
    if type(value) is not str or not 0 < len(value) <= MAX_STRING:
        return False
    return value.isprintable() or CONTROL.search(value) is None


def is_base64(value: Any) -> bool:
    """Whitespace between the characters is allowed; nothing else beside the alphabet is."""
    if type(value) is not str or not value:
        return False
    try:
        text = value if value.isalnum() else "".join(value.split())
        return len(text) % 4 == 0 and bool(binascii.a2b_base64(text, strict_mode=True))
    except ValueError:
        return False


def is_decimal(value: Any) -> bool:
    if type(value) is Decimal:
        return value.is_finite()
    return type(value) is int or type(value) is float and value - value == 0


def _is_integer(low: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value < 2**31


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    match = pattern.fullmatch
    return lambda value: type(value) is str and match(value) is not None


def _is_moment(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    match = pattern.fullmatch

    def is_moment(value: Any) -> bool:
        if type(value) is not str or match(value) is None:
            return False
        # Only the 29th to 31st can be missing from a month.
        if value[8:10] < "29":
            return True
        return int(value[8:10]) <= monthrange(int(value[:4]), int(value[5:7]))[1]

    return is_moment


CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "base64Binary": is_base64,
    "boolean": lambda value: value is True or value is False,
    "canonical": _matches(URI),
    "code": _matches(CODE),
    "date": _is_moment(DATE),
    "dateTime": _is_moment(DATE_TIME),
    "decimal": is_decimal,
    "id": _matches(ID),
    "instant": _is_moment(INSTANT),
    "integer": _is_integer(-(2**31)),
    "markdown": is_string,
    "oid": _matches(OID),
    "positiveInt": _is_integer(1),
    "string": is_string,
    "time": _matches(TIME),
    "unsignedInt": _is_integer(0),
    "uri": _matches(URI),
    "url": _matches(URI),
    "uuid": _matches(UUID),
    "xhtml": is_narrative,
}

FORMS: Mapping[str, str] = {
    "base64Binary": "a non-empty string in base64",
    "boolean": "true or false, without quotes",
    "canonical": "a non-empty URL without spaces",
    "code": "a string without spaces at either end or two in a row",
    "date": "YYYY, YYYY-MM or YYYY-MM-DD, a day of the calendar",
    "dateTime": "YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz, a day of the calendar",
    "decimal": "a number, without quotes",
    "id": "1 to 64 of A-Z, a-z, 0-9, - and .",
    "instant": "YYYY-MM-DDThh:mm:ss+zz:zz, a day of the calendar",
    "integer": "a whole number of 32 bits, without quotes",
    "markdown": "a non-empty string of at most 1 MB without control characters",
    "oid": "urn:oid: and an OID",
    "positiveInt": "a whole number from 1 to 2147483647, without quotes",
    "string": "a non-empty string of at most 1 MB without control characters",
    "time": "hh:mm:ss",
    "unsignedInt": "a whole number from 0 to 2147483647, without quotes",
    "uri": "a non-empty URI without spaces",
    "url": "a non-empty URL without spaces",
    "uuid": "urn:uuid: and a UUID in lower case",
    "xhtml": "XHTML",
}
# Only of these a wrong value is shown: the others may hold a person's words.
SHOWN = frozenset(FORMS) - frozenset("base64Binary canonical markdown string uri url xhtml".split())


def shown(value: Any) -> str:
    """A value as JSON would write it, at most 40 characters; of a container, only its kind."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    text = text if len(text) <= 40 else text[:39] + "…"
    return f'"{text}"' if isinstance(value, str) else text


def describe(value: Any, type_name: str) -> str:
    """Like `shown`, but of a type that may hold a person's words only the JSON type."""
    if isinstance(value, str) and type_name not in SHOWN:
        return "an empty string" if not value else "this string"
    return shown(value)
