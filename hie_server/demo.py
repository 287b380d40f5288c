"""A district to try the exchange with: Saran's facilities, a few people, their records.

Everything is made up but the place names; it is loaded once, through the same doors as all else.
`demo.json` tells what there is, with the clients' secrets: it is for one's own machine.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Iterator

from hie_server import open_store
from hie_server.audit.journal import by_exchange
from hie_server.authz import clients
from hie_server.config import Settings
from hie_server.fhir.resources import parse
from hie_server.identity import enrolment, facilities, health_id, people
from hie_server.store.access import Access
from hie_server.store.database import Store
from hie_server.store.repository import Repository

PROFILES = Path(__file__).parent / "profiles"
SCOPE = "system/*.cruds"
CLIENTS = ("district-hospital", "referral-hospital", "clinic", "loader")


def load(settings: Settings, data_dir: Path) -> dict[str, Any]:
    """What demo.json says; loaded on first use, later only `base` is kept up to date."""
    path = data_dir / "demo.json"
    if path.exists():
        told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    else:
        store = open_store(settings)
        with store.client:
            told = _make(store)
    told["base"] = settings.fhir_base
    told["token_endpoint"] = f"{settings.base_url}/oauth/token"
    _write(path, told)
    return told


def _write(path: Path, told: dict[str, Any]) -> None:
    """Last of all and by rename: a demo.json is whole, or not there."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(told, file, indent=2, ensure_ascii=False)
    fresh.rename(path)


def _make(store: Store) -> dict[str, Any]:
    data = parse((PROFILES / "demo.json").read_bytes())
    organizations = {
        name: facilities.add(store, facility["name"], facility.get("number"))
        for name, facility in data["facilities"].items()
    }
    for professional in data["professionals"]:
        _professional(store, professional, organizations)
    citizens = [_citizen(store, each) for each in data["citizens"]]
    people.link(store, citizens[0]["patient"], organizations["district-hospital"])
    known = {
        "citizen": citizens[0]["patient"],
        **{name.replace("-", "_"): each for name, each in organizations.items()},
    }
    records = dict(_records(store, data["records"], organizations, known))
    return {
        "base": "",
        "token_endpoint": "",
        "clients": {name: _client(store, name, organizations[name]) for name in CLIENTS},
        "citizens": citizens,
        "records": records,
    }


def _client(store: Store, name: str, organization: str) -> dict[str, str]:
    client, secret = clients.register(
        store, name=name, facilities=[organization], scope=SCOPE, purposes=["TREAT"]
    )
    return {
        "client_id": client.client_id,
        "client_secret": str(secret),
        "organization": organization,
    }


def _citizen(store: Store, told: dict[str, Any]) -> dict[str, Any]:
    patient, number = enrolment.enrol(store, told["demographics"])
    return {
        "name": told["demographics"]["name"][0]["text"],
        "patient": patient,
        "health_id": number,
        "abha_address": f"{number}@hie",
        "password": None,
    }


def _professional(store: Store, told: dict[str, Any], organizations: dict[str, str]) -> None:
    directory = facilities.directory(store)
    also = [by_exchange(store)]
    resource = {"resourceType": "Practitioner", **told["practitioner"]}
    practitioner = directory.create(resource, also)
    role = {
        "resourceType": "PractitionerRole",
        "active": True,
        "practitioner": {"reference": practitioner.reference},
        "organization": {"reference": organizations[told["facility"]]},
        "code": [{"text": told["role"]}],
    }
    directory.create(role, also)


def _records(
    store: Store, told: list[dict[str, Any]], organizations: dict[str, str], known: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Each record may name those before it: "{citizen}", "{encounter}" …"""
    for each in told:
        resource = _filled(each["resource"], known)
        repository = Repository(store, Access(custodian=organizations[each["facility"]]))
        known[each["name"]] = repository.create(resource, [by_exchange(store)]).reference
        yield each["name"], known[each["name"]]


def _filled(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, known) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, known) for each in value]
    if isinstance(value, str) and value.startswith("{") and value.endswith("}"):
        return known[value[1:-1]]
    return value


def shown(told: dict[str, Any]) -> str:
    """What to try, as commands to paste."""
    citizen, hidden = told["citizens"][0], told["records"]["lab_report"]
    return f"""
The demo: {citizen["name"]} (health ID {health_id.shown(citizen["health_id"])}) was treated at
the district hospital. demo.json, in the data folder, holds the clients and records. To try:

  TOKEN=$(hie token --client {told["clients"]["district-hospital"]["client_id"]})
  curl -H "Authorization: Bearer $TOKEN" {told["base"]}/{hidden}

The same with the referral hospital's client finds nothing, until the citizen consents.
"""
