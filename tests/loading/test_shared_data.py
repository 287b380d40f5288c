"""The Synthea and NRCeS records that HIE_TEST_DATA names: all of them in, and nothing twice."""

import os
from pathlib import Path

import pytest

from hie_server.loading.run import UNRESOLVED

DATA = os.environ.get("HIE_TEST_DATA", "")


def test_all_is_loaded_but_five_observations_and_a_second_run_adds_nothing(ward):
    if not DATA:
        pytest.skip("HIE_TEST_DATA names no folder with real records")
    ward.folder = Path(DATA)
    report = ward.load()
    assert report.total == {"new": 10_181, "unchanged": 4, "refused": 5}
    counts = {kind: report.counts[kind]["new"] for kind in ("Patient", "Bundle", "Observation")}
    assert counts == {"Patient": 28, "Bundle": 5, "Observation": 1_447}
    ((reason, refused),) = report.refusals.items()
    assert reason.startswith("Observation.performer.reference: ") and refused.count == 5
    assert UNRESOLVED not in report.warnings
    before = ward.sizes()
    assert ward.load().total == {"unchanged": 10_185, "refused": 5}
    assert ward.sizes() == before
