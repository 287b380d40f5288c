"""What is logged of a request, and that nothing of its contents is."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any, Iterator

import pytest

from hie_server.config import Settings
from hie_server.web import logs
from tests.conftest import MakeStore
from tests.support import Api, District, body_of, observation, open_district
from tests.web.serving import serve

PLANT = "Satyendra-9876543210"
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Lines(logging.Handler):
    """What would be on stderr in production, and in development."""

    def __init__(self) -> None:
        super().__init__()
        self.json: list[dict[str, Any]] = []
        self.readable: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.json.append(json.loads(logs.Json().format(record)))
        self.readable.append(logs.Readable().format(record))

    def text(self) -> str:
        return json.dumps(self.json) + "\n".join(self.readable)


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, root = Lines(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


def test_a_request_is_one_line_with_who_and_which_route(
    district: District, hospital: str, api: Api, lines: Lines
) -> None:
    answer = api.get("Observation/a1b2", headers={"X-Request-Id": TRACE})
    (line,) = lines.json
    assert line["logger"] == "hie.access" and line["level"] == "INFO"
    assert line["time"].endswith("Z") and 0 < line["ms"] < 10_000
    assert (line["method"], line["route"]) == ("GET", "/fhir/<kind>/<identity>")
    assert (line["status"], line["bytes"]) == (404, len(answer.data))
    assert (line["facility"], line["request"]) == (hospital, TRACE)
    assert line["client"] == f"of-{hospital.rpartition('/')[2]}"


def test_probes_and_scrapes_are_not_logged(district: District, lines: Lines) -> None:
    for path in ("/health/live", "/health/ready", "/metrics"):
        assert district.app.test_client().get(path).status_code == 200
    assert lines.json == []


def test_nothing_that_a_request_holds_is_logged(
    district: District, hospital: str, api: Api, lines: Lines
) -> None:
    citizen = district.citizen(hospital)
    phone = district.api(citizen)
    named = observation(citizen, note=[{"text": PLANT}])
    planted = {"X-Request-Id": PLANT, "User-Agent": PLANT, "If-None-Match": PLANT}
    assert api.post("Observation", named, headers=planted).status_code == 201
    for path in (f"Patient?name={PLANT}", f"{PLANT}/{PLANT}", f"Observation?{PLANT}={PLANT}"):
        api.get(path, headers=planted)
    api.post("Observation", f'{{"resourceType": "{PLANT}"'.encode())
    api.put(f"Observation/{PLANT}", {**named, "id": PLANT})
    phone.get(citizen)
    client = district.app.test_client()
    client.get(f"/{PLANT}", headers={"Authorization": f"Bearer {PLANT}"})
    client.post("/oauth/token", data={"client_id": PLANT, "client_secret": PLANT})
    assert len(lines.json) >= 8
    for secret in (PLANT, api.token, phone.token, citizen.partition("/")[2], "127.0.0.1"):
        assert secret not in lines.text()


def test_of_a_fault_its_place_is_logged_and_not_its_text(
    district: District, hospital: str, lines: Lines
) -> None:
    def fail() -> str:
        raise ValueError(PLANT)

    district.app.add_url_rule("/fhir/Broken", view_func=fail)
    assert district.api(hospital).get("Broken").status_code == 500
    (told,) = [line for line in lines.json if line["level"] == "ERROR"]
    assert "ValueError at test_logs.py:" in told["message"]
    assert PLANT not in lines.text()


def test_a_fault_while_journaling_gives_no_answer_and_is_logged_without_its_text(
    district: District, hospital: str, lines: Lines
) -> None:
    api = district.api(hospital)
    reference = api.store(observation(note=[{"text": PLANT}]))

    def fail(*measured: object) -> None:
        raise ValueError(PLANT)

    district.exchange.journal.watch = fail
    answer = api.get(reference)
    assert answer.status_code == 500 and PLANT not in answer.text
    assert body_of(answer)["resourceType"] == "OperationOutcome"
    assert sum("ValueError at" in line["message"] for line in lines.json) == 1
    assert PLANT not in lines.text()


def test_exceptions_that_others_log_lose_their_text(lines: Lines) -> None:
    try:
        raise KeyError(PLANT)
    except KeyError:
        logging.getLogger("some.library").exception("It failed")
    assert "KeyError at test_logs.py:" in lines.json[0]["error"]
    assert lines.json[0]["message"] == "It failed"
    assert PLANT not in lines.text()


def test_what_ends_a_thread_is_logged_without_its_text(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    logs.tell_thread_faults()

    def fail() -> None:
        raise RuntimeError(PLANT)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert "RuntimeError at" in lines.json[0]["error"]
    assert PLANT not in lines.text()


def test_a_message_of_several_lines_stays_one(lines: Lines) -> None:
    logging.getLogger("hie.web").warning("one\ntwo")
    assert "\n" not in lines.readable[0] and lines.readable[0].endswith("one\\ntwo")


def test_each_worker_logs_in_json_and_debugging_tells_nothing_of_other_libraries(
    settings: Settings, make_store: MakeStore, tmp_path: Path
) -> None:
    make_store()
    district = next(open_district(settings))
    token = district.token(district.facility())
    district.records.client.close()
    headers = {"Authorization": f"Bearer {token}", "X-Request-Id": TRACE}
    headers["Content-Type"] = "application/fhir+json"
    body = json.dumps(observation(note=[{"text": PLANT}]))
    with serve(settings, tmp_path / "log", HIE_LOG_LEVEL="DEBUG") as serving:
        for _ in range(10):
            assert serving.ask("POST", "/fhir/Observation", body, headers)[0] == 201
            assert serving.get(f"/fhir/Patient?identifier={PLANT}", headers)[0] == 200
    text = (tmp_path / "log").read_text()
    told = [json.loads(line) for line in text.splitlines()]
    assert len([line for line in told if line["logger"] == "hie.access"]) == 20
    assert {line["logger"].partition(".")[0] for line in told} <= {"hie", "hie_server", "_granian"}
    assert PLANT not in text and token not in text


def test_less_is_logged_where_the_level_says_so(
    settings: Settings, make_store: MakeStore, tmp_path: Path
) -> None:
    make_store()
    quiet = {"HIE_LOG_LEVEL": "WARNING", "HIE_ENVIRONMENT": "development"}
    with serve(settings, tmp_path / "log", **quiet) as serving:
        assert serving.get("/fhir/Observation")[0] == 401
    assert (tmp_path / "log").read_text() == ""
