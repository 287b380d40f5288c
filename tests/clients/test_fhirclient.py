"""SMART's fhirclient of PyPI against a running exchange.

https://github.com/smart-on-fhir/client-py
"""

from __future__ import annotations

from typing import Iterator

import pytest
from fhirclient import client
from fhirclient.models.bundle import Bundle
from fhirclient.models.observation import Observation
from fhirclient.server import FHIRNotFoundException, FHIRServer

from tests.clients.conftest import Exchange
from tests.support import Json, observation


@pytest.fixture
def server(exchange: Exchange) -> Iterator[FHIRServer]:
    """It finds the token endpoint in /metadata; the token is one of client_credentials."""
    smart = client.FHIRClient({"app_id": "ward", "api_base": f"{exchange.base}/fhir"})
    smart.server.get_capability()
    assert smart.server.auth.auth_type == "oauth2"
    assert smart.server.auth._token_uri == f"{exchange.base}/oauth/token"
    smart.server.auth.access_token = exchange.token
    yield smart.server
    smart.server.session.close()


def measured(exchange: Exchange, value: str) -> Json:
    return observation(exchange.patient, valueString=value)


def test_creates_reads_updates_and_deletes(server: FHIRServer, exchange: Exchange) -> None:
    created = Observation(measured(exchange, "first")).create(server)
    there = exchange.get(f"Observation/{created['id']}")
    assert there["valueString"] == "first" and there == created
    found = Observation.read(created["id"], server)
    found.valueString = "second"
    assert found.update(server)["meta"]["versionId"] == "2"
    assert exchange.get(f"Observation/{found.id}")["valueString"] == "second"
    found.delete()
    with pytest.raises(FHIRNotFoundException):
        Observation.read("no-such", server)


def test_searches_through_all_pages(server: FHIRServer, exchange: Exchange) -> None:
    for number in range(7):
        Observation(measured(exchange, f"{number}")).create(server)
    search = Observation.where({"patient": exchange.patient, "_count": "3", "_total": "accurate"})
    pages = list(search.perform_iter(server))
    assert [(page.total, len(page.entry)) for page in pages] == [(7, 3), (7, 3), (7, 1)]
    assert sorted(each.valueString for each in search.perform_resources_iter(server)) == [
        f"{number}" for number in range(7)
    ]


def test_posts_a_transaction(server: FHIRServer, exchange: Exchange) -> None:
    entries = [
        {
            "resource": measured(exchange, value),
            "request": {"method": "POST", "url": "Observation"},
        }
        for value in ("one", "two")
    ]
    sent = Bundle({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    answer = Bundle(server.post_json("", sent.as_json()).json())
    assert [each.response.status[:3] for each in answer.entry] == ["201", "201"]
    places = [each.response.location.partition("/_history")[0] for each in answer.entry]
    told = [exchange.get(place.partition("/fhir/")[2])["valueString"] for place in places]
    assert told == ["one", "two"]
