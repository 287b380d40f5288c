"""What access decisions need to know of a record: whom it is about, of what kind, from when.

Read from the record as it was written; nothing in it can choose its custodian.
Confidentiality: http://terminology.hl7.org/CodeSystem/v3-Confidentiality
"""

from __future__ import annotations

import json
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
AUTHOR_ELEMENTS = ("author", "performer", "recorder", "requester", "asserter", "authenticator")
PROFILES = Path(__file__).parent.parent / "profiles"


@dataclass(frozen=True)
class Facts:
    """`kinds`: "system|code" · `when`: half-open milliseconds of the clinical period, or None ·
    `patient`: the subject, else the first Patient named · `others`: the other Patients named ·
    `refs`: every literal reference · `about_someone`: the type belongs to a person's record."""

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


def read_facts(resource: Mapping[str, Any], custodian: str, zone: tzinfo = UTC) -> Facts:
    """The facts of a resource that has its id."""
    kind = str(resource["resourceType"])
    reference = f"{kind}/{resource['id']}"
    named = list(dict.fromkeys(_patients(resource, reference)))
    rank, labels = _labels(resource)
    refs = frozenset(literal_references(dict(resource)))
    return Facts(
        reference,
        kind,
        custodian,
        named[0] if named else None,
        frozenset(named[1:]),
        rank,
        labels,
        frozenset(_kinds(resource)),
        _when(resource, zone),
        refs,
        frozenset(_authors(resource)),
    )


def about_a_person(kind: str) -> bool:
    """Whether records of this type belong to somebody's life record, named or not."""
    return kind in compartment("Patient") or kind == "Bundle"


def _patients(resource: Mapping[str, Any], reference: str) -> Iterator[str]:
    """Every Patient named, the subject first."""
    kind = resource["resourceType"]
    if kind == "Patient":
        yield reference
        return
    if kind == "Bundle":
        yield from _patients_of_bundle(resource)
        return
    for values in _patient_paths(kind):
        for value, _ in values(resource):
            text = value.get("reference") if isinstance(value, dict) else None
            found = read_reference(text) if isinstance(text, str) else None
            if found is not None and found.type == "Patient" and found.id:
                yield f"Patient/{found.id}"


def _patients_of_bundle(bundle: Mapping[str, Any]) -> Iterator[str]:
    """A document is about its Composition's subject; whoever else an entry is about is another."""
    for entry in bundle.get("entry", ()):
        resource = entry.get("resource")
        if isinstance(resource, dict) and resource.get("resourceType") != "Patient":
            yield from _patients(resource, "")


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
    """The highest confidentiality and the sensitivities, of a document's entries as well."""
    codings = list(resource.get("meta", {}).get("security", ()))
    ranks = [
        RANKS[each["code"]]
        for each in codings
        if each.get("system") == CONFIDENTIALITY and each.get("code") in RANKS
    ]
    labels = {e.get("code", "") for e in codings if e.get("system") == SENSITIVITY} - {""}
    rank = max(ranks) if ranks else UNLABELLED
    for inner in _inner(resource):
        inner_rank, inner_labels = _labels(inner)
        labels |= inner_labels
        if inner.get("meta", {}).get("security"):
            rank = max(rank, inner_rank)
    return rank, frozenset(labels)


def _inner(resource: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Contained resources and a Bundle's entries."""
    yield from resource.get("contained", ())
    for entry in resource.get("entry", ()) if resource["resourceType"] == "Bundle" else ():
        if isinstance(entry.get("resource"), dict):
            yield entry["resource"]


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
                yield text


def _when(resource: Mapping[str, Any], zone: tzinfo) -> tuple[int, int] | None:
    """The clinical period: of the type's first date that is there, never of the upload."""
    kind = resource["resourceType"]
    if kind == "Bundle":
        first = next((each.get("resource") for each in resource.get("entry", ())), None)
        return _when(first, zone) if isinstance(first, dict) else None
    for path in _clinical_dates().get(kind, ()):
        value: Any = resource
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            return bounds(value, zone)
    return None


@cache
def _clinical_dates() -> dict[str, list[str]]:
    return dict(json.loads((PROFILES / "clinical-dates.json").read_text("utf-8"))["paths"])


@cache
def _hi_types() -> dict[str, str]:
    return dict(json.loads((PROFILES / "hi-types.json").read_text("utf-8"))["profiles"])
