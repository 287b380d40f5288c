"""By what a search finds a resource: its own index, turned back into parameters and values."""

from __future__ import annotations

from datetime import timedelta
from typing import Iterator

from hie_server.fhir.index import Range, Term, index, parameters_for
from hie_server.store.filters import EPOCH
from tests.flows.world_records import Json


def values(resource: Json) -> dict[str, list[tuple[str, str]]]:
    """Parameter → (name with modifier, value) by which a search finds this resource."""
    found: dict[str, list[tuple[str, str]]] = {"_id": [("_id", resource["id"])]}
    indexed = index(resource)
    for term in sorted(each for each in indexed.terms if "$" not in each.form):
        found.setdefault(term.parameter, []).extend(_of_term(term))
    for each in indexed.ranges:
        if "$" in each.parameter:
            found.setdefault(each.parameter.partition("$")[0], []).extend(_of_composite(each))
            continue
        name, _, unit = each.parameter.partition("|")
        kind = parameters_for(resource["resourceType"])[name].type
        found.setdefault(name, []).extend(_of_range(each, name, unit, kind))
    return {name: pairs for name, pairs in found.items() if pairs}


def _of_composite(each: Range) -> Iterator[tuple[str, str]]:
    name, _, rest = each.parameter.partition("$code|")
    if rest and "|" not in rest:
        yield name, f"{rest}$ge{each.lo}"


def _of_term(term: Term) -> Iterator[tuple[str, str]]:
    name, form = term.parameter, term.form
    base, _, plain = form.rpartition("identifier ")
    asked_as = f"{name}:identifier" if form.startswith("identifier ") else name
    value = _escaped(term.value)
    written = {
        "present": (f"{name}:missing", "false"),
        "code": (asked_as, value.replace("|", "\\|")),
        "system|code": (asked_as, value),
        "|code": (asked_as, f"|{value}"),
        "system|": (asked_as, f"{value}|"),
        "of-type": (f"{name}:of-type", value),
        "prefix": (name, value),
        "whole": (f"{name}:contains", value),
        "id": (name, value),
        "reference": (name, value),
        "uri": (name, value),
    }
    yield written[plain or form]


def _escaped(text: str) -> str:
    return text.replace(",", "\\,").replace("$", "\\$")


def _of_range(each: Range, name: str, unit: str, kind: str) -> Iterator[tuple[str, str]]:
    lo, hi = each.lo, each.hi
    if kind != "date":
        parts = f"|{unit}" if unit else ""
        yield from ((name, f"ge{lo}{parts}"), (name, f"le{hi}{parts}"), (name, f"{lo}{parts}"))
        return
    for prefix, moment in (("ge", lo), ("lt", hi), ("gt", lo - 1), ("ap", lo)):
        if 0 < moment < 4e12:
            instant = (EPOCH + timedelta(milliseconds=moment)).isoformat()
            yield name, f"{prefix}{instant}"
