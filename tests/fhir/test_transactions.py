"""Entries of an incoming Bundle; the flow is tested in tests/web/test_bundles.py."""

from __future__ import annotations

from typing import Any

import pytest

from hie_server.fhir.outcomes import FhirError
from hie_server.fhir.transactions import (
    conditional_references,
    read_entry,
    resolved,
    unresolved,
)

BASE = "https://hie.example/fhir"
PLACE = "Bundle.entry[0]"


def request(method: str, url: str, **more: Any) -> dict[str, Any]:
    return {"request": {"method": method, "url": url, **more.pop("request", {})}, **more}


@pytest.mark.parametrize(
    ("url", "kind", "identity", "rest", "query"),
    [
        ("Patient", "Patient", "", "", ""),
        ("/Patient/1", "Patient", "1", "", ""),
        (f"{BASE}/Patient/1/_history/2", "Patient", "1", "_history/2", ""),
        ("Patient?name=a&x=b", "Patient", "", "", "name=a&x=b"),
    ],
)
def test_a_url_is_relative_or_by_our_base(
    url: str, kind: str, identity: str, rest: str, query: str
) -> None:
    found = read_entry(request("GET", url), PLACE, BASE)
    assert (found.kind, found.identity, found.rest, found.query) == (kind, identity, rest, query)


@pytest.mark.parametrize(
    ("entry", "at"),
    [
        ({}, "request"),
        ({"request": {"method": "GET"}}, "request"),
        (request("PATCH", "Patient/1"), "request.method"),
        (request("GET", "Nonsense/1"), "request.url"),
        (request("GET", "Patient/a_b"), "request.url"),
        (request("POST", "Patient/1"), "request.url"),
        (request("PUT", "Patient"), "request.url"),
        (request("DELETE", "Patient"), "request.url"),
        (request("PUT", "Patient?name=a"), "request.url"),
        (request("POST", "Patient"), "resource"),
        (request("POST", "Patient", resource={"resourceType": "Group"}), "resource"),
        (request("PUT", "Patient/1", resource={"resourceType": "Patient"}), "resource.id"),
        (request("DELETE", "Patient/1", request={"ifMatch": "1"}), "request.ifMatch"),
    ],
)
def test_what_is_wrong_with_an_entry_is_named(entry: dict[str, Any], at: str) -> None:
    with pytest.raises(FhirError) as refused:
        read_entry(entry, PLACE, BASE)
    assert refused.value.status == 400
    assert refused.value.issues[0].expression == f"{PLACE}.{at}"


def test_references_are_resolved_where_they_are_links_and_nowhere_else() -> None:
    mean = {"urn:uuid:1": "Patient/7"}
    resource = {
        "subject": {"reference": "urn:uuid:1", "display": "urn:uuid:1"},
        "content": [{"attachment": {"url": "urn:uuid:1"}}],
        "note": [{"text": "urn:uuid:1"}],
        "focus": [{"reference": "urn:uuid:2"}],
    }
    assert resolved(resource, mean.get) == {
        "subject": {"reference": "Patient/7", "display": "urn:uuid:1"},
        "content": [{"attachment": {"url": "Patient/7"}}],
        "note": [{"text": "urn:uuid:1"}],
        "focus": [{"reference": "urn:uuid:2"}],
    }


def test_conditional_references_are_told_from_others() -> None:
    resource = {
        "performer": [{"reference": "Practitioner?identifier=s|1"}, {"reference": "Patient/1"}],
        "subject": {"reference": "Nonsense?identifier=1"},
        "note": "Patient?identifier=1",
    }
    text = "Practitioner?identifier=s|1"
    assert list(conditional_references(resource)) == [(text, "Practitioner", "identifier=s|1")]
    assert unresolved(text, 0).issues[0].code == "not-found"
    assert unresolved(text, 2).issues[0].code == "multiple-matches"
