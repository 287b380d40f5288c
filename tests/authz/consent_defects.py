"""Each way in which a Consent can't be understood, as data: a value set somewhere in a good one."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from tests.authz.consent_json import (
    ACT_CODE,
    ACT_REASON,
    ACTION,
    CONFIDENTIALITY,
    PARTICIPATION,
    SCOPE,
    Json,
)

ABSENT = object()
MODIFIER = [{"url": "https://example.org/not", "valueBoolean": True}]
UNKNOWN = {
    "extension": [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
            "valueCode": "unknown",
        }
    ]
}
LOINC = "http://loinc.org"


class Defect(NamedTuple):
    """`path` is dotted, with indexes; `element` is what the issue must name, without them."""

    situation: str
    path: str
    value: Any
    element: str

    def spoil(self, consent: Json) -> Json:
        """The consent, changed in place; what the path needs on its way is made."""
        keys: list[Any] = [int(key) if key.isdigit() else key for key in self.path.split(".")]
        *way, last = keys
        node: Any = consent
        for key, following in zip(way, [*way[1:], last]):
            node = child(node, key, [] if isinstance(following, int) else {})
        if self.value is ABSENT:
            node.pop(last, None)
        elif isinstance(node, list):
            node[last:] = [copy.deepcopy(self.value)]
        else:
            node[last] = copy.deepcopy(self.value)
        return consent


def child(node: Any, key: Any, default: Any) -> Any:
    if isinstance(node, dict):
        return node.setdefault(key, default)
    if key >= len(node):
        node.append(default)
    return node[key]


def coding(system: str, code: str) -> Json:
    return {"system": system, "code": code}


def actor(role: str, reference: str) -> Json:
    role_concept = {"coding": [coding(PARTICIPATION, role)]}
    return {"role": role_concept, "reference": {"reference": reference}}


def good() -> Json:
    """A permit that says something in every part, with an exception."""
    return {
        "resourceType": "Consent",
        "id": "c",
        "meta": {"versionId": "3"},
        "status": "active",
        "scope": {"coding": [coding(SCOPE, "patient-privacy")]},
        "patient": {"reference": "Patient/me"},
        "policyRule": {"coding": [coding(ACT_CODE, "OPTIN")]},
        "provision": {
            "type": "permit",
            "period": {"start": "2024-01-01", "end": "2024-12"},
            "actor": [actor("IRCP", "Organization/b"), actor("CST", "Organization/a")],
            "action": [{"coding": [coding(ACTION, "access")]}],
            "securityLabel": [coding(CONFIDENTIALITY, "R"), coding(ACT_CODE, "HIV")],
            "purpose": [coding(ACT_REASON, "TREAT")],
            "class": [coding(LOINC, "718-7")],
            "code": [{"coding": [coding(LOINC, "718-7")]}],
            "dataPeriod": {"start": "2020", "end": "2024-03-10T10:00:00Z"},
            "data": [{"meaning": "related", "reference": {"reference": "Encounter/1"}}],
            "provision": [{"type": "deny", "class": [coding(LOINC, "55277-8")]}],
        },
    }


P = "provision."
N = "provision.provision.0."
DEFECTS = tuple(
    Defect(*row)
    for row in (
        ("scope of research", "scope.coding.0.code", "research", "scope"),
        ("scope of another system", "scope.coding.0.system", "https://x.example", "scope"),
        ("no scope", "scope", ABSENT, "scope"),
        ("scope in words", "scope", {"text": "privacy"}, "scope"),
        ("modifier on the consent", "modifierExtension", MODIFIER, "modifierExtension"),
        ("modifier on the provision", P + "modifierExtension", MODIFIER, "modifierExtension"),
        ("modifier on an actor", P + "actor.0.modifierExtension", MODIFIER, "modifierExtension"),
        ("modifier on data", P + "data.0.modifierExtension", MODIFIER, "modifierExtension"),
        ("modifier on the exception", N + "modifierExtension", MODIFIER, "modifierExtension"),
        ("modifier on a verification", "verification.0.modifierExtension", MODIFIER,
         "modifierExtension"),
        ("implicit rules", "implicitRules", "https://x.example/rules", "implicitRules"),
        ("opt-in that denies", P + "type", "deny", "provision.type"),
        ("opt-out that permits", "policyRule.coding.0.code", "OPTOUT", "provision.type"),
        ("type unknown", P + "type", "maybe", "provision.type"),
        ("opt-in and opt-out", "policyRule.coding.1", coding(ACT_CODE, "OPTOUT"),
         "provision.type"),
        ("two levels of exceptions", N + "provision", [{"type": "permit"}],
         "provision.provision.provision"),
        ("exception without type", N + "type", ABSENT, "provision.provision.type"),
        ("exception of its parent's type", N + "type", "permit", "provision.provision.type"),
        ("exception of unknown type", N + "type", "maybe", "provision.provision.type"),
        ("permit without actor", P + "actor", ABSENT, "provision.actor"),
        ("permit with a holder alone", P + "actor", [actor("CST", "Organization/a")],
         "provision.actor"),
        ("permit without purpose", P + "purpose", ABSENT, "provision.purpose"),
        ("role unknown", P + "actor.0.role.coding.0.code", "AUT", "provision.actor"),
        ("role of another system", P + "actor.0.role.coding.0.system", "https://x.example",
         "provision.actor"),
        ("role in words", P + "actor.0.role", {"text": "recipient"}, "provision.actor"),
        ("role unknown in the exception", N + "actor", [actor("AUT", "Organization/b")],
         "provision.provision.actor"),
        ("recipient of another type", P + "actor.0.reference.reference", "Device/d",
         "provision.actor"),
        ("recipient contained", P + "actor.0.reference.reference", "#b", "provision.actor"),
        ("recipient by urn", P + "actor.0.reference.reference",
         "urn:uuid:7c1f0a2e-5b3d-4f6a-9c8b-0d1e2f3a4b5c", "provision.actor"),
        ("recipient by identifier", P + "actor.0.reference", {"identifier": {"value": "b"}},
         "provision.actor"),
        ("recipient in words", P + "actor.0.reference", {"display": "Hospital B"},
         "provision.actor"),
        ("holder a practitioner", P + "actor.1", actor("CST", "Practitioner/p"),
         "provision.actor"),
        ("holder contained", P + "actor.1", actor("CST", "#a"), "provision.actor"),
        ("purpose of another system", P + "purpose.0.system", "https://x.example",
         "provision.purpose"),
        ("purpose without system", P + "purpose.0.system", ABSENT, "provision.purpose"),
        ("purpose without code", P + "purpose.0.code", ABSENT, "provision.purpose"),
        ("exception's purpose of another system", N + "purpose", [coding("https://x", "TREAT")],
         "provision.provision.purpose"),
        ("action of another system", P + "action.0.coding.0.system", "https://x.example",
         "provision.action"),
        ("action unknown", P + "action.0.coding.0.code", "destroy", "provision.action"),
        ("action in words", P + "action.0", {"text": "access"}, "provision.action"),
        ("label of another system", P + "securityLabel.0.system", "https://x.example",
         "provision.securityLabel"),
        ("confidentiality unknown", P + "securityLabel.0", coding(CONFIDENTIALITY, "X"),
         "provision.securityLabel"),
        ("label without code", P + "securityLabel.0", {"system": ACT_CODE},
         "provision.securityLabel"),
        ("class of another system", P + "class.0.system", "https://x.example",
         "provision.class"),
        ("class without system", P + "class.0.system", ABSENT, "provision.class"),
        ("class without code", P + "class.0.code", ABSENT, "provision.class"),
        ("exception's class of another system", N + "class.0.system", "https://x.example",
         "provision.provision.class"),
        ("code without system", P + "code.0.coding.0.system", ABSENT, "provision.code"),
        ("code without code", P + "code.0.coding.0.code", ABSENT, "provision.code"),
        ("one coding of two without code", P + "code.0.coding.1", {"system": LOINC},
         "provision.code"),
        ("code in words", P + "code.0", {"text": "haemoglobin"}, "provision.code"),
        ("data meaning unknown", P + "data.0.meaning", "mentions", "provision.data"),
        ("data without meaning", P + "data.0.meaning", ABSENT, "provision.data"),
        ("data contained", P + "data.0.reference.reference", "#e", "provision.data"),
        ("data in words", P + "data.0.reference", {"display": "the stay"}, "provision.data"),
        ("period in words", P + "period.end", "tomorrow", "provision.period"),
        ("period on no day there is", P + "period.end", "2024-02-30", "provision.period"),
        ("instant without zone", P + "period.end", "2024-12-01T10:00:00", "provision.period"),
        ("instant without seconds", P + "period.end", "2024-12-01T10:00Z", "provision.period"),
        ("period that ends before it begins", P + "period",
         {"start": "2024-05-02", "end": "2024-05-01"}, "provision.period"),
        ("period that ends in the month before", P + "period",
         {"start": "2024-05-01", "end": "2024-04"}, "provision.period"),
        ("period without ends", P + "period", UNKNOWN, "provision.period"),
        ("data period in words", P + "dataPeriod.start", "long ago", "provision.dataPeriod"),
        ("data period that ends before it begins", P + "dataPeriod",
         {"start": "2024", "end": "2023"}, "provision.dataPeriod"),
        ("exception's period in words", N + "period", {"end": "soon"},
         "provision.provision.period"),
    )
)  # fmt: skip
