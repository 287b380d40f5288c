"""References as the validator sees them: do they have a form of R4's, and a type allowed here?

https://hl7.org/fhir/R4/references.html
Whether the other resource exists is never asked: the answer would tell of hidden records.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping

from hie_server.fhir.definitions import resource_types
from hie_server.fhir.primitives import shown
from hie_server.fhir.resources import read_reference

Json = dict[str, Any]
RESTFUL = re.compile(
    r"https?://\S+/([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?"
    r"(?:#\S*)?"
)
CONDITIONAL = re.compile(r"([A-Z][A-Za-z]+)\?\S+")
FORM = "Type/id, an absolute URL, a URN, or #id of a contained resource"


@dataclass(frozen=True)
class Scope:
    """Where the validator stands: in which resource, and what `#id` can name there.

    `container`: the type that `#` names inside a contained resource, else "".
    `allows_conditional`: `Type?query` is a reference too, as in a transaction Bundle.
    """

    resource: Json = field(default_factory=dict)
    contained: Mapping[str, str] = field(default_factory=dict)
    container: str = ""
    allows_conditional: bool = False

    def enter(self, resource: Json, is_contained: bool) -> Scope:
        kind = resource["resourceType"]
        if is_contained:
            container = self.container or self.resource["resourceType"]
            return Scope(resource, self.contained, container, self.allows_conditional)
        allows_conditional = self.allows_conditional or (
            kind == "Bundle" and resource.get("type") in ("transaction", "batch")
        )
        return Scope(resource, _contained_types(resource), "", allows_conditional)


def _contained_types(resource: Json) -> Mapping[str, str]:
    contained = resource.get("contained")
    found = contained if type(contained) is list else ()
    return {
        each["id"]: str(each.get("resourceType"))
        for each in found
        if type(each) is dict and type(each.get("id")) is str
    }


def reference_faults(
    node: Json, targets: frozenset[str], scope: Scope
) -> Iterator[tuple[str, str]]:
    """(property, fault) of a Reference; `targets` are the types allowed, empty for any."""
    text, declared = node.get("reference"), node.get("type")
    named: str | None = ""
    if type(text) is str:
        named = _named_type(text, scope)
        if named is None:
            yield "reference", f"{shown(text)} isn't a reference: expected {FORM}."
    if named and targets and named not in targets:
        yield "reference", f"It can't refer to {named}: expected {_alternatives(targets)}."
    if type(declared) is str:
        kind = declared.removeprefix("http://hl7.org/fhir/StructureDefinition/")
        if named and kind != named:
            yield "type", f"{shown(declared)} isn't the type that the reference names: {named}."
        elif kind in resource_types() and targets and kind not in targets:
            yield "type", f"It can't refer to {kind}: expected {_alternatives(targets)}."


def _named_type(text: str, scope: Scope) -> str | None:
    """The type a reference names, "" where it can't be told, None where it has no form of R4's."""
    if text == "#":
        return scope.container or None
    found = read_reference(text)
    if found and found.is_contained:
        return scope.contained.get(found.fragment)
    if found and found.url:
        restful = RESTFUL.fullmatch(text)
        return restful[1] if restful and restful[1] in resource_types() else ""
    if found:
        return found.type
    conditional = CONDITIONAL.fullmatch(text) if scope.allows_conditional else None
    return conditional[1] if conditional and conditional[1] in resource_types() else None


def _alternatives(targets: frozenset[str]) -> str:
    return " or ".join(sorted(targets))


def contained_faults(resource: Json) -> Iterator[tuple[int, str]]:
    """(position, fault) for each contained resource that R4's rules dom-2 to dom-5 don't allow."""
    contained = resource.get("contained")
    if type(contained) is not list:
        return
    fragments = set(_fragments(resource))
    seen: set[str] = set()
    for n, each in enumerate(contained):
        if type(each) is dict:
            yield from ((n, fault) for fault in _contained_faults(each, fragments, seen))


def _contained_faults(each: Json, fragments: set[str], seen: set[str]) -> Iterator[str]:
    own = each.get("id")
    if type(own) is not str:
        yield "A contained resource needs an id."
    elif own in seen:
        yield f"A second contained resource with the id {shown(own)}."
    elif f"#{own}" not in fragments and "#" not in _fragments(each):
        yield f"dom-3: nothing refers to it: expected a reference to {shown('#' + own)}."
    if type(own) is str:
        seen.add(own)
    if "contained" in each:
        yield "dom-2: a contained resource can't contain others."
    meta = each.get("meta")
    for key, rule in (("versionId", "dom-4"), ("lastUpdated", "dom-4"), ("security", "dom-5")):
        if type(meta) is dict and key in meta:
            yield f"{rule}: a contained resource has no meta.{key}."


def _fragments(resource: Json) -> Iterator[str]:
    """Every string that could be a reference to something contained."""
    waiting: list[Any] = [resource]
    while waiting:
        node = waiting.pop()
        if type(node) is str:
            if node[:1] == "#":
                yield node
        elif type(node) is dict:
            waiting.extend(node.values())
        elif type(node) is list:
            waiting.extend(node)
