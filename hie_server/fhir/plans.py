"""What the validator looks up for each property of a type: the definitions, laid out for speed.

https://hl7.org/fhir/R4/json.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Callable, Iterable, Mapping

from hie_server.fhir.definitions import Element, Type, fields, types, value_sets
from hie_server.fhir.invariants import Invariant, invariants
from hie_server.fhir.primitives import CHECKS

Alternatives = tuple[str, frozenset[str]]
# Its codes (ISO 4217) aren't in R4's own tables: their form is checked instead.
CURRENCIES = "http://hl7.org/fhir/ValueSet/currencies"


@dataclass(frozen=True, slots=True)
class Field:
    """A property: `name` is the element's, so `value` for `valueQuantity` and for `_valueString`.

    `beside`: the primitive's other property: `_given` of `given`, `given` of `_given`; else "".
    `check`: of a primitive, whether a value (code binding included) is right; else None.
    `codings`: of a required binding of a CodeableConcept, its codes by system.
    """

    name: str
    type_name: str
    is_list: bool
    is_extension: bool
    beside: str
    check: Callable[[Any], bool] | None
    codings: Mapping[str, frozenset[str]] | None
    codes: str
    targets: frozenset[str]
    rules: tuple[Invariant, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """`required`: an element's name and the properties any one of which satisfies it.

    `choices`: a value[x]'s name and the properties of which only one type can be present.
    """

    name: str
    fields: Mapping[str, Field]
    required: tuple[Alternatives, ...]
    choices: tuple[Alternatives, ...]
    rules: tuple[Invariant, ...]


@cache
def plan(type_name: str) -> Plan:
    definition = types()[type_name]
    found = {}
    for json_name, (element, kind) in fields(type_name).items():
        if not element.is_forbidden:
            found[json_name] = field = _field(element, kind, definition)
            if field.beside:
                found[field.beside] = _extension(field, json_name)
    if definition.kind == "resource":
        found["resourceType"] = _resource_type(type_name)
    rules = invariants(definition.rules, type_name)
    required = _alternatives(element for element in definition.elements if element.min)
    choices = _alternatives(element for element in definition.elements if element.is_choice)
    return Plan(type_name, found, required, choices, rules)


def _field(element: Element, kind: str, parent: Type) -> Field:
    codes = value_sets().get(element.codes)
    check = CHECKS.get(kind)
    json_name = element.json_name(kind)
    return Field(
        name=element.name,
        type_name=kind,
        is_list=element.is_list,
        is_extension=False,
        beside="_" + json_name if check and not _is_bare(element) else "",
        check=_bound(check, element.codes) if check and element.codes else check,
        codings=codes if codes and not check else None,
        codes=element.codes,
        targets=element.targets,
        rules=invariants(element.rules, f"{parent.name}.{element.name}"),
    )


def _bound(check: Callable[[Any], bool], url: str) -> Callable[[Any], bool]:
    if url == CURRENCIES:
        return lambda value: type(value) is str and re.fullmatch("[A-Z]{3}", value) is not None
    systems = value_sets().get(url)
    if systems is None:
        return check
    codes = frozenset().union(*systems.values())
    return lambda value: type(value) is str and value in codes


def _is_bare(element: Element) -> bool:
    """Ids and extension urls are XML attributes, or as good as: nothing can be beside them."""
    return element.is_attribute or element.types == ("id",) and element.name == "id"


def _extension(field: Field, json_name: str) -> Field:
    return replace(
        field,
        type_name="Element",
        is_extension=True,
        beside=json_name,
        check=None,
        codings=None,
        targets=frozenset(),
        rules=(),
    )


def _resource_type(name: str) -> Field:
    return Field("resourceType", "code", False, False, "", name.__eq__, None, "", frozenset(), ())


def _alternatives(elements: Iterable[Element]) -> tuple[Alternatives, ...]:
    names = [(each.name, [each.json_name(kind) for kind in each.types]) for each in elements]
    return tuple((name, frozenset(each + ["_" + key for key in each])) for name, each in names)
