"""What happened, as a value, and as FHIR's AuditEvent after IHE BALP. Pure.

https://hl7.org/fhir/R4/auditevent.html · https://profiles.ihe.net/ITI/BALP/
"""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass
from typing import Any, Iterator, Mapping

TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
DICOM = "http://dicom.nema.org/resources/ontology/DCM"
RESTFUL = "http://hl7.org/fhir/restful-interaction"
ACTIONS = {
    "create": "C",
    "update": "U",
    "patch": "U",
    "delete": "D",
    "read": "R",
    "vread": "R",
    "history-instance": "R",
    "capabilities": "R",
}
# All that is journaled: of FHIR's, then the exchange's own; "" where the request was none.
INTERACTIONS = (
    *ACTIONS,
    "history-type",
    "history-system",
    "search-type",
    "search-system",
    "batch",
    "transaction",
    "operation",
    "token",
    "revoke",
    "",
)
UNAUTHENTICATED = "unauthenticated"
# The search parameters of AuditEvent that the journal answers.
SEARCHABLE = ("date", "patient", "agent", "action", "outcome", "subtype", "entity", "type")


@dataclass(frozen=True)
class Entity:
    """One patient concerned (or none), the record, the consents relied on."""

    patient: str | None = None
    reference: str | None = None
    consents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """`recorded`: an instant · `interaction`: "" where it was none · `asked`: "Type/id" or the
    query as asked · `status`: HTTP's · `named`: the Patients that a search names · `refusal_of`:
    the entry whose refused read this one explains, for the citizen alone."""

    id: str
    recorded: str
    interaction: str
    status: int
    client: str | None = None
    facility: str | None = None
    citizen: str | None = None
    practitioner: str | None = None
    purpose: str | None = None
    token: str | None = None
    request: str = ""
    asked: str = ""
    entities: tuple[Entity, ...] = ()
    named: tuple[str, ...] = ()
    refusal_of: str | None = None
    reason: str | None = None

    @property
    def action(self) -> str:
        return ACTIONS.get(self.interaction, "E")

    @property
    def outcome(self) -> str:
        """0 success, 4 refused or wrong, 8 the exchange failed."""
        return "0" if self.status < 400 else "4" if self.status < 500 else "8"

    def patients(self) -> tuple[str, ...]:
        named = (self.citizen, *(each.patient for each in self.entities))
        return tuple(dict.fromkeys(each for each in named if each))

    def as_json(self) -> dict[str, Any]:
        """Compact: what is empty is left out."""
        entities = [{k: v for k, v in asdict(each).items() if v} for each in self.entities]
        facts = {name: value for name, value in vars(self).items() if value}
        always = {"interaction": self.interaction, "status": self.status, "entities": entities}
        return {**facts, **always}


def from_json(facts: Mapping[str, Any]) -> Event:
    entities = tuple(
        Entity(each.get("patient"), each.get("reference"), tuple(each.get("consents", ())))
        for each in facts["entities"]
    )
    return Event(**{**facts, "entities": entities, "named": tuple(facts.get("named", ()))})


def render(event: Event) -> dict[str, Any]:
    """The AuditEvent."""
    resource: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": event.id,
        "meta": {"versionId": "1", "lastUpdated": event.recorded},
        "type": _coding(TERMINOLOGY + "audit-event-type", "rest"),
        **({"subtype": [_coding(RESTFUL, event.interaction)]} if event.interaction else {}),
        "action": event.action,
        "recorded": event.recorded,
        "outcome": event.outcome,
    }
    if event.reason:
        resource["outcomeDesc"] = event.reason
    if event.purpose:
        coding = _coding(TERMINOLOGY + "v3-ActReason", event.purpose)
        resource["purposeOfEvent"] = [{"coding": [coding]}]
    resource["agent"] = list(_agents(event))
    resource["source"] = {"observer": {"reference": "Organization/exchange"}}
    resource["entity"] = list(_entities(event))
    return resource


def _agents(event: Event) -> Iterator[dict[str, Any]]:
    client = event.client or UNAUTHENTICATED
    yield {
        "type": {"coding": [_coding(DICOM, "110153")]},
        "who": {"identifier": {"value": client}},
        "requestor": not (event.citizen or event.practitioner),
        **({"policy": [f"urn:hie:token:{event.token[:32]}"]} if event.token else {}),
    }
    for reference in (event.facility, event.practitioner, event.citizen):
        if reference:
            requestor = reference in (event.practitioner, event.citizen)
            yield {"who": {"reference": reference}, "requestor": requestor}


def _entities(event: Event) -> Iterator[dict[str, Any]]:
    yield {
        "what": {"identifier": {"value": event.request}},
        "type": _coding("https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType",
                        "XrequestId"),
    }
    if event.refusal_of:
        yield {"what": {"reference": f"AuditEvent/{event.refusal_of}"}}
    if event.asked:
        query = base64.b64encode(event.asked.encode()).decode()
        yield {"role": _coding(TERMINOLOGY + "object-role", "24"), "query": query}
    for each in event.entities:
        if each.reference:
            role = _coding(TERMINOLOGY + "object-role", "4")
            yield {"what": {"reference": each.reference}, "role": role}
        for consent in each.consents:
            yield {"what": {"reference": consent}, "description": "consent relied on"}
    for patient in dict.fromkeys(each.patient for each in event.entities if each.patient):
        yield {
            "what": {"reference": patient},
            "type": _coding(TERMINOLOGY + "audit-entity-type", "1"),
            "role": _coding(TERMINOLOGY + "object-role", "1"),
        }


def _coding(system: str, code: str) -> dict[str, str]:
    return {"system": system, "code": code}
