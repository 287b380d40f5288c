"""A person's consents as the store holds them: read for decisions, checked when written.

Consents in the citizen's own custody are the only truth; a facility proposes.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Any, Mapping

from hie_server.authz import consent
from hie_server.authz.consent import Unreadable
from hie_server.authz.provisions import Grant
from hie_server.authz.tokens import Caller
from hie_server.fhir.outcomes import FhirError, Issue, unprocessable
from hie_server.fhir.query import parse_query
from hie_server.fhir.resources import parse
from hie_server.identity.people import Person
from hie_server.store.access import Access
from hie_server.store.database import Store
from hie_server.store.repository import Repository

Compiled = tuple[Grant | Unreadable, ...]
CACHED = 10_000
_cache: dict[tuple[str, str], tuple[int, Compiled]] = {}


def of_person(store: Store, zone: tzinfo, person: Person) -> Compiled:
    """The active consents of a person, compiled; read again whenever their epoch has moved."""
    key = (store.db.name, person.id)
    cached = _cache.get(key)
    if cached is not None and cached[0] == person.epoch:
        return cached[1]
    compiled = consent.compile_all(_active(store, person.id), zone)
    if len(_cache) >= CACHED:
        _cache.clear()
    _cache[key] = (person.epoch, compiled)
    return compiled


def _active(store: Store, person: str) -> list[dict[str, Any]]:
    """One more than may be decided by, so that too many is noticed."""
    query = parse_query("Consent", [("status", "active"), ("_count", "1000")])
    repository = Repository(store, Access(custodian=person))
    rows: list[dict[str, Any]] = []
    after = None
    while len(rows) <= consent.MOST_CONSENTS:
        page = repository.search(query, after)
        rows += [parse(each.body) for each in repository.versions(page) if each.body]
        after = page.after
        if after is None:
            break
    return rows


def check_written(
    store: Store, zone: tzinfo, caller: Caller, resource: Mapping[str, Any], person: Person | None
) -> list[tuple[str, ...]]:
    """Refuses a Consent that its writer may not write; the terms of who else may read it."""
    grant = consent.read(resource, zone)
    if caller.citizen is None:
        if resource.get("status") != "proposed":
            proposed = "A facility proposes a Consent (status proposed); the citizen grants it."
            raise unprocessable([Issue("business-rule", proposed, "Consent.status")])
        return []
    if resource.get("patient", {}).get("reference") != caller.citizen:
        own = f"A citizen's Consent is about themselves: {caller.citizen}."
        raise unprocessable([Issue("business-rule", own, "Consent.patient")])
    if resource.get("status") == "active" and person is not None:
        _refuse_void(store, zone, grant, person, str(resource.get("id", "")))
    facility = grant.grantee()
    return [("Consent", "-grantee", "", facility)] if facility else []


def _refuse_void(store: Store, zone: tzinfo, grant: Grant, person: Person, own: str) -> None:
    """Granting what a standing refusal voids would deceive the citizen: 409 names it."""
    if grant.root is None or not grant.root.rule.permit:
        return
    standing = tuple(
        each
        for each in of_person(store, zone, person)
        if not (isinstance(each, Grant) and each.reference == f"Consent/{own}")
    )
    recipients, purposes = grant.root.recipients, grant.root.purposes
    refusing = consent.voided(
        standing, recipients or frozenset(), purposes or frozenset(), store.clock()
    )
    if refusing is not None:
        voided = f"{refusing} refuses what this would grant: end it first."
        raise FhirError(409, [Issue("conflict", voided)])
