"""The records that the exchange is measured with, as many as wanted.

A few are read from files (NDJSON, Bundles, resources) or made here; they are then copied again and
again, each copy under new ids, with the references among them following. Number n of this endless
row is the same in every process.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Iterator

from hie_server.fhir.outcomes import FhirError
from hie_server.fhir.resources import parse
from hie_server.fhir.validator import validate

Json = dict[str, Any]
Named = tuple[list[str], Json]
MADE_PATIENTS = 25
MADE_OBSERVATIONS = 30
LOINC = "http://loinc.org"
UNITS = "http://unitsofmeasure.org"
PATIENT_ELEMENTS = ("subject", "patient", "beneficiary")
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


@dataclass(frozen=True)
class Records:
    """The originals in order, each with the names it is referred to by; `names`: name → number;
    `refused`: how many more were read that aren't valid R4."""

    named: tuple[Named, ...]
    names: dict[str, int]
    refused: int = 0

    def __len__(self) -> int:
        return len(self.named)

    def kind(self, number: int) -> str:
        return str(self.named[number % len(self)][1]["resourceType"])

    def reference(self, number: int) -> str:
        """"Type/id" of record `number`."""
        return f"{self.kind(number)}/{_identity(*divmod(number, len(self)))}"

    def record(self, number: int) -> Json:
        copy, original = divmod(number, len(self))
        resource = _Renamed(self, copy).of(self.named[original][1])
        return {**resource, "id": _identity(copy, original)}

    def by_patient(self) -> dict[int, dict[str, list[int]]]:
        """Original Patient → type → the originals that name this patient."""
        found: dict[int, dict[str, list[int]]] = {}
        for number, (_, resource) in enumerate(self.named):
            patient = self.names.get(_patient(resource) or "")
            if patient is not None and self.kind(patient) == "Patient":
                kinds = found.setdefault(patient, {})
                kinds.setdefault(self.kind(number), []).append(number)
        return found


@dataclass(frozen=True)
class _Renamed:
    records: Records
    copy: int

    def of(self, value: Any) -> Any:
        if type(value) is dict:
            return {
                name: self.name(each) if name == "reference" else self.of(each)
                for name, each in value.items()
            }
        return [self.of(each) for each in value] if type(value) is list else value

    def name(self, value: Any) -> Any:
        number = self.records.names.get(value) if type(value) is str else None
        if number is None:
            return self.of(value)
        return self.records.reference(self.copy * len(self.records) + number)


def _identity(copy: int, original: int) -> str:
    digest = blake2b(f"{copy}/{original}".encode(), digest_size=16).digest()
    return str(uuid.UUID(bytes=digest, version=4))


@cache
def records(data: tuple[Path, ...]) -> Records:
    """Of these files and folders; made here where none is named."""
    read = _joined(list(_read(data) if data else _made()))
    valid = [each for n, each in enumerate(read.named) if _is_valid(read.record(n))]
    return replace(_joined(valid), refused=len(read.named) - len(valid))


def _joined(named: list[Named]) -> Records:
    names = {name: number for number, (own, _) in enumerate(named) for name in own}
    return Records(tuple(named), names)


def _is_valid(resource: Json) -> bool:
    return all(each.severity != "error" for each in validate(resource))


def _patient(resource: Json) -> str | None:
    """The Patient that it names, by whatever name."""
    if resource["resourceType"] == "Patient":
        return None
    targets = (resource.get(element) for element in PATIENT_ELEMENTS)
    named = (each.get("reference") for each in targets if isinstance(each, dict))
    return next((each for each in named if isinstance(each, str)), None)


def _read(data: tuple[Path, ...]) -> Iterator[Named]:
    for path in data:
        for file in sorted(path.rglob("*json")) if path.is_dir() else [path]:
            lines = file.read_bytes().splitlines() if file.suffix == ".ndjson" else None
            for body in lines or [file.read_bytes()]:
                yield from _resources(body)


def _resources(body: bytes) -> Iterator[Named]:
    """A document is one resource, any other Bundle its entries; what isn't FHIR is skipped."""
    try:
        resource = parse(body)
    except FhirError:
        return
    if resource.get("resourceType") == "Bundle" and resource.get("type") != "document":
        for entry in resource.get("entry", ()):
            if isinstance(entry.get("resource"), dict):
                yield from _named(entry["resource"], entry.get("fullUrl"))
    else:
        yield from _named(resource, None)


def _named(resource: Json, full_url: Any) -> Iterator[Named]:
    kind, identity = resource.get("resourceType"), resource.get("id")
    if isinstance(kind, str):
        names = [f"{kind}/{identity}", full_url] if full_url else [f"{kind}/{identity}"]
        yield names + list(_conditional(kind, resource.get("identifier"))), resource


def _conditional(kind: str, identifiers: Any) -> Iterator[str]:
    """https://hl7.org/fhir/R4/http.html#trules: a conditional reference."""
    for each in identifiers if isinstance(identifiers, list) else ():
        yield f"{kind}?identifier={each.get('system', '')}|{each.get('value')}"


def _made() -> Iterator[Named]:
    """Patients with an encounter and a series of measurements each; ids as in a file."""
    for number in range(MADE_PATIENTS):
        patient, encounter = f"Patient/p{number}", f"Encounter/e{number}"
        yield [patient], _made_patient(number)
        yield [encounter], {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {
                "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"
            },
            "subject": {"reference": patient},
            "period": {"start": "2026-01-05T09:00:00+05:30", "end": "2026-01-05T09:40:00+05:30"},
        }
        for day in range(MADE_OBSERVATIONS):
            yield [], _made_observation(patient, encounter, number, day)


def _made_patient(number: int) -> Json:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:example:mrn", "value": f"MRN-{number:06d}"}],
        "name": [{"use": "official", "family": f"Kumar{number}", "given": ["Satyendra", "Nath"]}],
        "telecom": [{"system": "phone", "value": f"+91 90000 {number:05d}", "use": "mobile"}],
        "gender": ("male", "female")[number % 2],
        "birthDate": f"{1950 + number}-03-{1 + number % 28:02d}",
        "address": [{"line": ["Ward 7"], "city": "Chapra", "state": "Bihar", "country": "IN"}],
    }


def _made_observation(patient: str, encounter: str, number: int, day: int) -> Json:
    """A weight, of about 1.2 KB."""
    return {
        "resourceType": "Observation",
        "identifier": [{"system": "urn:example:measurement", "value": f"{number}-{day}"}],
        "status": "final",
        "category": [{"coding": [
            {"system": CATEGORY, "code": "vital-signs", "display": "Vital Signs"}
        ]}],
        "code": {**_loinc("29463-7", "Body weight"), "text": "Weight"},
        "subject": {"reference": patient},
        "encounter": {"reference": encounter},
        "effectiveDateTime": f"2026-01-{1 + day % 28:02d}T09:{day % 60:02d}:00+05:30",
        "issued": f"2026-01-{1 + day % 28:02d}T10:00:00.000+05:30",
        "valueQuantity": {
            "value": 50 + (number + day) % 40, "unit": "kg", "system": UNITS, "code": "kg"
        },
        "interpretation": [{"text": "as expected for this patient"}],
        "note": [{"text": "Measured in light clothes, without shoes, in the morning. " * 6}],
    }


def _loinc(code: str, name: str) -> Json:
    return {"coding": [{"system": LOINC, "code": code, "display": name}]}
