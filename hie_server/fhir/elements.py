"""`_elements`: a resource cut to the elements that were asked for, and marked as cut.

https://hl7.org/fhir/R4/search.html#elements
"""

from __future__ import annotations

from typing import Any, Mapping

from hie_server.fhir.definitions import fields, types
from hie_server.fhir.outcomes import bad_request

SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}
# Beside what is mandatory: a reader who doesn't see these may misread the rest.
_ALWAYS = ("resourceType", "id", "implicitRules", "modifierExtension")


def read_elements(kind: str, value: str) -> tuple[str, ...]:
    """Names of the type's own elements, `value` or `valueQuantity` where there is a choice."""
    names = tuple(dict.fromkeys(value.split(",")))
    known = {*fields(kind), *(each.name for each in types()[kind].elements)}
    for name in names:
        if name not in known:
            right = f"_elements: {kind} has no element {name[:64]!r}; write its own, as in id,meta."
            raise bad_request(right, "_elements")
    return names


def subset(resource: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    known = fields(resource["resourceType"])
    found: dict[str, Any] = {}
    for key, value in resource.items():
        name = key.removeprefix("_")
        element = known[name][0] if name in known else None
        is_asked = name in names or element is not None and (element.min or element.name in names)
        if key == "meta":
            found[key] = _marked(value)
        elif is_asked or name in _ALWAYS:
            found[key] = value
    return found


def _marked(meta: Mapping[str, Any]) -> dict[str, Any]:
    tags = [each for each in meta.get("tag", ()) if each != SUBSETTED]
    return {**meta, "tag": [*tags, SUBSETTED]}
