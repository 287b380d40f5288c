from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hie_server.fhir.resources import (
    Reference,
    dump,
    is_id,
    literal_references,
    parse,
    read_reference,
)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1.10,"b":[0.0,-0,100,1.50],"c":"\xe0\xa4\x85"}',
        b'{"a":12345678901234567890.123,"b":98765432109876543210}',
        b'{"a":0.0000001,"b":-0.00}',
        b'{"z":true,"a":null,"m":{}}',
    ],
)
def test_what_was_read_is_written_byte_for_byte(body: bytes) -> None:
    assert dump(parse(body)) == body


@pytest.mark.parametrize("text", ["1E5", "1e-300", "2.50E3", "-1.0e-7"])
def test_exponents_keep_their_value_and_precision(text: str) -> None:
    written = parse(dump({"a": Decimal(text)}))["a"]
    assert Decimal(written).as_tuple() == Decimal(text).as_tuple()


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), object()])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        dump({"a": value})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.decimals(allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6, places=3)
    | st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"])),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text("ab"), children),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("abc"), json_values))
def test_any_resource_survives_writing_and_reading(resource: dict[str, Any]) -> None:
    assert dump(parse(dump(resource))) == dump(resource)


@pytest.mark.parametrize("text", ["a", "A-1.b", "x" * 64])
def test_an_id(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize("text", ["", "x" * 65, "a b", "a/b", "a_b", "é", "a\n", "१"])
def test_no_id(text: str) -> None:
    assert not is_id(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient/p-1", Reference("Patient", "p-1")),
        ("Patient/p/_history/2", Reference("Patient", "p", "2")),
        ("Patient/p#name", Reference("Patient", "p", fragment="name")),
        ("#med", Reference(fragment="med", is_contained=True)),
        ("#", Reference(is_contained=True)),
        ("urn:uuid:1-2", Reference(url="urn:uuid:1-2")),
        ("http://x.example/Patient/p", Reference(url="http://x.example/Patient/p")),
        ("Practi/1", None),
        ("Patient", None),
        ("Patient/", None),
        ("Patient/p/", None),
        ("/Patient/p", None),
        ("Patient/p/_history", None),
        ("Patient?identifier=1", None),
        ("#a b", None),
        ("", None),
        ("HumanName/1", None),
        ("http://x.example/a b", None),
    ],
)
def test_returns_the_parts_of_a_reference(text: str, expected: Reference | None) -> None:
    assert read_reference(text) == expected


def test_returns_every_reference_and_attachment_in_order() -> None:
    resource = {
        "resourceType": "DocumentReference",
        "contained": [
            {"resourceType": "Practitioner", "photo": [{"url": "Binary/photo"}]},
            {"resourceType": "Nonsense", "subject": {"reference": "Patient/no"}},
        ],
        "url": "not-an-attachment",
        "_status": {"extension": [{"url": "http://x", "valueReference": {"reference": "Group/g"}}]},
        "subject": {"reference": "Patient/p", "display": "d"},
        "author": [{"reference": "Practitioner/d"}, {"display": "no reference"}],
        "content": [{"attachment": {"url": "Binary/b", "title": "t"}}],
        "context": {"related": [{"reference": "#own"}, "wrong", {"reference": 5}]},
    }
    assert list(literal_references(resource)) == [
        "Binary/photo",
        "Group/g",
        "Patient/p",
        "Practitioner/d",
        "Binary/b",
        "#own",
    ]


def test_returns_the_references_of_a_bundles_entries() -> None:
    observation = {"resourceType": "Observation", "subject": {"reference": "urn:uuid:p"}}
    request = {"method": "POST", "url": "Observation"}
    entry = {"fullUrl": "urn:uuid:o", "resource": observation, "request": request}
    bundle = {"resourceType": "Bundle", "entry": [entry]}
    assert list(literal_references(bundle)) == ["urn:uuid:p"]
