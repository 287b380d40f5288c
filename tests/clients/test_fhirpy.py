"""Beda's fhirpy of PyPI against a running exchange. https://github.com/beda-software/fhir-py"""

from __future__ import annotations

import pytest
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound

from tests.clients.conftest import Exchange
from tests.support import Json, observation


@pytest.fixture
def client(exchange: Exchange) -> SyncFHIRClient:
    return SyncFHIRClient(f"{exchange.base}/fhir", authorization=f"Bearer {exchange.token}")


def measured(exchange: Exchange, value: str) -> Json:
    made = observation(exchange.patient, valueString=value)
    del made["resourceType"]
    return made


def test_creates_reads_updates_and_deletes(client: SyncFHIRClient, exchange: Exchange) -> None:
    made = client.resource("Observation", **measured(exchange, "first"))
    made.save()
    assert exchange.get(f"Observation/{made.id}")["valueString"] == "first"
    found = client.reference("Observation", made.id).to_resource()
    found["valueString"] = "second"
    found.save()
    assert exchange.get(f"Observation/{made.id}")["meta"]["versionId"] == "2"
    found.delete()
    with pytest.raises(ResourceNotFound):
        client.reference("Observation", made.id).to_resource()


def test_what_is_wrong_is_told_by_its_outcome(client: SyncFHIRClient, exchange: Exchange) -> None:
    wrong = client.resource("Observation", status="no-such", code={"text": "x"})
    with pytest.raises(OperationOutcome) as refused:
        wrong.save()
    assert "status" in str(refused.value)


def test_searches_through_all_pages(client: SyncFHIRClient, exchange: Exchange) -> None:
    for number in range(7):
        client.resource("Observation", **measured(exchange, f"{number}")).save()
    search = client.resources("Observation").search(patient=exchange.patient).limit(3)
    assert sorted(each["valueString"] for each in search.fetch_all()) == [
        f"{number}" for number in range(7)
    ]
    assert len(search.fetch()) == 3
    assert client.resources("Observation").search(code="no-such").first() is None


def test_counts_where_leniency_passes_over_what_is_its_own(exchange: Exchange) -> None:
    """It sends `_totalMethod`, which no FHIR names."""
    client = SyncFHIRClient(
        f"{exchange.base}/fhir",
        authorization=f"Bearer {exchange.token}",
        extra_headers={"Prefer": "handling=lenient"},
    )
    client.resource("Observation", **measured(exchange, "one")).save()
    assert client.resources("Observation").search(patient=exchange.patient).count() == 1


def test_posts_a_transaction(client: SyncFHIRClient, exchange: Exchange) -> None:
    entries = [
        {
            "resource": observation(exchange.patient, valueString=value),
            "request": {"method": "POST", "url": "/Observation"},
        }
        for value in ("one", "two")
    ]
    bundle = client.resource("Bundle", type="transaction", entry=entries)
    bundle.save()
    found = client.resources("Observation").search(patient=exchange.patient).fetch_all()
    assert sorted(each["valueString"] for each in found) == ["one", "two"]
