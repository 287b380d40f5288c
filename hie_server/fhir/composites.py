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
from typing import Any, Iterator, Mapping, Sequence

from hie_server.fhir.definitions import SearchParameter, search_parameters
from hie_server.fhir.outcomes import FhirError, bad_request
from hie_server.fhir.paths import Find, Found, compile_expression
from hie_server.fhir.spans import Span
from hie_server.fhir.terms import Range, Term, entries, joined

# R4 names the two definitions of its components in the other order than their expressions.
_EXCHANGED = "http://hl7.org/fhir/SearchParameter/DocumentReference-relationship"
_WHOLE = "%resource."


def components(parameter: SearchParameter) -> tuple[SearchParameter, ...]:
    """Each as a parameter of the composite's code; its expression starts at a found element."""
    return _components(parameter.url)


@cache
def _components(url: str) -> tuple[SearchParameter, ...]:
    known = {each.url: each for each in search_parameters()}
    composite = known[url]
    definitions = [definition for definition, _ in composite.component]
    if url == _EXCHANGED:
        definitions.reverse()
    return tuple(
        replace(known[definition], code=composite.code, expression=expression)
        for definition, (_, expression) in zip(definitions, composite.component)
    )


def elements(
    parameter: SearchParameter, resource: Mapping[str, Any]
) -> Iterator[list[list[Found]]]:
    """Of each element that has a value for all of the components, these values."""
    type = resource["resourceType"]
    for element, kind in compile_expression(parameter.expression, type)(resource):
        values = []
        # The last first: most elements have a code, and few of them this kind of value.
        for find, is_whole in _finds(parameter.url, kind, type):
            found = find(resource if is_whole else element)
            if not found:
                break
            values.append(found)
        else:
            yield values[::-1]


@cache
def _finds(url: str, kind: str, type: str) -> tuple[tuple[Find, bool], ...]:
    """How to find the values of each component, the last first, and whether it starts at the
    resource instead of the element."""
    paths = [each.expression for each in reversed(_components(url))]
    whole = [path.startswith(_WHOLE) for path in paths]
    return tuple(
        (compile_expression(path.removeprefix(_WHOLE), type if is_whole else kind), is_whole)
        for path, is_whole in zip(paths, whole)
    )


def composite_entries(
    parameter: SearchParameter, resource: Mapping[str, Any], zone: tzinfo
) -> Iterator[Term | Range]:
    for values in elements(parameter, resource):
        parts = [
            [entry for value, kind in found for entry in entries(component, value, kind, zone)]
            for component, found in zip(components(parameter), values)
        ]
        yield from together(parameter.code, parts)


def together(code: str, parts: Sequence[Sequence[Term | Range | Span]]) -> Iterator[Any]:
    """Every way of taking one of each part, as one entry of an index, or one demand of a query.

    Terms alone are a Term of all their forms and values. With a range it is a range named by the
    terms. Of two numbers, which are points, the first is `lo` and the second `hi`.
    """
    named = [[each for each in part if isinstance(each, Term)] for part in parts]
    ranges = [part for part, terms in zip(parts, named) if not terms]
    for terms in product(*filter(None, named)):
        form = "$".join([each.form for each in terms])
        value = joined(*[each.value for each in terms])
        if not ranges:
            yield Term(code, form, value)
            continue
        name = f"{code}${joined(form, value)}"
        for chosen in product(*ranges):
            found = chosen[0] if len(chosen) == 1 else _pair(*chosen)
            # What follows the code in its own name is the unit.
            yield type(found)(name + found[0][len(code):], *found[1:])


def _pair(first: Any, second: Any) -> Range | Span:
    if isinstance(first, Range):
        return Range(first.parameter, first.lo, second.hi)
    bounds = {}
    for end, span in (("lo", first), ("hi", second)):
        for name, bound in span._asdict().items():
            if name != "parameter" and bound is not None:
                bounds[f"{end}_{name.partition('_')[2]}"] = bound
    return Span(first.parameter, **bounds)


def unlike(parameter: SearchParameter, value: str) -> FhirError:
    kinds = "$".join(each.type for each in components(parameter))
    return bad_request(f"{parameter.code}: {value!r} isn't {kinds}.", parameter.code)
