"""`_sort`: by several parameters, each by its lowest value, or falling by its highest.

What has no value comes last either way. https://hl7.org/fhir/R4/search.html#sort
"""

from __future__ import annotations

from functools import total_ordering
from typing import Any, Iterator, Mapping, Sequence

from hie_server.fhir.definitions import SearchParameter
from hie_server.fhir.index import parameters_for
from hie_server.fhir.outcomes import bad_request
from hie_server.fhir.paths import compile_expression
from hie_server.fhir.references import read_target
from hie_server.fhir.strings import fold, strings_of
from hie_server.fhir.terms import codings

Sort = tuple[tuple[str, bool], ...]
Value = int | float | str | None

COLUMNS = ("_id", "_lastUpdated")
RANGED = ("date", "number", "quantity")
MOST_KEYS = 5
# Characters by which two texts are compared: a page's last ones are sent as its cursor.
LONGEST = 64


def read_sort(type: str, value: str) -> Sort:
    """`-date,code` → (("date", True), ("code", False)); 400 for what can't be sorted by."""
    keys = value.split(",")
    if len(keys) > MOST_KEYS:
        raise bad_request(f"_sort has at most {MOST_KEYS} parameters.", "_sort", "too-long")
    found = tuple((key.removeprefix("-"), key.startswith("-")) for key in keys)
    for code, _ in found:
        if code not in COLUMNS and not _is_sortable(type, code):
            known = [each for each in parameters_for(type) if _is_sortable(type, each)]
            shown = ", ".join([*COLUMNS, *known])
            right = f"_sort: {type} can't be sorted by {code[:64]!r}; it can by {shown}."
            raise bad_request(right, "_sort", "not-supported")
    return found


def _is_sortable(type: str, code: str) -> bool:
    parameter = parameters_for(type).get(code)
    return parameter is not None and parameter.type != "composite"


def kind_of(type: str, code: str) -> str:
    """The parameter's type; "" for a column."""
    return "" if code in COLUMNS else parameters_for(type)[code].type


def text_of(resource: Mapping[str, Any], code: str, is_falling: bool) -> str | None:
    """By what a resource is sorted by a token, string, reference or uri."""
    kind = resource["resourceType"]
    parameter = parameters_for(kind)[code]
    values = compile_expression(parameter.expression, kind)(resource)
    texts = [text for value, t in values for text in _texts(parameter, value, t) if text]
    if not texts:
        return None
    return (max(texts) if is_falling else min(texts))[:LONGEST]


def _texts(parameter: SearchParameter, value: Any, kind: str) -> Iterator[str]:
    if parameter.type == "string":
        yield from map(fold, strings_of(value, kind))
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif not isinstance(value, dict):
        yield str(value)
    elif parameter.type == "token":
        yield from (code for _, code in codings(value, kind))
    elif kind == "Resource":
        yield f"{value['resourceType']}/{value.get('id', '')}"
    elif "reference" in value:
        yield read_target(value["reference"]).url


@total_ordering
class _Falling:
    """Orders values the other way round."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Falling) and self.value == other.value

    def __lt__(self, other: _Falling) -> bool:
        return bool(other.value < self.value)


def order(values: Sequence[Value], sort: Sort) -> tuple[Any, ...]:
    """What compares as the sort demands: a value for each of its keys, then the id."""
    parts = [
        (True, "") if value is None else (False, _Falling(value) if is_falling else value)
        for value, (_, is_falling) in zip(values, sort)
    ]
    return (*parts, values[-1])
