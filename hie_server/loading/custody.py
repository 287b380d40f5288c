"""What a load writes, and whether it may: the rules are those of a request of the same client."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import Sequence

from pymongo.client_session import ClientSession

from hie_server.audit.events import Entity, Event
from hie_server.audit.journal import Journal
from hie_server.authz.rules import Rules
from hie_server.authz.tokens import Caller
from hie_server.fhir.outcomes import FhirError, Issue
from hie_server.fhir.validator import validate
from hie_server.loading.entries import Entry
from hie_server.store.access import Access
from hie_server.store.database import Store
from hie_server.store.records import Version, instant_text
from hie_server.store.repository import Repository, new_id
from hie_server.store.writing import Write


@dataclass
class Custody:
    """Of the facility that the client (`caller`) acts for."""

    store: Store
    zone: tzinfo
    caller: Caller

    def __post_init__(self) -> None:
        self.custodian = str(self.caller.facility)
        self.rules = Rules(self.store, self.zone)
        self.repository = Repository(self.store, Access(custodian=self.custodian), self.zone)
        self.request = new_id(self.store)

    def refused(self, entry: Entry) -> list[Issue]:
        """Why the client may not write it as it is; nothing where it may."""
        faults = validate(entry.resource, allow_conditional=True)
        errors = [each for each in faults if each.severity == "error"]
        if errors:
            return errors
        try:
            for letter in "cu":
                self.rules.to_write(self.caller, entry.kind, letter)
            self.rules.on_write(self.caller, entry.resource)
        except FhirError as error:
            return list(error.issues)
        return []

    def write(self, writes: Sequence[Write]) -> list[Version]:
        """All of these, with their entry of the journal, or none."""
        return self.repository.write(writes, self._journal)

    def _journal(self, session: ClientSession, versions: Sequence[Version]) -> None:
        """One entry for what a transaction changes; none where it changes nothing."""
        changed = tuple(_entity(each) for each in versions if not each.unchanged)
        if not changed:
            return
        event = Event(
            new_id(self.store),
            instant_text(self.store.instant()),
            "transaction",
            200,
            client=self.caller.client_id,
            facility=self.custodian,
            purpose=self.caller.purpose,
            request=self.request,
            asked="Bundle",
            entities=changed,
        )
        Journal(self.store).append_with(session, event)


def _entity(version: Version) -> Entity:
    is_ours = version.patient is not None and "~" not in version.patient
    reference = f"{version.reference}/_history/{version.version}"
    return Entity(version.patient if is_ours else None, reference)
