from __future__ import annotations

from typing import Any

import pytest

from hie_server.fhir.references import Target, read_target, type_of

BASE = "https://elsewhere.example/fhir/"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient/a-1", Target("Patient/a-1", "Patient", "a-1", True)),
        ("Patient/a/_history/3", Target("Patient/a", "Patient", "a", True)),
        ("Patient/a#part", Target("Patient/a", "Patient", "a", True)),
        (f"{BASE}Patient/a", Target(f"{BASE}Patient/a", "Patient", "a", False)),
        (f"{BASE}Patient/a/_history/3", Target(f"{BASE}Patient/a", "Patient", "a", False)),
        ("Patience/a", Target("Patience/a", "", "", False)),
        ("Patient/a b", Target("Patient/a b", "", "", False)),
        ("urn:uuid:1", Target("urn:uuid:1", "", "", False)),
        ("http://x.example/1|2.0", Target("http://x.example/1|2.0", "", "", False)),
        ("#p", Target("#p", "", "", False)),
    ],
)
def test_returns_what_a_reference_names(text: str, expected: Target) -> None:
    assert read_target(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Patient/a", "Patient"),
        ({"reference": "Patient/a"}, "Patient"),
        ({"type": "Patient"}, "Patient"),
        ({"resourceType": "Composition"}, "Composition"),
        ({}, ""),
        (True, ""),
    ],
)
def test_returns_the_type_that_is_named(value: Any, expected: str) -> None:
    assert type_of(value) == expected
