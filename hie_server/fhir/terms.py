"""What an index holds of a value, one function per type of search parameter.

The mirror of it, what a query asks of an index, is clauses.py.
https://hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations

from datetime import tzinfo
from decimal import Decimal
from typing import Any, Callable, Collection, Iterable, Iterator, Mapping, NamedTuple

from hie_server.fhir.dates import bounds
from hie_server.fhir.definitions import SearchParameter
from hie_server.fhir.quantities import Unit, interval, units
from hie_server.fhir.references import read_target
from hie_server.fhir.strings import PREFIX, fold, strings_of

DATES = frozenset({"date", "dateTime", "instant", "Period", "Timing"})
NUMBERS = frozenset({"decimal", "integer", "positiveInt", "unsignedInt", "Range"})
QUANTITIES = frozenset(
    {"Quantity", "SimpleQuantity", "Age", "Count", "Distance", "Duration", "Money", "Range"}
)


class Term(NamedTuple):
    """One way in which a value can be asked for.

    `form`: present · code, system|code, |code, system|, of-type, each also after "identifier " ·
    prefix, whole (of folded strings) · id, reference · uri; of a composite one for each part,
    with "$" between
    """

    parameter: str
    form: str
    value: str


class Range(NamedTuple):
    """Dates: half-open [lo, hi) in milliseconds since 1970 UTC. Numbers and quantities: closed
    [lo, hi]; a quantity has one more for each way of naming its unit (`with_unit`)."""

    parameter: str
    lo: int | float
    hi: int | float


def joined(*parts: str) -> str:
    """One string for several, which no other several can have."""
    return "|".join(part.replace("\\", "\\\\").replace("|", "\\|") for part in parts)


def with_unit(parameter: str, unit: Unit) -> str:
    """The name under which a quantity in that unit is stored: `value-quantity|system|code`."""
    return f"{parameter}|{joined(*unit)}"


def token_terms(parameter: str, value: Any, kind: str) -> Iterator[Term]:
    if isinstance(value, bool):
        yield from pair_terms(parameter, "", "true" if value else "false")
    elif isinstance(value, (str, int, Decimal)):
        yield from pair_terms(parameter, "", str(value))
    else:
        for system, code in codings(value, kind):
            yield from pair_terms(parameter, system, code)
        if kind == "Identifier":
            yield from _typed_terms(parameter, value)


def codings(value: Mapping[str, Any], kind: str) -> Iterator[tuple[str, str]]:
    """The pairs of system and code, "" where there is none, in a complex value."""
    if kind == "CodeableConcept":
        for coding in value.get("coding", ()):
            yield coding.get("system", ""), coding.get("code", "")
    elif kind == "Coding":
        yield value.get("system", ""), value.get("code", "")
    elif kind in ("Identifier", "ContactPoint"):
        yield value.get("system", ""), value.get("value", "")


def pair_terms(parameter: str, system: str, code: str, prefix: str = "") -> Iterator[Term]:
    if code:
        yield Term(parameter, f"{prefix}code", code)
        if system:
            yield Term(parameter, f"{prefix}system|code", joined(system, code))
        else:
            yield Term(parameter, f"{prefix}|code", code)
    if system:
        yield Term(parameter, f"{prefix}system|", system)


def _typed_terms(parameter: str, identifier: Mapping[str, Any]) -> Iterator[Term]:
    value = identifier.get("value", "")
    for system, code in codings(identifier.get("type", {}), "CodeableConcept"):
        if system and code and value:
            yield Term(parameter, "of-type", joined(system, code, value))


def string_terms(parameter: str, value: Any, kind: str) -> Iterator[Term]:
    for text in strings_of(value, kind):
        folded = fold(text)
        if folded:
            yield Term(parameter, "whole", folded)
            for length in range(1, min(len(folded), PREFIX) + 1):
                yield Term(parameter, "prefix", folded[:length])


def reference_terms(
    parameter: str, value: Any, kind: str, targets: Collection[str]
) -> Iterator[Term]:
    if kind == "Reference":
        text, identifier = value.get("reference"), value.get("identifier")
        if text:
            yield from _literal_terms(parameter, text, targets)
        if identifier:
            for system, code in codings(identifier, "Identifier"):
                yield from pair_terms(parameter, system, code, "identifier ")
    elif kind == "Resource":
        if value.get("resourceType") in targets and "id" in value:
            yield from _literal_terms(parameter, f"{value['resourceType']}/{value['id']}", targets)
    elif kind in ("canonical", "uri"):
        yield from _literal_terms(parameter, value, targets)


def _literal_terms(parameter: str, text: str, targets: Collection[str]) -> Iterator[Term]:
    if text.startswith("#"):
        return
    target = read_target(text)
    yield Term(parameter, "reference", target.url)
    if "|" in target.url:
        yield Term(parameter, "reference", target.url.partition("|")[0])
    if target.is_relative and (not targets or target.type in targets):
        yield Term(parameter, "id", target.id)


def uri_terms(parameter: str, value: Any, kind: str) -> Iterator[Term]:
    yield Term(parameter, "uri", value)
    if kind == "canonical" and "|" in value:
        yield Term(parameter, "uri", value.partition("|")[0])


def date_ranges(parameter: str, value: Any, kind: str, zone: tzinfo) -> Iterator[Range]:
    if kind in DATES:
        yield Range(parameter, *bounds(value, zone))


def number_ranges(parameter: str, value: Any, kind: str) -> Iterator[Range]:
    found = interval(value, kind) if kind in NUMBERS else None
    if found is not None:
        yield Range(parameter, *found)


def quantity_ranges(parameter: str, value: Any, kind: str) -> Iterator[Range]:
    """Of SampledData nothing: its points have no place in an index of values."""
    found = interval(value, kind) if kind in QUANTITIES else None
    if found is not None:
        yield Range(parameter, *found)
        for unit in units(value, kind):
            yield Range(with_unit(parameter, unit), *found)


_PLAIN: Mapping[str, Callable[[str, Any, str], Iterable[Term | Range]]] = {
    "token": token_terms,
    "string": string_terms,
    "uri": uri_terms,
    "number": number_ranges,
    "quantity": quantity_ranges,
}


def entries(
    parameter: SearchParameter, value: Any, kind: str, zone: tzinfo
) -> Iterable[Term | Range]:
    """What an index holds of one value of FHIR type `kind`."""
    if parameter.type == "reference":
        return reference_terms(parameter.code, value, kind, parameter.target)
    if parameter.type == "date":
        return date_ranges(parameter.code, value, kind, zone)
    return _PLAIN[parameter.type](parameter.code, value, kind)
