"""Operations: what each is asked with, read from a URL or from a Parameters resource.

profiles/operations.json has one entry per OperationDefinition that is served, under its id: its
`url`, `code`, where it may be asked (`system`, `type` and `instance`: types of resources, "*" for
all), whether it changes anything (`affectsState`), and `in`: name -> "min..max type", or
{"cardinality", "part"} of a parameter with parts.

https://hl7.org/fhir/R4/operations.html · https://hl7.org/fhir/R4/parameters.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Iterable, Mapping

from hie_server.fhir.definitions import resource_types
from hie_server.fhir.outcomes import FhirError, bad_request, unprocessable
from hie_server.fhir.primitives import CHECKS, FORMS
from hie_server.fhir.validator import validate

DATA = Path(__file__).parent.parent / "profiles" / "operations.json"
IGNORED = frozenset(("_format", "_pretty"))  # of the answer, not of the operation
NUMBERS = frozenset(("integer", "positiveInt", "unsignedInt"))
BOOLEANS = {"true": True, "false": False}

# name -> its values in order: of a primitive the JSON value, of a datatype or a resource its
# object, of a parameter with parts again a Given.
Given = dict[str, list[Any]]


@dataclass(frozen=True)
class Parameter:
    """`most`: None where there is no limit. `parts`: instead of a type."""

    type: str
    least: int
    most: int | None
    parts: Mapping[str, Parameter]


@dataclass(frozen=True)
class Operation:
    id: str
    url: str
    code: str
    system: bool
    type: tuple[str, ...]
    instance: tuple[str, ...]
    changes: bool
    parameters: Mapping[str, Parameter]

    def is_served_at(self, kind: str | None, is_instance: bool) -> bool:
        if kind is None:
            return self.system
        return not {kind, "*"}.isdisjoint(self.instance if is_instance else self.type)


@cache
def operations() -> Mapping[str, Operation]:
    listed = json.loads(DATA.read_text("utf-8"))
    return {identity: _operation(identity, said) for identity, said in listed.items()}


def _operation(identity: str, said: dict[str, Any]) -> Operation:
    return Operation(
        identity,
        said["url"],
        said["code"],
        said.get("system", False),
        tuple(said.get("type", ())),
        tuple(said.get("instance", ())),
        said.get("affectsState", False),
        {name: _parameter(each) for name, each in said.get("in", {}).items()},
    )


def _parameter(said: str | dict[str, Any]) -> Parameter:
    parts = {} if isinstance(said, str) else said["part"]
    cardinality, _, kind = (said if isinstance(said, str) else said["cardinality"]).partition(" ")
    least, _, most = cardinality.partition("..")
    declared = {name: _parameter(each) for name, each in parts.items()}
    return Parameter(kind, int(least), None if most == "*" else int(most), declared)


def find(code: str, kind: str | None, is_instance: bool) -> Operation | None:
    """The operation of this code at this level; one of the type itself before one of all."""
    served = [
        each
        for each in operations().values()
        if each.code == code and each.is_served_at(kind, is_instance)
    ]
    return min(served, key=lambda each: "*" in (*each.type, *each.instance), default=None)


def from_url(pairs: Iterable[tuple[str, str]], declared: Mapping[str, Parameter]) -> Given:
    """Only what is primitive fits into a URL."""
    given: Given = {}
    for name, text in pairs:
        if name in IGNORED:
            continue
        parameter = _declared(name, declared)
        if parameter.type not in CHECKS:
            raise bad_request(f"{name} doesn't fit into a URL: POST a Parameters resource.", name)
        value = _read(text, parameter.type)
        if not CHECKS[parameter.type](value):
            raise bad_request(f"{name} must be {FORMS[parameter.type]}.", name)
        given.setdefault(name, []).append(value)
    return given


def _read(text: str, kind: str) -> Any:
    if kind == "boolean":
        return BOOLEANS.get(text)
    if kind in NUMBERS:
        return int(text) if text.isascii() and text.lstrip("-").isdigit() and len(text) < 12 else ""
    return text


def from_body(resource: dict[str, Any], declared: Mapping[str, Parameter]) -> Given:
    """Of a Parameters resource; or a resource that stands for the only parameter of such a type.

    Resources within are not validated here: to say what is wrong with them may be the operation.
    """
    if resource.get("resourceType") != "Parameters":
        return {_only_resource(resource, declared): [resource]}
    faults = [each for each in validate(_without_resources(resource)) if each.severity == "error"]
    if faults:
        raise unprocessable(faults)
    return _given(resource.get("parameter", []), declared)


def _only_resource(resource: dict[str, Any], declared: Mapping[str, Parameter]) -> str:
    names = [name for name, each in declared.items() if _is_resource(each)]
    if len(names) != 1:
        raise bad_request("The body must be a Parameters resource.", "resourceType")
    return names[0]


def _is_resource(parameter: Parameter) -> bool:
    return parameter.type == "Resource" or parameter.type in resource_types()


def _without_resources(node: Any) -> Any:
    """A copy with a bare resource in the place of each that is given."""
    if isinstance(node, list):
        return [_without_resources(each) for each in node]
    if not isinstance(node, dict):
        return node
    copy = {key: _without_resources(each) for key, each in node.items() if key != "resource"}
    if "resource" in node:
        known = isinstance(node["resource"], dict)
        copy["resource"] = {"resourceType": "Parameters"} if known else node["resource"]
    return copy


def _given(listed: list[dict[str, Any]], declared: Mapping[str, Parameter]) -> Given:
    given: Given = {}
    for each in listed:
        parameter = _declared(each["name"], declared)
        given.setdefault(each["name"], []).append(_value(each, parameter))
    return given


def _value(said: dict[str, Any], parameter: Parameter) -> Any:
    name = said["name"]
    if parameter.parts:
        return _given(said.get("part", []), parameter.parts)
    if _is_resource(parameter):
        kind = said.get("resource", {}).get("resourceType")
        if kind is None or parameter.type not in ("Resource", kind):
            raise bad_request(f"{name} must be a resource of type {parameter.type}.", name)
        return said["resource"]
    key = f"value{parameter.type[0].upper()}{parameter.type[1:]}"
    if key not in said:
        raise bad_request(f"{name} must be given as {key}.", name)
    return said[key]


def _declared(name: str, declared: Mapping[str, Parameter]) -> Parameter:
    if name not in declared:
        known = ", ".join(sorted(declared)) or "none"
        raise bad_request(f"{name[:40]!r} is no parameter of this operation; it has: {known}.")
    return declared[name]


def check(given: Given, declared: Mapping[str, Parameter]) -> None:
    """Refuses what is given too often, or not at all though it must be."""
    for name, parameter in declared.items():
        values = given.get(name, [])
        if len(values) < parameter.least:
            raise _missing(name)
        if parameter.most is not None and len(values) > parameter.most:
            raise bad_request(f"{name} may be given {parameter.most} times at most.", name)
        if parameter.parts:
            for each in values:
                check(each, parameter.parts)


def _missing(name: str) -> FhirError:
    return bad_request(f"The parameter {name} is required.", name, "required")


def parameters(items: Iterable[tuple[str, str, Any]]) -> dict[str, Any]:
    """A Parameters resource of (name, its type or "resource" or "part", value); a part's value is
    again such a list."""
    return {"resourceType": "Parameters", "parameter": [_written(*each) for each in items]}


def _written(name: str, kind: str, value: Any) -> dict[str, Any]:
    if kind == "part":
        return {"name": name, "part": [_written(*each) for each in value]}
    if kind == "resource":
        return {"name": name, "resource": value}
    return {"name": name, f"value{kind[0].upper()}{kind[1:]}": value}
