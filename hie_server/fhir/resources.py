"""A resource as it is held: a dict in the order it was written, its ids and its references.

https://hl7.org/fhir/R4/references.html · https://hl7.org/fhir/R4/resource.html#id
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Iterator

import orjson

from hie_server.fhir.definitions import fields, resource_types
from hie_server.fhir.json import parse

__all__ = ["Reference", "dump", "is_id", "literal_references", "parse", "read_reference"]

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
RELATIVE = re.compile(
    r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?(#.*)?"
)
ABSOLUTE = re.compile(r"[a-z][a-z0-9+.\-]*:\S+", re.IGNORECASE)


@dataclass(frozen=True)
class Reference:
    """A literal reference, taken apart.

    Type/id, Type/id/_history/version: `type`, `id`, `version`. #id: `fragment` (contained; "" for
    the container, with `is_contained`). Absolute URL or URN: `url` alone: whether a URL is this
    server's, and so names a type and an id, only who knows the server's base can say.
    """

    type: str = ""
    id: str = ""
    version: str = ""
    url: str = ""
    fragment: str = ""
    is_contained: bool = False


def dump(resource: Any) -> bytes:
    """Compact UTF-8 JSON: property order and the digits of every Decimal kept."""
    return orjson.dumps(resource, default=_fragment)


def _fragment(value: object) -> orjson.Fragment:
    if not isinstance(value, Decimal) or not value.is_finite():
        raise TypeError(f"{type(value).__name__} has no JSON form")
    exponent = value.as_tuple().exponent
    plain = isinstance(exponent, int) and -100 < exponent <= 0
    return orjson.Fragment(format(value, "f") if plain else str(value))


def is_id(text: str) -> bool:
    return ID.fullmatch(text) is not None


def read_reference(text: str) -> Reference | None:
    """None where it is none of R4's forms, or names a type that R4 hasn't."""
    if text.startswith("#"):
        fragment = text[1:]
        valid = not fragment or is_id(fragment)
        return Reference(fragment=fragment, is_contained=True) if valid else None
    found = RELATIVE.fullmatch(text)
    if found and found[1] in resource_types():
        return Reference(found[1], found[2], found[3] or "", fragment=(found[4] or "#")[1:])
    return Reference(url=text) if ABSOLUTE.fullmatch(text) else None


def literal_references(resource: dict[str, Any]) -> Iterator[str]:
    """Every Reference.reference and Attachment.url, those of contained resources too."""
    waiting: list[tuple[str, Any]] = [("Resource", resource)]
    while waiting:
        kind, node = waiting.pop()
        if type(node) is list:
            waiting.extend((kind, each) for each in reversed(node))
        elif type(node) is dict:
            yield from _own_references(kind, node)
            waiting.extend(reversed(list(_children(kind, node))))


def _own_references(kind: str, node: dict[str, Any]) -> Iterator[str]:
    key = {"Reference": "reference", "Attachment": "url"}.get(kind, "")
    if type(node.get(key)) is str:
        yield node[key]


def _children(kind: str, node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if kind == "Resource":
        kind = node.get("resourceType", "")
        kind = kind if kind in resource_types() else "Resource"
    known = fields(kind)
    for key, value in node.items():
        if type(value) is dict or type(value) is list:
            if key in known:
                yield known[key][1], value
            elif key[:1] == "_":
                yield "Element", value
