"""Whose records they are, and how so many get there: two facilities, citizens, a consent each.

The records are one facility's; the other reads those of the citizens, who consented. Rows are made
as a write makes them and inserted in bulk, without what a write also does (checks, journal).
"""

from __future__ import annotations

from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Iterator

from hie_server import open_store
from hie_server.authz import scopes, tokens
from hie_server.authz.rules import Rules
from hie_server.bench.records import Records, records
from hie_server.config import Settings
from hie_server.fhir.index import parameters_for
from hie_server.identity import enrolment, facilities, people
from hie_server.store.access import Access
from hie_server.store.database import Store
from hie_server.store.records import row_of, stamp
from hie_server.store.repository import Repository

BATCH = 500
TASK = 1_000
TOKEN_SECONDS = int(timedelta(days=1).total_seconds())
SYSTEM, PATIENT = "system/*.cruds", "patient/*.cruds"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"


@dataclass(frozen=True)
class Series:
    """A patient's records of one type, by their numbers."""

    patient: int
    kind: str
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class World:
    """`own`, `other`: tokens of the facility whose records they are, and of the one that reads by
    consent; `citizens`: the series that a citizen consented to share."""

    store: Store
    records: Records
    facility: str
    own: str
    other: str
    citizens: tuple[Series, ...]


def found(store: Store) -> tuple[str, str]:
    """The two facilities."""
    return facilities.add(store, "Sadar Hospital"), facilities.add(store, "Medical College")


def load(
    pool: Executor, settings: Settings, data: tuple[Path, ...], facility: str, first: int, last: int
) -> Iterator[int]:
    """Insert records `first` to `last` (exclusive) in bulk; yields how many more are there."""
    starts = range(first, last, TASK)
    tasks = [
        pool.submit(_insert, settings, data, facility, start, min(start + TASK, last))
        for start in starts
    ]
    for task in as_completed(tasks):
        yield task.result()


def _insert(
    settings: Settings, data: tuple[Path, ...], facility: str, first: int, last: int
) -> int:
    store, source = _store(settings), records(data)
    for start in range(first, last, BATCH):
        updated = store.instant()
        rows = []
        for number in range(start, min(start + BATCH, last)):
            resource = source.record(number)
            stamped = stamp(resource, resource["id"], 1, updated)
            rows.append(row_of(stamped, facility, updated, store, settings.timezone))
        store.db.resources.insert_many(rows, ordered=False)
    return last - first


@cache
def _store(settings: Settings) -> Store:
    return open_store(settings)


def series(source: Records, size: int, most: int, page: int) -> list[Series]:
    """Up to `most` patients, from all over the first `size` records, each with the type that most
    of their records are of: those who fill a page of it, or else the fullest."""
    copies = -(-size // len(source))
    step = max(1, copies * len(source.by_patient()) // most)
    everyone = [
        Series(patient + shift, kind, numbers)
        for shift in range(0, copies * len(source), len(source))
        for patient, kinds in source.by_patient().items()
        for kind, numbers in [_fullest(kinds, shift, size)]
        if patient + shift < size and numbers
    ]
    full = [each for each in everyone if len(each.numbers) >= page]
    everyone.sort(key=lambda each: -len(each.numbers))
    return full[::step][:most] or everyone[:most]


def _fullest(kinds: dict[str, list[int]], shift: int, size: int) -> tuple[str, tuple[int, ...]]:
    there = {
        kind: tuple(each + shift for each in numbers if each + shift < size)
        for kind, numbers in kinds.items()
        if "patient" in parameters_for(kind)
    }
    return max(there.items(), key=lambda each: len(each[1]), default=("", ()))


def settle(
    store: Store, settings: Settings, source: Records, names: tuple[str, str], shared: list[Series]
) -> World:
    """The citizens behind these series, their consents, and the tokens to ask with."""
    facility, other = names
    for each in shared:
        citizen, _ = enrolment.enrol(store, {"name": [{"text": "Satyendra Kumar"}]})
        people.link(store, citizen, facility, source.reference(each.patient))
        _consent(store, settings, citizen, other)
    own, others = (_token(store, SYSTEM, "TREAT", facility=each) for each in names)
    return World(store, source, facility, own, others, tuple(shared))


def _consent(store: Store, settings: Settings, citizen: str, facility: str) -> None:
    """Written as the citizen would, through the rules of a write."""
    token = _token(store, PATIENT, "PATRQT", citizen=citizen)
    caller = tokens.caller(store, f"Bearer {token}")
    resource = _permit(citizen, facility)
    terms, also = Rules(store, settings.timezone).on_write(caller, resource)
    repository = Repository(store, Access(custodian=citizen), settings.timezone)
    repository.create(resource, also, terms)


def _token(
    store: Store, scope: str, purpose: str, facility: str | None = None, citizen: str | None = None
) -> str:
    return tokens.issue(
        store,
        client_id="bench",
        facility=facility,
        citizen=citizen,
        scope=scopes.parse(scope),
        purpose=purpose,
        seconds=TOKEN_SECONDS,
    )


def _permit(citizen: str, facility: str) -> dict[str, Any]:
    role = _concept("v3-ParticipationType", "IRCP")
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": _concept("consentscope", "patient-privacy"),
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": citizen},
        "policyRule": _concept("v3-ActCode", "OPTIN"),
        "provision": {
            "type": "permit",
            "actor": [{"role": role, "reference": {"reference": facility}}],
            "purpose": [{"system": f"{TERMINOLOGY}v3-ActReason", "code": "TREAT"}],
        },
    }


def _concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": f"{TERMINOLOGY}{system}", "code": code}]}
