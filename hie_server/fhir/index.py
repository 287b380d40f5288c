"""Resource → what it can be found by.

`_id` and `_lastUpdated` are columns of the store, not terms.
https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import cache
from types import MappingProxyType
from typing import Any, Iterator, Mapping

from hie_server.fhir.composites import composite_entries
from hie_server.fhir.definitions import SearchParameter, search_parameters
from hie_server.fhir.outcomes import Issue, unprocessable
from hie_server.fhir.paths import Find, compile_expression
from hie_server.fhir.terms import Range, Term, entries

__all__ = ["Index", "Range", "Term", "index", "parameters_for"]

MOST_TERMS = 10_000
_SERVED = ("token", "string", "reference", "date", "number", "quantity", "uri", "composite")
_COLUMNS = ("_id", "_lastUpdated")
# R4's package has two for show; one would redefine Condition's subject.
_EXAMPLES = "http://hl7.org/fhir/SearchParameter/example"
_ROOTS = ("Resource", "DomainResource")


@dataclass(frozen=True)
class Index:
    terms: frozenset[Term]
    ranges: tuple[Range, ...]


def index(
    resource: Mapping[str, Any], zone: tzinfo = UTC, only: frozenset[str] = frozenset()
) -> Index:
    """Of a valid resource; dates without a time zone are of `zone`; by `only` these parameters,
    where some are named. FhirError 422 `too-long`."""
    terms: set[Term] = set()
    ranges: dict[Range, None] = {}
    for parameter, find in _plan(resource["resourceType"], only):
        for entry in _entries(parameter, find, resource, zone):
            if isinstance(entry, Term):
                terms.add(entry)
            else:
                ranges[entry] = None
            if len(terms) + len(ranges) > MOST_TERMS:
                raise _too_long()
    return Index(frozenset(terms), tuple(ranges))


def _entries(
    parameter: SearchParameter, find: Find, resource: Mapping[str, Any], zone: tzinfo
) -> Iterator[Term | Range]:
    if parameter.type == "composite":
        yield from composite_entries(parameter, resource, zone)
        return
    found = find(resource)
    if found:
        yield Term(parameter.code, "present", "")
    for value, kind in found:
        yield from entries(parameter, value, kind, zone)


@cache
def parameters_for(type: str) -> Mapping[str, SearchParameter]:
    """Code → the parameter, of those that a search of the type can use beside `_id` and
    `_lastUpdated`; the ones of every resource are among them."""
    found = {p.code: p for p in search_parameters() if _serves(p, type)}
    return MappingProxyType(dict(sorted(found.items())))


def _serves(parameter: SearchParameter, type: str) -> bool:
    if parameter.type not in _SERVED or not {type, *_ROOTS} & {*parameter.base}:
        return False
    is_example = parameter.url.startswith(_EXAMPLES)
    return bool(parameter.expression) and parameter.code not in _COLUMNS and not is_example


@cache
def _plan(type: str, only: frozenset[str]) -> tuple[tuple[SearchParameter, Find], ...]:
    found = [p for p in parameters_for(type).values() if not only or p.code in only]
    return tuple((p, compile_expression(p.expression, type)) for p in found)


def _too_long() -> Exception:
    diagnostics = f"It can be searched by more than {MOST_TERMS} values: split it up."
    return unprocessable([Issue("too-long", diagnostics)])
