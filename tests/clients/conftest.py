"""A running exchange, as the clients' users have it: an address, a client's id and its secret."""

from __future__ import annotations

import base64
import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator
from urllib.parse import urlencode

import pytest

from hie_server.authz.clients import register
from hie_server.config import Settings
from hie_server.identity import enrolment, facilities, people
from tests.conftest import MakeStore
from tests.support import SYSTEM, Json
from tests.web.serving import serve


@dataclass(frozen=True)
class Exchange:
    """`token`: had by client_credentials, for a facility to which `patient` is linked."""

    base: str
    token: str
    patient: str

    def get(self, path: str) -> Json:
        """What is really there, asked without any client's help."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return _json(urllib.request.Request(f"{self.base}/fhir/{path}", headers=headers))


@pytest.fixture
def exchange(settings: Settings, make_store: MakeStore, tmp_path: Path) -> Iterator[Exchange]:
    store = make_store()
    facility = facilities.add(store, "Sadar Hospital")
    patient, _ = enrolment.enrol(store, {"name": [{"text": "Satyendra Kumar"}], "gender": "male"})
    people.link(store, patient, facility)
    client, secret = register(store, name="Ward", scope=SYSTEM, facilities=[facility])
    with serve(settings, tmp_path / "log") as serving:
        base = f"http://127.0.0.1:{serving.port}"
        yield Exchange(base, _token(base, f"{client.client_id}:{secret}"), patient)


def _token(base: str, pair: str) -> str:
    asked = urllib.request.Request(
        f"{base}/oauth/token",
        urlencode({"grant_type": "client_credentials", "scope": SYSTEM}).encode(),
        {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"},
    )
    return str(_json(asked)["access_token"])


def _json(asked: urllib.request.Request) -> Any:
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return json.load(answer)
