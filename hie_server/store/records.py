"""The record on disk: a resource as a row of `resources` or `history`, and back.

Only ids of our own making, dates, ranks and sizes are in the clear (README, "What is on disk").
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Iterable, Iterator, Mapping

from bson.binary import Binary

from hie_server.fhir.facts import Facts, read_facts
from hie_server.fhir.index import Range, Term, index
from hie_server.fhir.outcomes import FhirError, Issue
from hie_server.fhir.resources import dump, parse
from hie_server.store.access import EXCHANGE
from hie_server.store.database import Store
from hie_server.store.sealing import Seal

MOST_BYTES = 15 * 1024 * 1024

Row = dict[str, Any]
Resource = dict[str, Any]


def stamp(resource: Mapping[str, Any], identity: str, version: int, updated: datetime) -> Resource:
    """The resource with the id and meta that the server gives, its properties in their order."""
    meta = {
        "versionId": str(version),
        "lastUpdated": instant_text(updated),
        **{
            name: value
            for name, value in resource.get("meta", {}).items()
            if name not in ("versionId", "lastUpdated")
        },
    }
    rest = {
        name: value
        for name, value in resource.items()
        if name not in ("resourceType", "id", "meta")
    }
    return {"resourceType": resource["resourceType"], "id": identity, "meta": meta, **rest}


def instant_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def row_of(
    resource: Resource,
    custodian: str,
    updated: datetime,
    store: Store,
    zone: tzinfo,
    extra: Iterable[tuple[str, ...]] = (),
) -> Row:
    """The row of a stamped resource; `extra`: terms that access is decided by."""
    body, seal = dump(resource), store.seal
    relative = _relative(resource, body, store.base)
    facts = read_facts(relative, custodian, zone)
    found = index(relative, zone)
    kept = _hashed(seal, _kept(facts, extra))
    row: Row = {
        "_id": facts.reference,
        "type": facts.type,
        "version": int(resource["meta"]["versionId"]),
        "updated": updated,
        "tombstone": False,
        "custodian": custodian,
        "patient": seal.opaque(facts.patient) if facts.patient else None,
        "others": sorted(seal.opaque(each) for each in facts.others),
        "rank": facts.rank,
        "labels": _hashed(seal, (("label", each) for each in facts.labels)),
        "kinds": _hashed(seal, (("kind", each) for each in facts.kinds)),
        "mentions": _hashed(seal, (("kind", each) for each in facts.mentions)),
        "when": _ends(facts.when),
        "span": _ends(facts.span),
        "index": _hashed(seal, _terms(facts, found.terms)) + kept,
        "kept": kept,
        "ranges": _ranges(seal, facts.type, found.ranges),
    }
    return _sealed(row, body, seal)


def _relative(resource: Resource, body: bytes, base: str) -> Resource:
    """As it is indexed: references by our own base URL are the relative ones they mean."""
    own = {
        f'"reference":"{base}/'.encode(): b'"reference":"',
        f'"url":"{base}/Binary/'.encode(): b'"url":"Binary/',
    }
    if not base or not any(each in body for each in own):
        return resource
    for absolute, relative in own.items():
        body = body.replace(absolute, relative)
    return parse(body)


@dataclass(frozen=True)
class Version:
    """One version as it leaves the store. `body` is None where it was deleted."""

    reference: str
    version: int
    updated: datetime
    body: bytes | None
    patient: str | None
    custodian: str
    created: bool = False
    unchanged: bool = False


def version_of(row: Row, seal: Seal) -> Version:
    return Version(
        str(row.get("resource", row["_id"])),
        row["version"],
        row["updated"],
        None if row["tombstone"] else open_body(row, seal),
        row["patient"],
        row["custodian"],
    )


def tombstone_of(row: Row, updated: datetime) -> Row:
    """The row that follows a deleted one: whose it was stays, what it said goes."""
    return {
        **row,
        "version": row["version"] + 1,
        "updated": updated,
        "tombstone": True,
        "index": row["kept"],
        "ranges": [],
        "body": None,
        "kid": None,
    }


def history_of(row: Row) -> Row:
    """The row of a version that another has replaced."""
    past = {name: value for name, value in row.items() if name != "ranges"}
    return {**past, "_id": f"{row['_id']}/{row['version']}", "resource": row["_id"]}


def open_body(row: Row, seal: Seal) -> bytes:
    """The resource's bytes as they were stored."""
    reference = row.get("resource", row["_id"])
    return seal.open(row["kid"], bytes(row["body"]), f"{reference}|{row['version']}")


def _sealed(row: Row, body: bytes, seal: Seal) -> Row:
    if len(body) > MOST_BYTES:
        issue = Issue("too-long", f"The resource is over {MOST_BYTES} bytes as it is stored.")
        raise FhirError(422, [issue])
    owner = row["patient"] or row["custodian"] or EXCHANGE
    kid, sealed = seal.seal(owner, body, f"{row['_id']}|{row['version']}")
    return {**row, "body": Binary(sealed), "kid": kid, "size": len(body)}


def type_terms(kind: str) -> tuple[tuple[str, ...], ...]:
    return (kind, "-type", ""), ("*", "-type", "")


def _terms(facts: Facts, terms: frozenset[Term]) -> Iterator[tuple[str, ...]]:
    yield from type_terms(facts.type)
    for term in terms:
        yield (facts.type, *term)


def _kept(facts: Facts, extra: Iterable[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """The terms that access is decided by: a tombstone keeps them, and no search finds it."""
    for reference in facts.refs:
        yield "*", "-ref", "", reference
    for author in facts.authors:
        yield "*", "-author", "", author
    for author in facts.any_authors:
        yield "*", "-any-author", "", author
    yield from extra


def _hashed(seal: Seal, terms: Iterable[tuple[str, ...]]) -> list[Binary]:
    return sorted({Binary(seal.term(*parts)) for parts in terms})


def _ends(period: tuple[int, int] | None) -> dict[str, int] | None:
    return {"lo": period[0], "hi": period[1]} if period else None


def _ranges(seal: Seal, kind: str, found: Iterable[Range]) -> list[dict[str, Any]]:
    """An entry for each pair of ends, with all the parameters that have it: a quantity has many."""
    by_ends: dict[tuple[int | float, int | float], list[Binary]] = {}
    for each in found:
        names = by_ends.setdefault((each.lo, each.hi), [])
        names.append(range_term(seal, kind, each.parameter))
    return [{"p": names, "lo": lo, "hi": hi} for (lo, hi), names in by_ends.items()]


def range_term(seal: Seal, kind: str, parameter: str) -> Binary:
    return Binary(seal.term(kind, "-range", parameter))
