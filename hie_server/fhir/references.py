"""The text of a Reference or canonical: which resource it names.

https://hl7.org/fhir/R4/references.html#literal
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from hie_server.fhir.definitions import resource_types

_LITERAL = re.compile(
    r"(?P<base>[A-Za-z][A-Za-z0-9+.-]*://\S+/)?"
    r"(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9.-]{1,64})"
    r"(?:/_history/[A-Za-z0-9.-]{1,64})?(?:#.*)?"
)


class Target(NamedTuple):
    """`url`: what was written, without the version that it asked for; `type` and `id`: empty where
    the text doesn't tell them (a urn, another kind of url)."""

    url: str
    type: str
    id: str
    is_relative: bool


def read_target(text: str) -> Target:
    """Never fails: what isn't `[base]/Type/id` has no type and no id."""
    found = _LITERAL.fullmatch(text)
    if found is None or found["type"] not in resource_types():
        return Target(text, "", "", False)
    base = found["base"] or ""
    return Target(f"{base}{found['type']}/{found['id']}", found["type"], found["id"], not base)


def type_of(value: Any) -> str:
    """The resource type that a Reference, canonical or embedded resource names, or ""."""
    if isinstance(value, str):
        return read_target(value).type
    if not isinstance(value, dict):
        return ""
    literal = value.get("reference")
    named = read_target(literal).type if isinstance(literal, str) else ""
    return named or str(value.get("type") or value.get("resourceType") or "")
