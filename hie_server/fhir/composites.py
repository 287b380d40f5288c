"""Composite parameters: several values that must hold on the same element.

The composite's expression finds the elements, the expression of each component is read inside one.
An element is indexed by every way in which all of its parts can be asked for together, so that
values of different elements never meet. https://hl7.org/fhir/R4/search.html#composite
"""

from __future__ import annotations

from dataclasses import replace
from datetime import tzinfo
from functools import cache
from itertools import product
from typing import Any, Iterable, Iterator, Mapping, Sequence

from hie_server.fhir.definitions import SearchParameter, search_parameters
from hie_server.fhir.outcomes import FhirError, bad_request
from hie_server.fhir.paths import Found, compile_expression
from hie_server.fhir.spans import Span
from hie_server.fhir.terms import Range, Term, entries, joined

# R4 names the two definitions of its components in the other order than their expressions.
_EXCHANGED = "http://hl7.org/fhir/SearchParameter/DocumentReference-relationship"
_WHOLE = "%resource."


@cache
def components(parameter: SearchParameter) -> tuple[SearchParameter, ...]:
    """Each as a parameter of the composite's code; its expression starts at a found element."""
    known = {each.url: each for each in search_parameters()}
    definitions = [url for url, _ in parameter.component]
    if parameter.url == _EXCHANGED:
        definitions.reverse()
    return tuple(
        replace(known[url], code=parameter.code, expression=expression)
        for url, (_, expression) in zip(definitions, parameter.component)
    )


def elements(parameter: SearchParameter, resource: Mapping[str, Any]) -> Iterator[list[list[Found]]]:
    """Of each element that the composite is about, the values of its components."""
    kind = resource["resourceType"]
    for context in compile_expression(parameter.expression, kind)(resource):
        yield [_values(each.expression, context, resource) for each in components(parameter)]


def _values(expression: str, context: Found, resource: Mapping[str, Any]) -> list[Found]:
    element, kind = context
    if expression.startswith(_WHOLE):
        element, kind = resource, resource["resourceType"]
    return compile_expression(expression.removeprefix(_WHOLE), kind)(element)


def composite_entries(
    parameter: SearchParameter, resource: Mapping[str, Any], zone: tzinfo
) -> Iterator[Term | Range]:
    for values in elements(parameter, resource):
        parts = [
            [entry for value, kind in found for entry in entries(component, value, kind, zone)]
            for component, found in zip(components(parameter), values)
        ]
        yield from together(parameter.code, parts)


def together(
    code: str, parts: Iterable[Sequence[Term | Range | Span]]
) -> Iterator[Any]:
    """Every way of taking one of each part, as one entry of an index, or one demand of a query.

    Terms alone are a Term of all their forms and values. With a range it is a range named by the
    terms. Of two numbers, which are points, the first is `lo` and the second `hi`.
    """
    for chosen in product(*parts):
        terms = [each for each in chosen if isinstance(each, Term)]
        ranges = [each for each in chosen if not isinstance(each, Term)]
        form = "$".join(each.form for each in terms)
        value = joined(*(each.value for each in terms))
        if not ranges:
            yield Term(code, form, value)
            continue
        # What follows the code in the range's name is its unit.
        name = f"{code}${joined(form, value)}{ranges[0].parameter[len(code):]}"
        yield (ranges[0] if len(ranges) == 1 else _pair(*ranges))._replace(parameter=name)


def _pair(first: Range | Span, second: Range | Span) -> Range | Span:
    if isinstance(first, Range):
        return Range(first.parameter, first.lo, second.hi) if isinstance(second, Range) else first
    bounds = {}
    for end, span in (("lo", first), ("hi", second)):
        for name, bound in span._asdict().items():
            if name != "parameter" and bound is not None:
                bounds[f"{end}_{name.partition('_')[2]}"] = bound
    return Span(first.parameter, **bounds)


def unlike(parameter: SearchParameter, value: str) -> FhirError:
    kinds = "$".join(each.type for each in components(parameter))
    return bad_request(f"{parameter.code}: {value!r} isn't {kinds}.", parameter.code)
