"""Vermonster's fhir-kit-client of npm against a running exchange: fhir_kit_client.mjs.

.ci/run installs what package.json names, and says in HIE_TEST_NODE_MODULES where.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import Exchange

SCRIPT = Path(__file__).parent / "fhir_kit_client.mjs"
MODULES = os.environ.get("HIE_TEST_NODE_MODULES", "")


@pytest.mark.skipif(not MODULES, reason="HIE_TEST_NODE_MODULES names no npm packages (.ci/run)")
def test_creates_reads_updates_pages_and_transacts(exchange: Exchange) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "BASE": exchange.base,
        "TOKEN": exchange.token,
        "PATIENT": exchange.patient,
        "MODULES": MODULES,
    }
    done = subprocess.run(
        ["node", SCRIPT], env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    there = exchange.get(f"Observation/{told['created']['id']}")
    assert told["read"] == told["created"] and told["updated"] == there
    assert (there["valueString"], there["meta"]["versionId"]) == ("second", "2")
    assert told["stale"] == 412
    assert {each["response"]["status"][:3] for each in told["transaction"]["entry"]} == {"201"}
    assert [len(page) for page in told["pages"]] == [2, 2, 1]
    assert sorted(sum(told["pages"], [])) == ["a", "b", "c", "d", "second"]
    assert told["tokenUrl"] == f"{exchange.base}/oauth/token"
