"""A document → the resources in it, and which of them are written together or not at all.

A transaction Bundle is one unit; entries of a batch, a collection or a searchset are each one of
their own; a document Bundle is a single resource, as it was attested.
https://hl7.org/fhir/R4/bundle.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, Sequence

from hie_server.fhir.definitions import resource_types
from hie_server.fhir.outcomes import FhirError, Issue
from hie_server.fhir.references import read_target
from hie_server.fhir.resources import is_id
from hie_server.fhir.transactions import Request, read_entry
from hie_server.fhir.validator import validate

LOADED = ("batch", "collection", "searchset", "transaction")
REQUESTED = ("batch", "transaction")
# Takes the place of each entry's resource while the Bundle around them is looked at.
STAND_IN = {"resourceType": "Basic", "code": {"text": "-"}}

Json = dict[str, Any]
# (place, resource type, issues)
Refuse = Callable[[str, str, Sequence[Issue]], None]


@dataclass(frozen=True)
class Entry:
    """One resource to load. `source`: what it is known by: an absolute fullUrl, or its Type/id, or
    "" · `base`: what relative references in it are relative to · `if_none_exist`: the query by
    which it may be there already · `inside`: what only its own document resolves."""

    place: str
    resource: Json
    source: str
    base: str = ""
    if_none_exist: str = ""
    size: int = 0
    inside: frozenset[str] = frozenset()

    @property
    def kind(self) -> str:
        return kind_of(self.resource)

    @property
    def own_name(self) -> str:
        """"Type/id" as the file has it, or ""."""
        identity = self.resource.get("id")
        return f"{self.kind}/{identity}" if isinstance(identity, str) and is_id(identity) else ""


@dataclass(frozen=True)
class Unit:
    """`names`: "Type/id" of a Bundle's entries → the source that each is known by."""

    place: str
    entries: tuple[Entry, ...]
    is_transaction: bool = False
    names: dict[str, str] = field(default_factory=dict)


def kind_of(resource: Any) -> str:
    """The resource type, or "" where it is none of R4's: never a text of the file's own."""
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    return kind if isinstance(kind, str) and kind in resource_types() else ""


def units(value: Json, place: str, size: int, refuse: Refuse) -> Iterator[Unit]:
    """What a document holds; what can't be loaded as it stands is refused by its place."""
    if kind_of(value) != "Bundle" or value.get("type") == "document":
        entry = Entry(place, value, "", size=size, inside=frozenset(_inside(value)))
        yield Unit(place, (_known(entry, ""),))
        return
    faults = _faults_of_bundle(value)
    if faults:
        refuse(place, "Bundle", faults)
        return
    entries = tuple(_entries(value, place, refuse))
    names: dict[str, str] = {}
    for each in entries:
        names.setdefault(each.own_name, each.source)
    if value["type"] == "transaction":
        yield Unit(place, entries, True, names)
        return
    for each in entries:
        yield Unit(each.place, (each,), False, names)


def _faults_of_bundle(bundle: Json) -> list[Issue]:
    """Of the Bundle around its resources, which are looked at one by one."""
    if bundle.get("type") not in LOADED:
        kinds = ", ".join((*LOADED, "document"))
        return [Issue("not-supported", f"A Bundle to load is one of {kinds}.", "Bundle.type")]
    entries = bundle.get("entry")
    if isinstance(entries, list):
        entries = [_emptied(each) for each in entries]
        bundle = {**bundle, "entry": entries}
    return [each for each in validate(bundle) if each.severity == "error"]


def _emptied(entry: Any) -> Any:
    has_resource = isinstance(entry, dict) and "resource" in entry
    return {**entry, "resource": STAND_IN} if has_resource else entry


def _entries(bundle: Json, place: str, refuse: Refuse) -> Iterator[Entry]:
    for n, each in enumerate(bundle.get("entry", ())):
        path = f"Bundle.entry[{n}]"
        if each.get("search", {}).get("mode") == "outcome":
            continue
        try:
            yield _entry(each, bundle["type"], f"{place} {path}", path)
        except FhirError as error:
            refuse(f"{place} {path}", kind_of(each.get("resource")), error.issues)


def _entry(entry: Json, bundle_type: str, place: str, path: str) -> Entry:
    query = ""
    if bundle_type in REQUESTED:
        request = read_entry(entry, path, "")
        _check_writes(request)
        query = request.if_none_exist.lstrip("?")
    resource = entry.get("resource")
    if not isinstance(resource, dict):
        raise FhirError(400, [Issue("required", "There is no resource to load.", path)])
    return _known(Entry(place, resource, "", if_none_exist=query), entry.get("fullUrl", ""))


def _check_writes(request: Request) -> None:
    """A load only adds and updates, and what its entries ask beyond that is not left out."""
    if request.method not in ("POST", "PUT") or request.if_match is not None:
        asked = "ifMatch" if request.if_match is not None else request.method
        only = f"{asked} can't be loaded: only POST and PUT without conditions can."
        raise FhirError(400, [Issue("not-supported", only, f"{request.place}.request")])


def _known(entry: Entry, full_url: str) -> Entry:
    """With its source, and the base of a fullUrl that ends in Type/id."""
    is_absolute = ":" in full_url
    target = read_target(full_url)
    base = target.url.removesuffix(f"{target.type}/{target.id}") if is_absolute else ""
    source = target.url if is_absolute else full_url or entry.own_name
    return Entry(
        entry.place,
        entry.resource,
        source,
        base if target.type else "",
        entry.if_none_exist,
        entry.size,
        entry.inside,
    )


def _inside(document: Json) -> Iterator[str]:
    """What references inside a document Bundle resolve to there."""
    entries = document.get("entry") if kind_of(document) == "Bundle" else None
    for each in entries if isinstance(entries, list) else ():
        if isinstance(each, dict) and isinstance(each.get("fullUrl"), str):
            yield each["fullUrl"]
        if isinstance(each, dict) and isinstance(each.get("resource"), dict):
            yield f"{kind_of(each['resource'])}/{each['resource'].get('id')}"


def relative_full_urls(value: Json) -> int:
    """How many fullUrls of a Bundle aren't absolute, as R4 wants them."""
    entries = value.get("entry") if kind_of(value) == "Bundle" else None
    listed = entries if isinstance(entries, list) else ()
    urls = [each.get("fullUrl") for each in listed if isinstance(each, dict)]
    return sum(isinstance(each, str) and ":" not in each for each in urls)
