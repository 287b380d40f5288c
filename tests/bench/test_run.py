"""`hie bench` on real processes: every row has its figures, and nothing is left of a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hie_server.bench import command, rows
from hie_server.bench.run import Plan, run
from hie_server.bench.table import as_text
from hie_server.config import ConfigError

ROOT = Path(__file__).parents[2]
PATIENTS, EACH = 3, 21
GONE_SECONDS = 5.0
FIGURES = ("rate", "p50", "p95", "p99", "answers")


def gone(pid: str) -> bool:
    """Soon: the kernel ends what outlived its parent."""
    deadline = time.monotonic() + GONE_SECONDS
    while Path("/proc", pid).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not Path("/proc", pid).exists()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HIE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three patients and enough observations of each to fill a page."""
    made: list[dict[str, Any]] = []
    for number in range(PATIENTS):
        made.append({"resourceType": "Patient", "id": f"p{number}"})
        made += [
            {
                "resourceType": "Observation",
                "status": "final",
                "category": [{"coding": [{"code": f"{each % 2}"}]}],
                "code": {"coding": [{"code": f"{each}"}]},
                "subject": {"reference": f"Patient/p{number}"},
            }
            for each in range(EACH)
        ]
    (tmp_path / "records.ndjson").write_text("\n".join(map(json.dumps, made)))
    return tmp_path / "records.ndjson"


def test_every_row_has_figures_beside_its_floor(data: Path, tmp_path: Path):
    plan = Plan((data,), resources=70, scale=150, seconds=0.1, mixed=1, connections=(1, 2))
    told = json.loads(json.dumps(run(plan)))
    order = [
        rows.FLOOR, rows.READ, rows.BY_CONSENT, rows.SEARCH, rows.CREATE, rows.INSERTS,
        rows.TRANSACTION,
    ]
    assert [(each["row"], each["connections"]) for each in told["rows"]] == [
        (name, connections) for connections in (1, 2) for name in order
    ]
    for each in told["rows"]:
        assert all(each[name] > 0 for name in FIGURES) and each["not_served"] is None
        assert each["wrong"] == 0 and (each["ratio"] is None) == (each["row"] in order[0::5])
    assert [(e["row"], e["connections"], e["resources"], e["wrong"]) for e in told["scale"]] == [
        (name, connections, [70, 150], 0)
        for connections in (1, 2)
        for name in (rows.READ, rows.SEARCH, rows.BROAD, rows.NEVER, rows.HIDDEN)
    ]
    assert [each["resources"] for each in told["about"]["loads"]] == [70, 80]
    assert sum(line.startswith(rows.FLOOR) for line in as_text(told)) == 2
    mixed = told["mixed"]
    assert 0 < mixed["rate"] < mixed["capacity"] and mixed["wrong"] == 0 and mixed["spread"] >= 1
    assert all(value > 10 for pair in mixed["memory"].values() for value in pair)
    assert any(line.startswith("mixed, ") for line in as_text(told))


def test_data_without_a_patient_is_refused(tmp_path: Path):
    (tmp_path / "none.json").write_text('{"resourceType": "Organization", "name": "A"}')
    with pytest.raises(ConfigError, match="Patients"):
        run(Plan((tmp_path,)))


def test_ctrl_c_leaves_nothing(tmp_path: Path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    running = subprocess.Popen(
        [sys.executable, "-m", "hie_server.cli", "bench", "--seconds", "0.5"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    with running:
        assert running.stderr is not None and "resources" in running.stderr.readline()
        made = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        running.send_signal(signal.SIGINT)
        running.stderr.read()
        assert running.wait() == 1 and len(made) >= 4
    assert all(gone(pid) for pid in made)
    assert list(tmp_path.glob("hie-bench-*")) == []


def test_json_goes_to_its_file_and_the_table_to_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    told = {
        "about": {
            "resources": 1, "data": "", "workers": 1, "threads": 1, "seconds": 1.0, "loads": []
        },
        "rows": [],
        "scale": [],
    }
    monkeypatch.setattr(command, "run", lambda plan, say: told)
    before = signal.getsignal(signal.SIGTERM)
    try:
        result = CliRunner().invoke(command.bench, ["--json", str(tmp_path / "table.json")])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert json.loads((tmp_path / "table.json").read_text()) == told
    assert "1 resources" in result.stdout
