"""A small district to test with: facilities, citizens, their clients, and resources to store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterator

from flask import Flask
from werkzeug.test import TestResponse

from hie_server import create_app
from hie_server.audit.journal import Viewer
from hie_server.authz import scopes, tokens
from hie_server.authz.tokens import Caller
from hie_server.config import Settings
from hie_server.fhir.resources import dump, parse
from hie_server.identity import enrolment, facilities, people
from hie_server.store.database import Store
from hie_server.web.exchange import Exchange

TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
LOINC = "http://loinc.org"
FHIR_JSON = "application/fhir+json"
SYSTEM = "system/*.cruds"
Json = dict[str, Any]


@dataclass
class Api:
    """FHIR's REST API as one token sees it; a path goes after /fhir/."""

    app: Flask
    token: str
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, method: str, path: str, body: Json | bytes | None = None, **more: Any
    ) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}", **self.headers}
        headers |= more.pop("headers", {})
        if body is not None:
            more["data"] = body if isinstance(body, bytes) else dump(body)
            more.setdefault("content_type", FHIR_JSON)
        return self.app.test_client().open(f"/fhir/{path}", method=method, headers=headers, **more)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self("GET", path, **more)

    def post(self, kind: str, body: Json | bytes, **more: Any) -> TestResponse:
        return self("POST", kind, body, **more)

    def put(self, path: str, body: Json | bytes, **more: Any) -> TestResponse:
        return self("PUT", path, body, **more)

    def delete(self, path: str, **more: Any) -> TestResponse:
        return self("DELETE", path, **more)

    def store(self, resource: Json) -> str:
        """"Type/id" of the resource, just created."""
        answer = self.post(resource["resourceType"], resource)
        assert answer.status_code == 201, answer.text
        return f"{resource['resourceType']}/{body_of(answer)['id']}"


@dataclass
class District:
    """One exchange and those who use it."""

    app: Flask

    @property
    def exchange(self) -> Exchange:
        found: Exchange = self.app.extensions["hie"]
        return found

    @property
    def records(self) -> Store:
        return self.exchange.store

    def facility(self, name: str = "Sadar Hospital") -> str:
        return facilities.add(self.records, name)

    def citizen(self, linked_to: str | None = None, name: str = "Satyendra Kumar") -> str:
        patient, _ = enrolment.enrol(self.records, {"name": [{"text": name}], "gender": "male"})
        if linked_to is not None:
            people.link(self.records, patient, linked_to)
        return patient

    def caller(self, reference: str, scope: str | None = None, purpose: str = "TREAT") -> Caller:
        token = self.token(reference, scope, purpose)
        return tokens.caller(self.records, f"Bearer {token}")

    def token(self, reference: str, scope: str | None = None, purpose: str = "TREAT") -> str:
        """Of a facility, or of a citizen where the reference is a Patient's."""
        is_citizen = reference.startswith("Patient/")
        return tokens.issue(
            self.records,
            client_id="phone" if is_citizen else f"of-{reference.rpartition('/')[2]}",
            facility=None if is_citizen else reference,
            citizen=reference if is_citizen else None,
            scope=scopes.parse(scope or ("patient/*.cruds" if is_citizen else SYSTEM)),
            purpose="PATRQT" if is_citizen else purpose,
            seconds=300,
        )

    def api(self, reference: str, scope: str | None = None, purpose: str = "TREAT") -> Api:
        return Api(self.app, self.token(reference, scope, purpose))

    def journal(self) -> list[Json]:
        """Every entry as an AuditEvent, the oldest first, explained refusals among them."""
        self.exchange.refusals.settle()
        rows = self.records.db.journal.find().sort([("updated", 1), ("_id", 1)])
        return [self.exchange.journal.shown(row, Viewer()) for row in rows]


def open_district(settings: Settings, **pinned: Any) -> Iterator[District]:
    app = create_app(settings, **pinned)
    yield District(app)
    exchange: Exchange = app.extensions["hie"]
    exchange.refusals.settle()
    exchange.store.client.close()


def body_of(answer: TestResponse) -> Json:
    return parse(answer.data)


def ids(answer: TestResponse) -> list[str]:
    """"Type/id" of a searchset's entries, in their order."""
    entries = body_of(answer).get("entry", [])
    return [f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in entries]


def observation(patient: str | None = None, code: str = "4548-4", **more: Any) -> Json:
    subject = {"subject": {"reference": patient}} if patient else {}
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        **subject,
        **more,
    }


def concept(system: str, code: str) -> Json:
    return {"coding": [{"system": f"{TERMINOLOGY}{system}", "code": code}]}


def consent(patient: str, actor: str, kind: str = "permit", **provision: Any) -> Json:
    """Kind `permit` or `deny`, for treatment, to (or from) this facility."""
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": concept("consentscope", "patient-privacy"),
        "category": [{"coding": [{"system": LOINC, "code": "59284-0"}]}],
        "patient": {"reference": patient},
        "policyRule": concept("v3-ActCode", "OPTIN" if kind == "permit" else "OPTOUT"),
        "provision": {
            "type": kind,
            "actor": [
                {"role": concept("v3-ParticipationType", "IRCP"), "reference": {"reference": actor}}
            ],
            "purpose": [{"system": f"{TERMINOLOGY}v3-ActReason", "code": "TREAT"}],
            **provision,
        },
    }
