from __future__ import annotations

from decimal import Decimal

import pytest

from hie_server.fhir.json import parse
from hie_server.fhir.outcomes import FhirError


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def mixed(levels: int) -> bytes:
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    ("body", "place", "says"),
    [
        (b'{"a":NaN}', (1, 6), "NaN"),
        (b'{"a":-Infinity}', (1, 6), "Infinity"),
        (b'{"s":"NaN","a":\n Infinity}', (2, 2), "Infinity"),
        (b'{"a":1e400}', (1, 6), "no double"),
        (b'{"a":-1e400}', (1, 6), "no double"),
        (b'{"a":1e-400}', (1, 6), "no double"),
        (b'{"a":1e99999999999999999999}', (1, 6), "no double"),
        (b'{"a":' + b"1" * 310 + b"}", (1, 6), "no double"),
        (b'{"a":' + b"1" * 5000 + b"}", (1, 6), "no double"),
        (b'{"a":0e-1000}', (1, 6), "no double"),
        (b'{"a":"\\ud800"}', (1, 6), "surrogate"),
        (b'{"a":"\\ud800\\u0041"}', (1, 6), "surrogate"),
        (b'{"a":"\\udc00\\ud800"}', (1, 6), "surrogate"),
        (b'{"a":"\\\\ud83d\\udc00"}', (1, 6), "surrogate"),
        (b'{"\\ud800":1}', (1, 2), "surrogate"),
        (b'{"a":1,\n  "a":2}', (2, 3), "second property 'a'"),
        (b'{"\\u0061":1,"a":2}', (1, 13), "second property 'a'"),
        (b'{"b":{"a":1},"c":[{"a":1,"a":1}]}', (1, 26), "second property 'a'"),
        (nested(65), (1, 321), "64 levels"),
        (mixed(65), (1, 69), "64 levels"),
        (b"[" * 100_000, (1, 65), "64 levels"),
        (b'{"a":"\xff"}', (1, 7), "UTF-8"),
        (b'{"a":\n"\xe0\xa4\x85\xed\xa0\x80"}', (2, 3), "UTF-8"),
        (b"\xef\xbb\xbf{}", (1, 1), "byte order mark"),
        (b"\xff\xfe{\x00}\x00", (1, 1), "UTF-8"),
        (b'{"a":"\x01"}', (1, 7), "control character"),
        (b'{"a":"\t"}', (1, 7), "control character"),
        (b'{"a":"\\u0000"}', (1, 6), "control character"),
        (b'{"a":"\\u001F"}', (1, 6), "control character"),
        (b'{"a":"\\b"}', (1, 6), "control character"),
        (b'{"a":"\\f"}', (1, 6), "control character"),
        (b"", (1, 1), "ends before"),
        (b'{"a":1', (1, 7), "ends before"),
        (b'{"a":"x', (1, 6), "ends before"),
        (b"{} {}", (1, 4), "after the end"),
        (b"{}\n]", (2, 1), "after the end"),
        (b"[]", (1, 1), "object"),
        (b'"a"', (1, 1), "object"),
        (b'{"a":01}', (1, 7), "delimiter"),
        (b"{'a':1}", (1, 2), "double quotes"),
        (b'{"a":tru}', (1, 6), "value"),
        (b'{"a":1,}', (1, 8), "double quotes"),
        (b'{"a":"\\x"}', (1, 7), "escape"),
        (b'{"a":/**/1}', (1, 6), "value"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_its_place(
    body: bytes, place: tuple[int, int], says: str
) -> None:
    with pytest.raises(FhirError) as caught:
        parse(body)
    issue = caught.value.issues[0]
    assert caught.value.status == 400 and issue.code == "structure"
    assert f"line {place[0]}, column {place[1]}: " in issue.diagnostics
    assert says in issue.diagnostics


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"1.10", Decimal("1.10")),
        (b"0.0", Decimal("0.0")),
        (b"-0", Decimal("-0")),
        (b"1e-320", Decimal("1e-320")),
        (b"0e0", Decimal("0")),
        (b"12345678901234567890", Decimal("12345678901234567890")),
        (b"1.10000000000000000001", Decimal("1.10000000000000000001")),
        (b"9223372036854775807", 9223372036854775807),
        (b"9223372036854775808", Decimal("9223372036854775808")),
        (b"-9223372036854775808", -9223372036854775808),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\\\b \\\\u0000"', "\\b \\u0000"),
        (b'"\\t\\n\\r \\" \\/"', '\t\n\r " /'),
        (b'"\\u0905"', "अ"),
        ("\u0928\u092e\u0938\u094d\u0924\u0947".join('""').encode(), "नमस्ते"),
        (b"null", None),
    ],
)
def test_returns_values_as_they_were_written(body: bytes, value: object) -> None:
    found = parse(b'{"a":' + body + b"}")["a"]
    assert found == value and type(found) is type(value) and str(found) == str(value)


def test_returns_properties_in_their_order() -> None:
    assert list(parse(b'{"z":1,"a":2,"m":3}')) == ["z", "a", "m"]


def test_64_levels_are_not_too_deep() -> None:
    assert parse(nested(64)) and parse(mixed(64))


def test_equal_names_in_different_objects_are_no_duplicates() -> None:
    assert parse(b'{"a":{"a":{"a":["a","a"]}},"b":{"a":1}}')


def test_a_long_name_is_cut_in_the_message() -> None:
    name = b"n" * 500
    with pytest.raises(FhirError) as caught:
        parse(b'{"' + name + b'":1,"' + name + b'":1}')
    assert len(caught.value.issues[0].diagnostics) < 200
