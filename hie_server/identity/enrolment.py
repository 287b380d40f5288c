"""Enrolment: a citizen's own Patient, in their own custody, with their health ID."""

from __future__ import annotations

from typing import Any

from fhir.resources.R4B.patient import Patient
from pymongo.errors import DuplicateKeyError

from hie_server.audit.journal import by_exchange
from hie_server.fhir.outcomes import unprocessable
from hie_server.fhir.resources import parse
from hie_server.fhir.validator import validate
from hie_server.identity import health_id, people
from hie_server.store.access import Access
from hie_server.store.database import Store
from hie_server.store.repository import Repository, new_id


def enrol(store: Store, demographics: dict[str, Any]) -> tuple[str, str]:
    """("Patient/…", health ID) of a new citizen; `demographics`: Patient's name, gender, …"""
    identity = new_id(store)
    reference = f"Patient/{identity}"
    repository = Repository(store, Access(custodian=reference))
    while True:
        number = health_id.make(store.random)
        resource = _patient(demographics, number)
        try:
            repository.create(
                resource,
                [
                    lambda session, _: people.add(store, reference, number, session),
                    by_exchange(store),
                ],
                identity=identity,
            )
            return reference, number
        except DuplicateKeyError:
            continue


def _patient(demographics: dict[str, Any], number: str) -> dict[str, Any]:
    identifier = {
        "type": {"coding": [{"system": health_id.TYPE_SYSTEM, "code": "HIN"}]},
        "system": health_id.SYSTEM,
        "value": health_id.shown(number),
    }
    told = {"active": True, "identifier": [identifier], **demographics}
    patient = Patient.model_validate(told)
    resource = {"resourceType": "Patient", **parse(patient.model_dump_json().encode())}
    errors = [each for each in validate(resource) if each.severity == "error"]
    if errors:
        raise unprocessable(errors)
    return resource
