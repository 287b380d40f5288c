"""Resources for the two worlds: what one stay in a hospital leaves behind."""

from __future__ import annotations

import uuid
from typing import Any

Json = dict[str, Any]
HL7 = "http://terminology.hl7.org/CodeSystem/"
LOINC, SNOMED, UNITS = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
TYPES = "http://hl7.org/fhir/resource-types"
CONTENT = "ZGlzY2hhcmdlZA=="


def ref(kind: str, name: str) -> str:
    """The same id in every run, of the form that the exchange itself gives."""
    return f"{kind}/{uuid.uuid5(uuid.NAMESPACE_URL, f'urn:two-worlds:{kind}:{name}')}"


def to(reference: str) -> Json:
    return {"reference": reference}


def resource(kind: str, name: str, /, **elements: Any) -> Json:
    identity = ref(kind, name).partition("/")[2]
    return {"resourceType": kind, "id": identity, **elements}


def concept(code: str, system: str = LOINC, display: str = "A finding") -> Json:
    coding = {"system": system, "code": code, "display": display}
    return {"coding": [coding], "text": display}


def label(code: str) -> Json:
    return {"security": [{"system": f"{HL7}v3-Confidentiality", "code": code}]}


def observation(name: str, patient: str, rank: str = "N", /, **elements: Any) -> Json:
    quantity = {"value": 7, "unit": "%", "system": UNITS, "code": "%"}
    told = {
        "meta": {**label(rank), "profile": ["https://example.org/profile/lab"]},
        "status": "final",
        "category": [concept("laboratory", f"{HL7}observation-category", "Laboratory")],
        "code": concept("4548-4", display="Haemoglobin A1c"),
        "subject": to(patient),
        "effectiveDateTime": "2025-03-05T10:00:00+05:30",
        "valueQuantity": quantity,
    }
    return resource("Observation", name, **{**told, **elements})


SURGEON = to(ref("Practitioner", "surgeon"))
DIABETES = concept("73211009", SNOMED, "Diabetes mellitus")


def citizen(name: str, family: str, born: str) -> Json:
    identifier = {"system": "https://healthid.example.org", "value": f"91-{name}"}
    text = f"{name} {family}"
    return resource(
        "Patient", name.casefold(), identifier=[identifier], gender="female", birthDate=born,
        active=True, name=[{"text": text, "family": family, "given": [name]}],
        telecom=[{"system": "phone", "value": f"+91 98{len(text)}00000"}],
    )


def local(name: str, told: str, at: str) -> Json:
    number = [{"system": f"https://{at}.example.org/mrn", "value": f"MRN-{at}-{told}"}]
    return resource("Patient", name, identifier=number, name=[{"text": told, "family": told}],
                    gender="female", managingOrganization=to(ref("Organization", at)))


def consent(name: str, patient: str, kind: str, facility: str, **provision: Any) -> Json:
    role = {"coding": [{"system": f"{HL7}v3-ParticipationType", "code": "IRCP"}]}
    policy = "OPTIN" if kind == "permit" else "OPTOUT"
    return resource(
        "Consent", name, status=provision.pop("status", "active"), patient=to(patient),
        scope={"coding": [{"system": f"{HL7}consentscope", "code": "patient-privacy"}]},
        category=[concept("59284-0")], dateTime="2026-01-01",
        policyRule={"coding": [{"system": f"{HL7}v3-ActCode", "code": policy}]},
        provision={
            "type": kind,
            "actor": [{"role": role, "reference": to(facility)}],
            "purpose": [{"system": f"{HL7}v3-ActReason", "code": "TREAT"}],
            **provision,
        },
    )


def document(name: str, patient: str) -> Json:
    composition = resource(
        "Composition", name, status="final", type=concept("18842-5", display="Discharge summary"),
        subject=to(patient), date="2025-03-06T09:00:00Z", title="Discharge summary",
        author=[SURGEON],
    )
    entries = [composition, observation(f"{name} inner", patient)]
    return resource(
        "Bundle", name, type="document", timestamp="2025-03-06T09:00:00Z",
        identifier={"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{uuid.UUID(int=7)}"},
        entry=[{"fullUrl": f"urn:uuid:{each['id']}", "resource": each} for each in entries],
    )


def life(name: str, patient: str) -> list[Json]:
    """A stay in hospital, and everything that was written of it."""
    subject, day = {"subject": to(patient)}, "2025-03-05"
    whole = {"start": day, "end": "2025-03-07"}
    return [
        *_findings(name, patient, subject, day),
        *_treatment(name, subject, day, whole),
        *_papers(name, subject, day),
        *_plans(name, patient, subject, day, whole),
        *_others(name, patient, day, whole),
    ]


def _findings(name: str, patient: str, subject: Json, day: str) -> list[Json]:
    active = concept("active", f"{HL7}condition-clinical", "Active")
    pressure = {"code": concept("8480-6"), "valueQuantity": {"value": 140, "unit": "mm[Hg]"}}
    return [
        observation(name, patient, encounter=to(ref("Encounter", name)), performer=[SURGEON]),
        observation(f"{name} pressure", patient, effectiveDateTime=day, component=[pressure]),
        resource("Condition", name, code=DIABETES, **subject, onsetDateTime=day,
                 clinicalStatus=active, encounter=to(ref("Encounter", name)), meta=label("V")),
        resource("AllergyIntolerance", name, patient=to(patient), recordedDate=day,
                 code=concept("7980", display="Penicillin"), clinicalStatus=active),
        resource("RiskAssessment", name, status="final", **subject, occurrenceDateTime=day,
                 prediction=[{"probabilityDecimal": 1}]),
        resource("Specimen", name, **subject, type=concept("119297000", SNOMED, "Blood"),
                 collection={"collectedDateTime": day}),
    ]


def _treatment(name: str, subject: Json, day: str, whole: Json) -> list[Json]:
    tagged = {"source": "urn:ward:7", "tag": [{"system": "urn:tags", "code": "ward"}]}
    vaccine = concept("207", "http://hl7.org/fhir/sid/cvx")
    return [
        resource("Encounter", name, status="finished", period=whole, **subject, meta=tagged,
                 **{"class": {"system": f"{HL7}v3-ActCode", "code": "IMP"}}),
        resource("Medication", name, code=concept("860975", display="Metformin")),
        resource("MedicationRequest", name, status="active", intent="order", **subject,
                 medicationReference=to(ref("Medication", name)), authoredOn=day,
                 requester=SURGEON),
        resource("Procedure", name, status="completed", code=DIABETES, **subject,
                 performedPeriod=whole, performer=[{"actor": SURGEON}]),
        resource("Immunization", name, status="completed", patient=subject["subject"],
                 lotNumber="L-7", vaccineCode=vaccine, occurrenceDateTime=day),
    ]


def _papers(name: str, subject: Json, day: str) -> list[Json]:
    paper = ref("Binary", name)
    attached = {"contentType": "text/plain", "url": paper, "title": "Summary"}
    return [
        resource("DiagnosticReport", name, status="final", code=concept("24323-8"), **subject,
                 effectiveDateTime=day, result=[to(ref("Observation", name))],
                 presentedForm=[attached]),
        resource("DocumentReference", name, status="current", type=concept("18842-5"), **subject,
                 date=f"{day}T10:00:00Z", content=[{"attachment": attached}],
                 masterIdentifier={"system": "urn:documents", "value": f"doc-{name}"}),
        document(name, subject["subject"]["reference"]),
        resource("Binary", name, contentType="text/plain", data=CONTENT),
        resource("Composition", name, status="final", type=concept("18842-5"), **subject,
                 date=day, title="Summary", author=[SURGEON]),
        resource("QuestionnaireResponse", name, status="completed", **subject, authored=day,
                 questionnaire="https://example.org/Questionnaire/intake|1"),
    ]


def _plans(name: str, patient: str, subject: Json, day: str, whole: Json) -> list[Json]:
    return [
        resource("CarePlan", name, status="active", intent="plan", period=whole, **subject),
        resource("ServiceRequest", name, status="active", intent="order", **subject,
                 code=concept("24323-8"), authoredOn=day, requester=SURGEON,
                 requisition={"system": "urn:requisitions", "value": f"req-{name}"}),
        resource("Appointment", name, status="booked", start=f"{day}T08:00:00Z",
                 end=f"{day}T09:00:00Z",
                 participant=[{"actor": to(patient), "status": "accepted"}]),
        resource("List", name, status="current", mode="working", **subject, date=day,
                 title="Problems", entry=[{"item": to(ref("Condition", name))}]),
        resource("Task", name, status="ready", intent="order", **{"for": to(patient)},
                 focus=to(ref("ServiceRequest", name)), authoredOn=day),
    ]


def _others(name: str, patient: str, day: str, whole: Json) -> list[Json]:
    return [
        resource("RelatedPerson", name, patient=to(patient), gender="male",
                 name=[{"family": "Devi", "given": ["Ravi"]}]),
        resource("Provenance", name, target=[to(patient), to(ref("Observation", name))],
                 agent=[{"who": SURGEON}], recorded=f"{day}T10:00:00Z"),
        resource("Coverage", name, status="active", beneficiary=to(patient), period=whole,
                 payor=[to(ref("Organization", "1"))], subscriberId=f"sub-{name}"),
        resource("Device", name, patient=to(patient), url="https://devices.example.org/7",
                 type=concept("468063009", SNOMED, "Pump")),
    ]
