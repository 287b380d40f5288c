"""Resources and Bundles to load."""

from __future__ import annotations

from tests.support import observation

NPI = "http://hl7.org/fhir/sid/us-npi"


def patient(identity="p1", **more):
    return {"resourceType": "Patient", "id": identity, **more}


def practitioner(identity="d1", number="77"):
    identifier = [{"system": NPI, "value": number}]
    return {"resourceType": "Practitioner", "id": identity, "identifier": identifier}


def seen(reference="Patient/p1", identity="o1", **more):
    return observation(reference, id=identity, **more)


def by(reference):
    return {"performer": [{"reference": reference}]}


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(resource, url=None, method="POST", **more):
    target = resource["resourceType"]
    target = f"{target}/{resource['id']}" if method == "PUT" else target
    full_url = {"fullUrl": url} if url else {}
    request = {"method": method, "url": target, **more}
    return {**full_url, "resource": resource, "request": request}


def reasons(report):
    return [reason.rpartition("(")[2].rstrip(")") for reason in report.refusals]


def document():
    composition = {
        "resourceType": "Composition",
        "id": "c1",
        "status": "final",
        "type": {"text": "note"},
        "subject": {"reference": "Patient/p1"},
        "date": "2024-01-01",
        "author": [{"reference": "Practitioner/d1"}],
        "title": "Note",
    }
    found = bundle(
        "document",
        {"fullUrl": "Composition/c1", "resource": composition},
        {"fullUrl": "Patient/p1", "resource": patient()},
    )
    return {
        **found,
        "id": "b1",
        "identifier": {"system": "urn:x", "value": "1"},
        "timestamp": "2024-01-01T00:00:00Z",
    }
