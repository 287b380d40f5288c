"""What access decisions need to know of a record: whom it is about, of what kind, from when.

Read from the record as it was written; nothing in it can choose its custodian.
Confidentiality: http://terminology.hl7.org/CodeSystem/v3-Confidentiality
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import cache
from pathlib import Path
from typing import Any, Iterator, Mapping

from hie_server.fhir.dates import bounds
from hie_server.fhir.definitions import compartment, search_parameters
from hie_server.fhir.paths import compile_expression
from hie_server.fhir.resources import literal_references, read_reference

RANKS = {"U": 0, "L": 1, "M": 2, "N": 3, "R": 4, "V": 5}
UNLABELLED = RANKS["R"]
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
SENSITIVITY = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"
URI = "urn:ietf:rfc:3986"
HI_TYPE = "https://nrces.in/ndhm/fhir/r4/CodeSystem/hi-type"
# Elements whose codings say what kind of record it is.
KIND_ELEMENTS = ("code", "type", "category", "class", "vaccineCode", "serviceType", "scope")
AUTHOR_ELEMENTS = (
    "author",
    "performer",
    "recorder",
    "requester",
    "asserter",
    "authenticator",
    "resultsInterpreter",
    "informationSource",
    "enterer",
    "sender",
)
# A clinical date that is no date: nobody can say that care was not in a given period.
UNDATED = re.compile(r"[a-z]+(?:Timing|String|Age|Range)")
PROFILES = Path(__file__).parent.parent / "profiles"


@dataclass(frozen=True)
class Facts:
    """`kinds`: "system|code" · `when`: half-open milliseconds of the clinical period, or None ·
    `patient`: the subject, else the first Patient named · `others`: the other Patients named ·
    `refs`: every literal reference.

    What a permit is held against is the record's own; a veto is held against all that it carries,
    at any depth: `mentions` for `kinds`, `span` for `when`, `any_authors` for `authors`."""

    reference: str
    type: str
    custodian: str
    patient: str | None = None
    others: frozenset[str] = frozenset()
    rank: int = UNLABELLED
    labels: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    when: tuple[int, int] | None = None
    refs: frozenset[str] = frozenset()
    authors: frozenset[str] = frozenset()
    mentions: frozenset[str] = frozenset()
    span: tuple[int, int] | None = None
    any_authors: frozenset[str] = frozenset()


def read_facts(resource: Mapping[str, Any], custodian: str, zone: tzinfo = UTC) -> Facts:
    """The facts of a resource that has its id."""
    kind = str(resource["resourceType"])
    reference = f"{kind}/{resource['id']}"
    refs = frozenset(map(_unversioned, literal_references(dict(resource))))
    patients = list(dict.fromkeys(_patients(resource, reference, refs)))
    rank, labels = _labels(resource)
    everything = list(_all(resource))
    return Facts(
        reference,
        kind,
        custodian,
        patients[0] if patients else None,
        frozenset(patients[1:]),
        rank,
        labels,
        frozenset(_kinds(resource)),
        _when(resource, zone),
        refs,
        frozenset(_authors(resource)),
        frozenset(each for inner in everything for each in _mentions(inner)),
        _span(everything, zone),
        frozenset(each for inner in everything for each in _authors(inner)),
    )


def about_a_person(kind: str) -> bool:
    """Whether records of this type belong to somebody's life record, named or not."""
    return kind in compartment("Patient") or kind == "Bundle"


def _patients(
    resource: Mapping[str, Any], reference: str, refs: frozenset[str]
) -> Iterator[str]:
    """Every Patient named at any depth, the subject first."""
    kind = resource["resourceType"]
    if kind == "Patient":
        yield reference
        return
    first = _composition(resource) if kind == "Bundle" else resource
    for values in _patient_paths(first["resourceType"]) if first else ():
        for value, _ in values(first):
            text = value.get("reference") if isinstance(value, dict) else None
            if isinstance(text, str) and (patient := _unversioned(text)).startswith("Patient/"):
                yield patient
    yield from sorted(each for each in refs if each.startswith("Patient/"))
    for inner in _all(resource):
        if inner.get("resourceType") == "Patient" and kind == "Bundle" and "id" in inner:
            yield f"Patient/{inner['id']}"


def _composition(bundle: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A document is about its Composition's subject."""
    first = next((each.get("resource") for each in bundle.get("entry", ())), None)
    return first if isinstance(first, dict) else None


def _unversioned(text: str) -> str:
    found = read_reference(text)
    return f"{found.type}/{found.id}" if found is not None and found.type and found.id else text


def _all(resource: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The resource and all that it carries: contained ones, entries, parameters."""
    waiting: list[Any] = [resource]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if "resourceType" in node:
                yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


@cache
def _patient_paths(kind: str) -> tuple[Any, ...]:
    parameters = [
        each
        for each in search_parameters()
        if kind in each.base and each.type == "reference" and "Patient" in each.target
    ]
    parameters.sort(key=lambda each: (each.code not in ("patient", "subject"), each.code))
    return tuple(compile_expression(each.expression, kind) for each in parameters)


def _labels(resource: Mapping[str, Any]) -> tuple[int, frozenset[str]]:
    """The highest confidentiality and all sensitivities, of what it carries as well."""
    own, _ = _own_labels(resource)
    found = [_own_labels(inner) for inner in _all(resource)]
    ranks = [UNLABELLED if own is None else own, *(r for r, _ in found if r is not None)]
    return max(ranks), frozenset(label for _, labels in found for label in labels)


def _own_labels(resource: Mapping[str, Any]) -> tuple[int | None, set[str]]:
    codings = resource.get("meta", {}).get("security", ())
    ranks = [
        RANKS[each["code"]]
        for each in codings
        if each.get("system") == CONFIDENTIALITY and each.get("code") in RANKS
    ]
    labels = {each.get("code", "") for each in codings if each.get("system") == SENSITIVITY}
    return max(ranks, default=None), labels - {""}


def _kinds(resource: Mapping[str, Any]) -> Iterator[str]:
    yield f"{RESOURCE_TYPES}|{resource['resourceType']}"
    for profile in resource.get("meta", {}).get("profile", ()):
        canonical = str(profile).partition("|")[0]
        yield f"{URI}|{canonical}"
        if canonical in _hi_types():
            yield f"{HI_TYPE}|{_hi_types()[canonical]}"
    for element in KIND_ELEMENTS:
        yield from _codings(resource.get(element))
    if resource["resourceType"] == "Bundle" and resource.get("type") == "document":
        first = resource.get("entry", [{}])[0].get("resource")
        if isinstance(first, dict):
            yield from _kinds(first)


def _mentions(resource: Mapping[str, Any]) -> Iterator[str]:
    """Every kind that one resource could be taken for: a veto must not be evaded by where a code
    stands. What it carries is asked by itself."""
    yield from _kinds(resource)
    waiting: list[Any] = [each for name, each in resource.items() if name != "contained"]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict) and "resourceType" not in node:
            if isinstance(node.get("system"), str) and isinstance(node.get("code"), str):
                yield f"{node['system']}|{node['code']}"
            waiting.extend(node.values())


def _codings(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _codings(each)
    elif isinstance(value, dict):
        yield from _codings(value.get("coding"))
        if value.get("system") and value.get("code"):
            yield f"{value['system']}|{value['code']}"


def _authors(resource: Mapping[str, Any]) -> Iterator[str]:
    for element in AUTHOR_ELEMENTS:
        value = resource.get(element)
        for each in value if isinstance(value, list) else [value]:
            actor = each.get("actor", each) if isinstance(each, dict) else None
            text = actor.get("reference") if isinstance(actor, dict) else None
            if isinstance(text, str):
                yield _unversioned(text)


def _when(resource: Mapping[str, Any], zone: tzinfo) -> tuple[int, int] | None:
    """The clinical period: of the type's first date that is there, never of the upload."""
    if resource["resourceType"] == "Bundle":
        first = _composition(resource)
        return _when(first, zone) if first is not None else None
    if _is_undated(resource):
        return None
    return next(iter(_dates(resource, zone)), None)


def _span(resources: list[Mapping[str, Any]], zone: tzinfo) -> tuple[int, int] | None:
    """From the first to the last clinical date of all that is carried; None where one of them
    can't be told, or there is none."""
    dates = [each for resource in resources for each in _dates(resource, zone)]
    if not dates or any(_is_undated(each) for each in resources):
        return None
    return min(lo for lo, _ in dates), max(hi for _, hi in dates)


def _is_undated(resource: Mapping[str, Any]) -> bool:
    stems = {path.partition("DateTime")[0] for path in _paths(resource)}
    return any(
        UNDATED.fullmatch(name) and name.startswith(tuple(stems | {"onset", "occurrence"}))
        for name in resource
    )


def _paths(resource: Mapping[str, Any]) -> list[str]:
    return _clinical_dates().get(str(resource["resourceType"]), [])


def _dates(resource: Mapping[str, Any], zone: tzinfo) -> Iterator[tuple[int, int]]:
    for path in _paths(resource):
        value: Any = resource
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            yield bounds(value, zone)


@cache
def _clinical_dates() -> dict[str, list[str]]:
    return dict(json.loads((PROFILES / "clinical-dates.json").read_text("utf-8"))["paths"])


@cache
def _hi_types() -> dict[str, str]:
    return dict(json.loads((PROFILES / "hi-types.json").read_text("utf-8"))["profiles"])
