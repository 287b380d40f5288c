"""What R4 defines: types with their elements, search parameters, compartments; read once.

The tables are compiled by profiles/r4/compile.py from the official definitions.
https://hl7.org/fhir/R4/elementdefinition.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Mapping

R4 = Path(__file__).parent.parent / "profiles" / "r4"


@dataclass(frozen=True)
class Element:
    """One element of a type.

    `name` is without `[x]`; `types` has several entries only where `is_choice`.
    `targets`: the resource types a Reference may name; empty means any.
    `codes`: the url of the value set whose codes are required, or "".
    `rules`: invariants by key, to be evaluated on each value.
    """

    name: str
    min: int
    is_list: bool
    is_choice: bool
    types: tuple[str, ...]
    targets: frozenset[str]
    codes: str
    rules: Mapping[str, str]
    is_modifier: bool
    is_summary: bool
    is_attribute: bool
    is_forbidden: bool

    def json_name(self, type_name: str) -> str:
        """The property that carries this element as a `type_name`: value → valueQuantity."""
        if not self.is_choice:
            return self.name
        fhir_type = "Quantity" if type_name == "SimpleQuantity" else type_name
        return self.name + fhir_type[0].upper() + fhir_type[1:]


@dataclass(frozen=True)
class Type:
    """A resource type, datatype or backbone element (named by its path: `Patient.contact`).

    `kind`: resource, complex-type, primitive-type or backbone.
    `elements`: in R4's order, the inherited ones first. `rules`: invariants, inherited ones too.
    """

    name: str
    kind: str
    base: str
    is_abstract: bool
    elements: tuple[Element, ...]
    rules: Mapping[str, str]


@dataclass(frozen=True)
class SearchParameter:
    """`component`: the definition url and expression of each part of a composite."""

    url: str
    code: str
    base: tuple[str, ...]
    type: str
    expression: str
    target: tuple[str, ...]
    component: tuple[tuple[str, str], ...]


@cache
def types() -> Mapping[str, Type]:
    rows = _table("types.json")
    return MappingProxyType({name: _type(name, rows) for name in rows})


@cache
def fields(type_name: str) -> Mapping[str, tuple[Element, str]]:
    """JSON property → the element it carries and its type; empty for a primitive."""
    return MappingProxyType(
        {
            element.json_name(kind): (element, kind)
            for element in types()[type_name].elements
            for kind in element.types
        }
    )


@cache
def resource_types() -> frozenset[str]:
    """The types a resource can have: Resource and DomainResource aren't among them."""
    found = types().values()
    return frozenset(t.name for t in found if t.kind == "resource" and not t.is_abstract)


@cache
def value_sets() -> Mapping[str, Mapping[str, frozenset[str]]]:
    """Value set url → system → codes, for the required bindings whose codes can be listed."""
    rows = _table("value-sets.json")
    return MappingProxyType(
        {
            url: MappingProxyType({system: frozenset(codes) for system, codes in row.items()})
            for url, row in rows.items()
        }
    )


@cache
def search_parameters() -> tuple[SearchParameter, ...]:
    """R4's own, sorted by url; those without a base or an expression are among them."""
    return tuple(_search_parameter(row) for row in _table("search-parameters.json"))


COMPARTMENTS = ("Device", "Encounter", "Patient", "Practitioner", "RelatedPerson")


@cache
def compartment(name: str) -> Mapping[str, tuple[str, ...]]:
    """Type → codes of the parameters that put a resource into the compartment.

    KeyError unless `name` is Device, Encounter, Patient, Practitioner or RelatedPerson.
    """
    row = _table("compartments.json")[name]
    return MappingProxyType({kind: tuple(codes) for kind, codes in row.items()})


def _table(name: str) -> Any:
    return json.loads((R4 / name).read_bytes())


def _type(name: str, rows: Mapping[str, Any]) -> Type:
    row = rows[name]
    lineage = [row]
    while lineage[0]["base"]:
        lineage.insert(0, rows[lineage[0]["base"]])
    elements = {e["name"]: _element(e) for ancestor in lineage for e in ancestor["elements"]}
    rules = {key: rule for each in lineage for key, rule in each.get("rules", {}).items()}
    return Type(
        name=name,
        kind=row["kind"],
        base=row["base"],
        is_abstract=row.get("abstract", False),
        elements=tuple(elements.values()),
        rules=MappingProxyType(rules),
    )


def _element(row: Mapping[str, Any]) -> Element:
    return Element(
        name=row["name"].removesuffix("[x]"),
        min=row.get("min", 0),
        is_list=row.get("max") == "*",
        is_choice=row["name"].endswith("[x]"),
        types=tuple(row["types"]),
        targets=frozenset(row.get("targets", ())),
        codes=row.get("codes", ""),
        rules=MappingProxyType(row.get("rules", {})),
        is_modifier=row.get("isModifier", False),
        is_summary=row.get("isSummary", False),
        is_attribute=row.get("xmlAttr", False),
        is_forbidden=row.get("max") == "0",
    )


def _search_parameter(row: Mapping[str, Any]) -> SearchParameter:
    return SearchParameter(
        url=row["url"],
        code=row["code"],
        base=tuple(row["base"]),
        type=row["type"],
        expression=row["expression"],
        target=tuple(row["target"]),
        component=tuple((part["definition"], part["expression"]) for part in row["component"]),
    )
