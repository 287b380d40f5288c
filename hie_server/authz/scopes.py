"""SMART scopes as an algebra: parsed once, intersected, never compared as text.

Grammar and the mapping of v1 scopes:
https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Iterable
from urllib.parse import quote, unquote

from hie_server.fhir.definitions import resource_types

CRUDS = "cruds"
# `.read` is read and search. It is not `.rd`, and the older form has no granular part.
V1 = {"read": "rs", "write": "cud", "*": CRUDS}
GRAMMAR = re.compile(
    r"(?P<level>patient|user|system)/(?P<type>\*|[A-Za-z]+)"
    r"\.(?:(?P<v1>read|write|\*)|(?P<v2>(?=[cruds])c?r?u?d?s?)(?:\?(?P<params>[!-~]+))?)"
)
PARAMETER = re.compile(r"(?P<name>[^=&?]+)=(?P<value>[^=&?]+)")
Params = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Scope:
    """One scope: `level` patient, user or system, `type` a resource type or "*", `interactions`
    letters of "cruds", `params` the granular part: sorted pairs that must all match."""

    level: str
    type: str
    interactions: frozenset[str]
    params: Params = ()

    def __str__(self) -> str:
        letters = "".join(letter for letter in CRUDS if letter in self.interactions)
        pairs = "&".join(f"{_quote(name)}={_quote(value)}" for name, value in self.params)
        return f"{self.level}/{self.type}.{letters}{'?' if pairs else ''}{pairs}"

    def allows(self, type: str, interaction: str) -> bool:
        """`type` "*" asks for an interaction over all types, which only a wildcard allows."""
        return self.type in ("*", type) and interaction in self.interactions

    def is_wider(self, other: Scope) -> bool:
        """Its interactions aside: does it reach at least as far as the other?"""
        return (
            self.level == other.level
            and self.type in ("*", other.type)
            and set(self.params) <= set(other.params)
        )


@dataclass(frozen=True)
class Scopes:
    """Scopes in normal form, so that equal means the same: one for each level, type and granular
    part, sorted, without what a wider one allows anyway. `unknown` holds the words that are no
    scope here: they allow nothing."""

    scopes: tuple[Scope, ...] = ()
    unknown: tuple[str, ...] = field(default=(), compare=False)

    def __bool__(self) -> bool:
        return bool(self.scopes)

    def __str__(self) -> str:
        return " ".join(map(str, self.scopes))

    def allows(self, type: str, interaction: str) -> tuple[Scope, ...]:
        """The scopes that allow one letter of "cruds" on this type; what is returned says at which
        level and within which granular part, so emptiness alone means no."""
        return tuple(scope for scope in self.scopes if scope.allows(type, interaction))

    def whole(self) -> Scopes:
        """Without the granular ones."""
        return Scopes(tuple(scope for scope in self.scopes if not scope.params), self.unknown)

    @property
    def granular(self) -> tuple[Scope, ...]:
        return tuple(scope for scope in self.scopes if scope.params)


@lru_cache(maxsize=4096)
def parse(text: str) -> Scopes:
    """Words are divided by the space character alone: any other space makes an unknown word."""
    scopes, unknown = [], []
    for word in filter(None, text.split(" ")):
        scope = _scope(word)
        if scope:
            scopes.append(scope)
        else:
            unknown.append(word)
    return Scopes(_normal(scopes), tuple(unknown))


def narrow(registered: Scopes, requested: Scopes | None) -> Scopes:
    """What both allow; all that is registered where nothing was requested (None, which is not the
    same as a request in which no word was understood)."""
    if requested is None:
        return Scopes(registered.scopes)
    both = (_both(one, other) for one in registered.scopes for other in requested.scopes)
    return Scopes(_normal(scope for scope in both if scope))


def _scope(word: str) -> Scope | None:
    match = GRAMMAR.fullmatch(word)
    if not match or match["type"] not in resource_types() | {"*"}:
        return None
    letters = V1[match["v1"]] if match["v1"] else match["v2"]
    params = _params(match["params"]) if match["params"] else ()
    if params is None:
        return None
    return Scope(match["level"], match["type"], frozenset(letters), params)


def _params(text: str) -> Params | None:
    pairs = [PARAMETER.fullmatch(part) for part in text.split("&")]
    found = {(unquote(pair["name"]), unquote(pair["value"])) for pair in pairs if pair}
    return tuple(sorted(found)) if all(pairs) else None


def _quote(text: str) -> str:
    return quote(text, safe="/:|,$.~-_*@!'();")


def _both(one: Scope, other: Scope) -> Scope | None:
    """Granular parts are conditions, so both together are the conditions of the intersection."""
    interactions = one.interactions & other.interactions
    if one.level != other.level or not interactions:
        return None
    if one.type != other.type and "*" not in (one.type, other.type):
        return None
    narrower = other.type if one.type == "*" else one.type
    return Scope(one.level, narrower, interactions, tuple(sorted({*one.params, *other.params})))


def _normal(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    joined: dict[tuple[str, str, Params], frozenset[str]] = {}
    for scope in scopes:
        key = (scope.level, scope.type, scope.params)
        joined[key] = joined.get(key, frozenset()) | scope.interactions
    whole = [
        Scope(level, type, letters, params)
        for (level, type, params), letters in sorted(joined.items(), key=lambda item: item[0])
    ]
    own = (replace(scope, interactions=_own(scope, whole)) for scope in whole)
    return tuple(scope for scope in own if scope.interactions)


def _own(scope: Scope, scopes: list[Scope]) -> frozenset[str]:
    """Its interactions less those that a wider scope allows anyway."""
    wider = [each.interactions for each in scopes if each is not scope and each.is_wider(scope)]
    return scope.interactions.difference(*wider)
