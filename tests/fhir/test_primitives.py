from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from hie_server.fhir.primitives import CHECKS, FORMS, describe, shown

RIGHT: dict[str, list[Any]] = {
    "base64Binary": ["QQ==", "QUJD", "QU\nJD", " QUJD QUJD ", "+/8="],
    "boolean": [True, False],
    "canonical": ["http://x.example/a|1.0", "#a"],
    "code": ["a", "a b", "<="],
    "date": ["2020", "2020-02", "2020-02-29", "2000-02-29", "0001-01-01", "9999-12-31"],
    "dateTime": [
        "2020",
        "2020-02",
        "2020-02-29",
        "2020-02-29T23:59:59Z",
        "2016-12-31T23:59:60+05:30",
        "2020-01-01T00:00:00.123456789-14:00",
    ],
    "decimal": [0, -1, Decimal("1.10"), Decimal("1E+5"), 1.5, 10**30],
    "id": ["a", "A-1.b", "x" * 64],
    "instant": ["2020-02-29T23:59:59Z", "2020-01-01T00:00:00.5+14:00"],
    "integer": [0, -(2**31), 2**31 - 1],
    "markdown": ["a\n\tb", "# नमस्ते"],
    "oid": ["urn:oid:1.2.840.0", "urn:oid:2.16"],
    "positiveInt": [1, 2**31 - 1],
    "string": ["a", " ", "a\nb\r\n\t", "नमस्ते", "a\u00a0b", "x" * 1024 * 1024, "\x7f"],
    "time": ["00:00:00", "23:59:60.5"],
    "unsignedInt": [0, 2**31 - 1],
    "uri": ["a", "urn:x", "http://x.example/é"],
    "url": ["http://x.example"],
    "uuid": ["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"],
    "xhtml": ['<div xmlns="http://www.w3.org/1999/xhtml">a</div>'],
}
WRONG: dict[str, list[Any]] = {
    "base64Binary": ["", "QQ", "Q===", "@@@@", "QUJD=", " ", "QU-_", 5, None, "é==="],
    "boolean": ["true", "yes", 1, 0, None, [True]],
    "canonical": ["", "a b", 5],
    "code": ["", " a", "a ", "a  b", 5, None, True],
    "date": [
        "2020-02-30",
        "2021-02-29",
        "1900-02-29",
        "2020-04-31",
        "2020-13",
        "2020-00-01",
        "2020-1-1",
        "0000",
        "20200101",
        "2020-02-01T00:00:00Z",
        "2020-01-01\n",
        "२०२०",
        "",
        2020,
    ],
    "dateTime": [
        "2020-02-30T00:00:00Z",
        "2020-01-01T00:00:00",
        "2020-01-01T00:00Z",
        "2020-01-01T24:00:00Z",
        "2020-01-01T00:00:61Z",
        "2020-01-01T00:60:00Z",
        "2020-01-01T00:00:00+15:00",
        "2020-01-01T00:00:00+14:30",
        "2020-01-01T00:00:00z",
        "2020-01-01 00:00:00Z",
        "2020-02T00:00:00Z",
    ],
    "decimal": ["1.5", True, None, float("nan"), float("inf"), Decimal("NaN"), [1]],
    "id": ["", "x" * 65, "a b", "a_b", "a\n", 1],
    "instant": ["2020", "2020-01-01", "2020-02-30T00:00:00Z", "2020-01-01T00:00:00"],
    "integer": ["2", 2.0, Decimal("2.0"), True, 2**31, -(2**31) - 1],
    "markdown": ["", "\x00", 5],
    "oid": ["1.2.3", "urn:oid:3.1", "urn:oid:1.02", "urn:oid:1", "urn:oid:1."],
    "positiveInt": [0, -1, "1", True],
    "string": ["", "\x00", "a\x0b", "\ud800", "x" * (1024 * 1024 + 1), 5, None, {}],
    "time": ["24:00:00", "12:00", "12:00:00Z", "1:00:00"],
    "unsignedInt": [-1, "0", 2**31],
    "uri": ["", "a b", "a\n", None],
    "url": ["http://x example"],
    "uuid": [
        "c757873d-ec9a-4326-a141-556f43239520",
        "urn:uuid:C757873D-EC9A-4326-A141-556F43239520",
    ],
    "xhtml": ["", "<div>a</div>", 5],
}


def each(values: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(kind, value, id=f"{kind}-{n}")
        for kind, row in values.items()
        for n, value in enumerate(row)
    ]


@pytest.mark.parametrize(("kind", "value"), each(RIGHT))
def test_a_right_value(kind: str, value: Any) -> None:
    assert CHECKS[kind](value)


@pytest.mark.parametrize(("kind", "value"), each(WRONG))
def test_a_wrong_value(kind: str, value: Any) -> None:
    assert not CHECKS[kind](value)


def test_every_primitive_type_is_tried_and_described() -> None:
    assert CHECKS.keys() == FORMS.keys() == RIGHT.keys() == WRONG.keys()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (5, "5"),
        (Decimal("1.10"), "1.10"),
        ("a", '"a"'),
        ([1], "an array"),
        ({"a": 1}, "an object"),
        ("x" * 41, '"' + "x" * 39 + '…"'),
    ],
)
def test_returns_a_value_as_it_can_be_shown(value: Any, text: str) -> None:
    assert shown(value) == text


def test_a_persons_words_are_not_shown() -> None:
    assert describe("Asha Rao", "string") == "this string"
    assert describe("", "string") == "an empty string"
    assert describe("femal", "code") == '"femal"'
