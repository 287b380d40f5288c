"""FHIR's JSON, read strictly: what two readers could understand differently is refused.

https://hl7.org/fhir/R4/json.html · https://www.rfc-editor.org/rfc/rfc8259
Good input takes the standard library's C scanner; only refused input is scanned again, for the
line and column.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from math import isinf
from typing import Any, NoReturn

from hie_server.fhir.outcomes import bad_request

MAX_DEPTH = 64
# A double has 309 digits before the point and an exponent within ±324.
MAX_NUMBER = 400
# What an escape can smuggle in: control characters but tab, line feed, return; lone surrogates.
SUSPICIOUS = re.compile(r"\\(?:[bf]|u(?:00[01]|[dD][89a-fA-F]))")
FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]|-?\d[\d.eE+-]*|NaN|-?Infinity')
COLON = re.compile(r"[ \t\r\n]*:")


class _Refused(Exception):
    """A hook met what is legal JSON and still refused; where, only a second scan can say."""


def parse(body: bytes) -> dict[str, Any]:
    """The object that `body` is: decimals (and integers beyond 64 bit) as Decimal, digits kept.

    FhirError 400 with line and column where it isn't strict JSON, or nests deeper than 64.
    """
    text = _decode(body)
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        _refuse(text, error.pos, _syntax(text, error))
    except (_Refused, RecursionError):
        _diagnose(text)
    if type(value) is not dict:
        _refuse(text, 0, "the resource has to be a JSON object: {…}")
    if _too_deep(value) or _has_forbidden(text):
        _diagnose(text)
    return value


def _decode(body: bytes) -> str:
    if body.startswith(b"\xef\xbb\xbf"):
        _refuse("", 0, "a byte order mark; JSON starts without one")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        before = body[: error.start].decode("utf-8")
        _refuse(before, len(before), "bytes that aren't UTF-8")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused
    return found


def _integer(text: str) -> int | Decimal:
    if len(text) < 19 and text != "-0":
        return int(text)
    number = _decimal(text)
    fits = -(2**63) <= number < 2**63 and text != "-0"
    return int(number) if fits else number


def _decimal(text: str) -> Decimal:
    number = _number(text)
    if number is None:
        raise _Refused
    return number


def _number(text: str) -> Decimal | None:
    """None where no double holds it, rounded but neither as infinity nor, unless it is, as zero."""
    if len(text) > MAX_NUMBER:
        return None
    try:
        exact, double = Decimal(text), float(text)
    except InvalidOperation:
        return None
    if double == 0:
        return exact if exact == 0 and abs(exact.adjusted()) < MAX_NUMBER else None
    return None if isinf(double) else exact


def _constant(text: str) -> NoReturn:
    raise _Refused


_decoder = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_float=_decimal, parse_int=_integer, parse_constant=_constant
)


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _has_forbidden(text: str) -> bool:
    if "\\" not in text or not SUSPICIOUS.search(text):
        return False
    strings = (token.group() for token in TOKEN.finditer(text) if token.group()[0] == '"')
    return any(SUSPICIOUS.search(each) and FORBIDDEN.search(json.loads(each)) for each in strings)


def _diagnose(text: str) -> NoReturn:
    """Scan again, now for the place of the first fault: all before it is known to be JSON."""
    keys: list[set[str]] = []
    for token in TOKEN.finditer(text):
        start, found = token.start(), token.group()
        if found in ("{", "["):
            keys.append(set())
            if len(keys) > MAX_DEPTH:
                _refuse(text, start, f"nested deeper than {MAX_DEPTH} levels")
        elif found in ("}", "]"):
            keys.pop()
        elif found[0] == '"':
            _check_string(text, token, keys)
        elif found[-1] in "Ny":
            _refuse(text, start, "NaN and Infinity aren't JSON numbers")
        elif _number(found) is None:
            _refuse(text, start, "a number that no double can hold")
    raise AssertionError("a refused text without a fault")


def _check_string(text: str, token: re.Match[str], keys: list[set[str]]) -> None:
    value = json.loads(token.group())
    if FORBIDDEN.search(value):
        _refuse(text, token.start(), "a string with a control character or half a surrogate pair")
    if keys and COLON.match(text, token.end()):
        if value in keys[-1]:
            _refuse(text, token.start(), f"a second property {value[:40]!r} in one object")
        keys[-1].add(value)


def _syntax(text: str, error: json.JSONDecodeError) -> str:
    if error.msg == "Extra data":
        return "text after the end of the resource"
    if error.msg.startswith("Unterminated") or not text[error.pos :].strip():
        return "the text ends before the resource does"
    return error.msg.replace(" at", "").lower()


def _refuse(text: str, position: int, fault: str) -> NoReturn:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    message = f"The body isn't JSON that can be read: line {line}, column {column}: {fault}."
    raise bad_request(message, code="structure")
