"""Who is who: the citizens, and the Patients that facilities know them by.

`people` is the only truth of it: `_id` the citizen's own Patient · `patients` all of theirs ·
`facilities` those that write to this life record · `links` what the two follow from ·
`epoch` rises with every change of link or consent. Linking rewrites no record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable

from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from hie_server.fhir.outcomes import FhirError, Issue
from hie_server.store.database import Store

MOST_PATIENTS = 50
DECOY = "Patient/00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Person:
    id: str
    patients: frozenset[str]
    facilities: frozenset[str]
    epoch: int

    @property
    def custodians(self) -> frozenset[str]:
        return self.facilities | {self.id}


def of_patient(store: Store, patient: str | None) -> Person | None:
    """The citizen whom a Patient stands for; the look-up is made for none, too."""
    return _person(store.db.people.find_one({"patients": patient or DECOY}))


def of_patients(store: Store, patients: Iterable[str]) -> dict[str, Person]:
    """Patient → the citizen it stands for, in one look-up, of those that stand for one."""
    wanted = {*patients} or {DECOY}
    rows = store.db.people.find({"patients": {"$in": sorted(wanted)}})
    persons = [person for row in rows if (person := _person(row)) is not None]
    return {each: person for person in persons for each in person.patients & wanted}


def by_health_id(store: Store, number: str) -> Person | None:
    return _person(store.db.people.find_one({"health_id": health_id_term(store, number)}))


def health_id_term(store: Store, number: str) -> bytes:
    return store.seal.term("health-id", number.replace("-", ""))


def _person(row: dict[str, Any] | None) -> Person | None:
    if row is None:
        return None
    return Person(
        row["_id"], frozenset(row["patients"]), frozenset(row["facilities"]), row["epoch"]
    )


def add(store: Store, patient: str, number: str, session: ClientSession | None = None) -> None:
    """A new citizen, by their own Patient and health ID."""
    store.db.people.insert_one(
        {
            "_id": patient,
            "patients": [patient],
            "facilities": [],
            "links": [],
            "health_id": health_id_term(store, number),
            "epoch": 0,
        },
        session=session,
    )


def link(store: Store, person: str, facility: str, patient: str | None = None) -> None:
    """The facility may write to this life record; its local Patient, if named, is this person's."""
    _change(store, person, [{"facility": facility, "patient": patient}], [])


def unlink(store: Store, person: str, facility: str, patient: str | None = None) -> None:
    _change(store, person, [], [{"facility": facility, "patient": patient}])


def rise(store: Store, person: str, session: ClientSession) -> None:
    """Consents changed: what was compiled from them is stale from this commit on."""
    store.db.people.update_one({"_id": person}, {"$inc": {"epoch": 1}}, session=session)


def _change(
    store: Store, person: str, added: list[dict[str, Any]], removed: list[dict[str, Any]]
) -> None:
    """One compare-and-set, tried again while others change the same person."""
    while True:
        row = store.db.people.find_one({"_id": person})
        if row is None:
            raise FhirError(404, [Issue("not-found", "No such citizen.")])
        links = [each for each in row["links"] if each not in removed + added] + added
        patients = [person, *(each["patient"] for each in links if each["patient"])]
        if len(patients) > MOST_PATIENTS:
            limit = f"A citizen has at most {MOST_PATIENTS} linked Patients."
            raise FhirError(422, [Issue("business-rule", limit)])
        changed = {
            "links": links,
            "patients": patients,
            "facilities": sorted({each["facility"] for each in links}),
        }
        try:
            done = store.db.people.update_one(
                {"_id": person, "epoch": row["epoch"]}, {"$set": changed, "$inc": {"epoch": 1}}
            )
        except DuplicateKeyError:
            taken = "That Patient is linked to another citizen: unlink it first."
            raise FhirError(409, [Issue("conflict", taken)]) from None
        if done.modified_count:
            return
