"""The directory's facilities: an Organization each, in the exchange's custody."""

from __future__ import annotations

from typing import Any

from fhir.resources.R4B.organization import Organization

from hie_server.audit.journal import by_exchange
from hie_server.fhir.resources import parse
from hie_server.store.access import EXCHANGE, EXCHANGE_ORGANIZATION, Access
from hie_server.store.database import Store
from hie_server.store.repository import Repository

SYSTEM = "https://facility.ndhm.gov.in"
TYPE = {"system": "http://terminology.hl7.org/CodeSystem/organization-type", "code": "prov"}


def directory(store: Store) -> Repository:
    """The registries' own door: entries are written in the exchange's custody."""
    return Repository(store, Access(custodian=EXCHANGE))


def add(store: Store, name: str, number: str | None = None, **facts: Any) -> str:
    """"Organization/…" of a new facility; `number`: its facility ID."""
    identifier = [{"system": SYSTEM, "value": number}] if number else None
    resource = _organization(name, identifier, **facts)
    return directory(store).create(resource, [by_exchange(store)]).reference


def add_exchange(store: Store) -> None:
    """The exchange's own Organization, which stands for every approved facility in a Consent."""
    resource = _organization("The exchange: every approved facility")
    identity = EXCHANGE_ORGANIZATION.partition("/")[2]
    directory(store).create(resource, [by_exchange(store)], identity=identity)


def _organization(name: str, identifier: Any = None, **facts: Any) -> dict[str, Any]:
    told = {"name": name, "identifier": identifier, "type": [{"coding": [TYPE]}], **facts}
    organization = Organization.model_validate({"active": True, **told})
    return {"resourceType": "Organization", **parse(organization.model_dump_json().encode())}
