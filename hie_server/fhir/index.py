"""Resource → what it can be found by.

`_id` and `_lastUpdated` are columns of the store, not terms.
https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import cache
from types import MappingProxyType
from typing import Any, Mapping

from hie_server.fhir.definitions import SearchParameter, search_parameters
from hie_server.fhir.outcomes import Issue, unprocessable
from hie_server.fhir.paths import Find, compile_expression
from hie_server.fhir.terms import (
    Range,
    Term,
    date_ranges,
    number_ranges,
    quantity_ranges,
    reference_terms,
    string_terms,
    token_terms,
    uri_terms,
)

__all__ = ["Index", "Range", "Term", "index", "parameters_for"]

MOST_TERMS = 10_000
_SERVED = ("token", "string", "reference", "date", "number", "quantity", "uri")
_COLUMNS = ("_id", "_lastUpdated")
# R4's package has two for show; one would redefine Condition's subject.
_EXAMPLES = "http://hl7.org/fhir/SearchParameter/example"
_ROOTS = ("Resource", "DomainResource")
_TERMS = {"token": token_terms, "string": string_terms, "uri": uri_terms}
_RANGES = {"number": number_ranges, "quantity": quantity_ranges}


@dataclass(frozen=True)
class Index:
    terms: frozenset[Term]
    ranges: tuple[Range, ...]


def index(resource: Mapping[str, Any], zone: tzinfo = UTC) -> Index:
    """Of a valid resource; dates without a time zone are of `zone`. FhirError 422 `too-long`."""
    terms: set[Term] = set()
    ranges: dict[Range, None] = {}
    for parameter, find, targets in _plan(resource["resourceType"]):
        found = find(resource)
        if found:
            terms.add(Term(parameter.code, "present", ""))
        for value, kind in found:
            if parameter.type in _TERMS:
                terms.update(_TERMS[parameter.type](parameter.code, value, kind))
            elif parameter.type == "reference":
                terms.update(reference_terms(parameter.code, value, kind, targets))
            elif parameter.type == "date":
                ranges.update(dict.fromkeys(date_ranges(parameter.code, value, kind, zone)))
            else:
                made = _RANGES[parameter.type](parameter.code, value, kind)
                ranges.update(dict.fromkeys(made))
        if len(terms) + len(ranges) > MOST_TERMS:
            raise _too_long()
    return Index(frozenset(terms), tuple(ranges))


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
def _plan(type: str) -> tuple[tuple[SearchParameter, Find, frozenset[str]], ...]:
    return tuple(
        (p, compile_expression(p.expression, type), frozenset(p.target))
        for p in parameters_for(type).values()
    )


def _too_long() -> Exception:
    diagnostics = f"It can be searched by more than {MOST_TERMS} values: split it up."
    return unprocessable([Issue("too-long", diagnostics)])
