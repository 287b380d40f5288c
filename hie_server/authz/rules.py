"""Token + scope + consent → Access: the one place where they meet.

A scope that is missing is 403; whatever consent decides is a filter, never an answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import tzinfo
from functools import partial
from typing import Any, Mapping

from hie_server.audit.events import Entity, Event
from hie_server.audit.journal import Viewer
from hie_server.authz import consent, grants, hops
from hie_server.authz.consent import Ask, Deny, Permit
from hie_server.authz.tokens import Caller
from hie_server.fhir.facts import about_a_person, read_facts
from hie_server.fhir.outcomes import FhirError, Issue, bad_request, forbidden, unprocessable
from hie_server.fhir.query import Clause, Query, named, widen
from hie_server.identity import people
from hie_server.identity.people import Person
from hie_server.store.access import EXCHANGE, IDENTITY, Access, Limits, Share
from hie_server.store.database import Store
from hie_server.store.records import Version, instant_text
from hie_server.store.repository import Also, Repository, new_id, referrers, whose

MOST_REFERRERS = 100
MOST_PATIENTS_NAMED = 20
SEARCHES = ("search-type", "search-system")


@dataclass(frozen=True)
class Rules:
    """The rules over one database, dates read in one zone."""

    store: Store
    zone: tzinfo

    def read(self, caller: Caller, kind: str, identity: str) -> tuple[Access, Version]:
        """The record by this id, and the Access that shows it. The caller's own is looked for
        first: most reads are of those, and need nothing else."""
        require(caller, kind, "r")
        access = self._own(caller)
        version = Repository(self.store, access).find(kind, identity)
        if version is None:
            access = self.to_read(caller, kind, identity)
            version = Repository(self.store, access).read(kind, identity)
        return access, version

    def to_read(self, caller: Caller, kind: str, identity: str) -> Access:
        """The Access under which the record by this id may be read. The same look-ups are made
        whether it is hidden or absent."""
        require(caller, kind, "r")
        custodian, patient = whose(self.store, f"{kind}/{identity}")
        access = self._own(caller)
        if custodian is not None and custodian in (access.custodian, EXCHANGE):
            return access
        share = self._share(caller, people.of_patient(self.store, patient))
        if share is not None:
            access = replace(access, shares=(share,))
        if not about_a_person(kind):
            access = self._by_referrers(caller, access, f"{kind}/{identity}", custodian)
        return access

    def to_search(self, caller: Caller, query: Query) -> tuple[Access, Query]:
        """The Access, and the query with each Patient it names widened to the whole person, where
        the caller may read that Patient. Of the caller's own records, only those are meant that
        name a Patient it may read: a hidden link must not show by them."""
        require(caller, query.type, "s")
        query = hops.led(self.store, query, partial(self._found, caller))
        access = self._own(caller)
        shares = self._shares_of(caller, access, patients_named(query))
        distinct = _distinct(shares)
        meant = {each for share in distinct for each in share.patients}
        wide = replace(access, shares=(*access.shares, *distinct))
        seen = self._seen(wide, sorted({*shares, *meant}))
        readable = {patient: share for patient, share in shares.items() if patient in seen}
        if caller.citizen is None:
            access = replace(access, shares=_distinct(readable))
        clauses = tuple(_widened(query, each, readable, None) for each in query.clauses)
        own = tuple(_widened(query, each, readable, seen) for each in query.clauses)
        return access, replace(query, clauses=clauses, own=own if own != clauses else ())

    def _found(self, caller: Caller, query: Query) -> list[Version]:
        """What the caller would find, searching for this alone."""
        access, wider = self.to_search(caller, query)
        repository = Repository(self.store, access, self.zone)
        return repository.versions(repository.search(wider))

    def to_write(self, caller: Caller, kind: str, letter: str) -> Access:
        """The caller's own custody: consent never permits a write."""
        require(caller, kind, letter)
        if kind == "AuditEvent" or caller.citizen is not None and kind in IDENTITY:
            issue = Issue("not-supported", f"{kind} is written by the exchange alone.")
            raise FhirError(405, [issue], {"Allow": "GET, HEAD"})
        return self._own(caller)

    def to_match(self, caller: Caller, kind: str) -> Access:
        """What conditional interactions match: the caller's own custody, and the directory."""
        require(caller, kind, "s")
        return Access(caller.citizen or caller.facility, True)

    def on_write(
        self, caller: Caller, resource: Mapping[str, Any]
    ) -> tuple[list[tuple[str, ...]], list[Also]]:
        """What a write brings with it: terms of who else may read it, and, where a citizen's
        consents change, their epoch. Refuses what this writer may not say (422)."""
        if caller.citizen is None:
            if resource["resourceType"] == "Consent":
                grants.check_written(self.store, self.zone, caller, resource, None)
            return [], []
        person = people.of_patient(self.store, caller.citizen)
        check_about(resource, person)
        if resource["resourceType"] != "Consent":
            return [], []
        terms = grants.check_written(self.store, self.zone, caller, resource, person)
        return terms, self.on_delete(caller, "Consent")

    def on_delete(self, caller: Caller, kind: str) -> list[Also]:
        if caller.citizen is None or kind != "Consent":
            return []
        citizen = caller.citizen
        return [lambda session, _: people.rise(self.store, citizen, session)]

    def viewer(self, caller: Caller, letter: str) -> Viewer:
        """Whose view of the journal this caller has."""
        require(caller, "AuditEvent", letter)
        if caller.citizen is None:
            return Viewer(caller.facility)
        person = people.of_patient(self.store, caller.citizen)
        return Viewer(None, person.patients if person else frozenset({caller.citizen}))

    def explain(self, event: Event) -> list[Event]:
        """Whom a request of a facility would have concerned, had it not been refused, and why:
        for those citizens' own view of the journal."""
        patients: tuple[str | None, ...] = event.named
        searched = event.interaction in SEARCHES and event.status == 200
        if not searched:
            custodian, patient = whose(self.store, _record(event.asked))
            refused = event.status in (404, 405) and custodian != event.facility
            patients = (patient,) if refused else ()
        known = people.of_patients(self.store, [each for each in patients if each])
        persons = {each.id: each for each in known.values()}
        explained = (self._explained(event, each, searched) for each in persons.values())
        return [each for each in explained if each is not None]

    def _explained(self, event: Event, person: Person, searched: bool) -> Event | None:
        ask = Ask(event.facility, event.practitioner, None, event.purpose or "")
        compiled = grants.of_person(self.store, self.zone, person)
        decision = consent.decide(compiled, ask, self.store.clock(), person.id)
        if searched and (decision or event.facility in person.facilities):
            return None
        reason = decision.reason if isinstance(decision, Deny) else "not among what is permitted"
        if event.status == 405:
            reason = "only its custodian may change a record"
        return replace(
            event,
            id=new_id(self.store),
            recorded=instant_text(self.store.instant()),
            status=403,
            asked=event.asked.partition("?")[0],
            entities=(Entity(person.id),),
            named=(),
            refusal_of=event.id,
            reason=reason,
        )

    def _own(self, caller: Caller) -> Access:
        if caller.citizen is None:
            return Access(caller.facility, True, grantee=caller.facility)
        person = people.of_patient(self.store, caller.citizen)
        shares = (_whole(person),) if person is not None else ()
        return Access(caller.citizen, True, shares)

    def _share(self, caller: Caller, person: Person | None) -> Share | None:
        """What this facility may see of the person: by consent, or by being linked."""
        if person is None or caller.citizen is not None:
            return None
        decision = self.decide(caller, person)
        linked = caller.facility in person.facilities
        if isinstance(decision, Permit):
            identity = linked or decision.identity
            return _share(person, decision.limits, identity, decision.consents)
        return _share(person, Limits(()), True, ()) if linked else None

    def decide(self, caller: Caller, person: Person) -> Permit | Deny:
        ask = Ask(caller.facility, caller.practitioner, caller.role, caller.purpose)
        compiled = grants.of_person(self.store, self.zone, person)
        return consent.decide(compiled, ask, self.store.clock(), person.id)

    def _seen(self, access: Access, patients: list[str]) -> set[str]:
        return Repository(self.store, access).sees(patients)

    def _shares_of(
        self, caller: Caller, access: Access, patients: tuple[str, ...]
    ) -> dict[str, Share]:
        """Patient → what the caller would see of that person, were the Patient itself visible."""
        found = {}
        persons = people.of_patients(self.store, patients)
        for patient in patients:
            person = persons.get(patient)
            if person is not None and caller.citizen is None:
                share = self._share(caller, person) or _share(person, Limits(()), False, ())
                found[patient] = share
            elif person is not None:
                found.update({patient: e for e in access.shares if e.person == person.id})
        return found

    def _by_referrers(
        self, caller: Caller, access: Access, reference: str, custodian: str | None
    ) -> Access:
        """A record without a patient shows where the caller may read one that refers to it."""
        found = referrers(self.store, reference, custodian, MOST_REFERRERS)
        patients = {each["patient"] for each in found if each["patient"]}
        persons = {each.id: each for each in people.of_patients(self.store, patients).values()}
        shares = tuple(
            share for each in persons.values() if (share := self._share(caller, each)) is not None
        )
        seen = Repository(self.store, replace(access, shares=access.shares + shares))
        visible = seen.sees([each["_id"] for each in found if each["patient"]])
        if not visible:
            return access
        of = {each["patient"] for each in found if each["_id"] in visible}
        through = tuple(each for each in shares if of & each.patients)
        return replace(
            access, shares=access.shares + through, instances=frozenset({reference})
        )


def check_about(resource: Mapping[str, Any], person: Person | None) -> None:
    """A citizen writes about themselves alone."""
    facts = read_facts({**resource, "id": "new"}, "")
    named = facts.others | ({facts.patient} if facts.patient else set())
    if person is None or not named or not named <= person.patients:
        own = "A citizen's own record must name them, and nobody else, as its patient."
        raise unprocessable([Issue("business-rule", own, f"{facts.type}.subject")])


def _record(asked: str) -> str:
    return "/".join(asked.split("/")[:2])


def patients_named(query: Query) -> tuple[str, ...]:
    """"Patient/…" of all that the query names; 400 where there are too many."""
    found = dict.fromkeys(
        each for clause in query.references("Patient") for each in named(clause, "Patient")
    )
    if len(found) > MOST_PATIENTS_NAMED:
        raise bad_request(f"A search may name {MOST_PATIENTS_NAMED} patients.", code="too-costly")
    return tuple(found)


def _distinct(shares: Mapping[str, Share]) -> tuple[Share, ...]:
    return tuple({share.person: share for share in shares.values()}.values())


def _widened(
    query: Query, clause: Clause, shares: Mapping[str, Share], only: set[str] | None
) -> Clause:
    """The clause, met by every Patient of the persons it names (of `only` these, if given)."""
    if clause.kind != "reference" or clause not in query.references("Patient"):
        return clause
    meant = {
        each
        for patient in named(clause, "Patient")
        if patient in shares
        for each in shares[patient].patients
    }
    wider = sorted(meant if only is None else meant & only)
    return widen(clause, wider) if wider else clause


def require(caller: Caller, kind: str, letter: str) -> None:
    """403 where the token's scopes don't cover the interaction (one of c, r, u, d, s).

    A `patient/` scope means one citizen's record: without that citizen it covers nothing.
    """
    if not may(caller, kind, letter):
        raise forbidden(f"The token has no scope for {kind} with {letter!r}.")


def may(caller: Caller, kind: str, letter: str) -> bool:
    levels = ("patient", "user") if caller.citizen else ("system", "user")
    return any(scope.level in levels for scope in caller.scopes.allows(kind, letter))


def _whole(person: Person) -> Share:
    return Share(person.id, person.patients, person.custodians, None, True, ())


def _share(
    person: Person, limits: Limits, identity: bool, consents: tuple[str, ...]
) -> Share:
    return Share(person.id, person.patients, person.custodians, limits, identity, consents)
