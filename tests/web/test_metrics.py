"""/metrics counts by route, of all workers together, for this machine alone."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from hie_server.config import Settings
from hie_server.web.metrics import FOLDER
from tests.conftest import MakeStore
from tests.support import Api, District, observation
from tests.web.serving import Serving, serve
from tests.web.test_server import until

READ = 'route="/fhir/<kind>/<identity>"'


def scrape(district: District) -> str:
    answer = district.app.test_client().get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    return answer.text


def value(text: str, name: str, *labels: str) -> float:
    """The sum of the samples of this name that have these labels."""
    lines = [line for line in text.splitlines() if re.match(rf"{name}[{{ ]", line)]
    found = [line for line in lines if all(each in line for each in labels)]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def test_requests_are_counted_by_route_method_and_class_of_status(
    district: District, api: Api
) -> None:
    reference = api.store(observation())
    api.get(reference)
    api.get("Observation/none-such")
    text = scrape(district)
    get = 'method="GET"'
    assert value(text, "hie_requests_total", READ, get, 'status="2xx"') == 1
    assert value(text, "hie_requests_total", READ, get, 'status="4xx"') == 1
    assert value(text, "hie_requests_total", 'method="POST"', 'status="2xx"') == 1
    assert value(text, "hie_request_seconds_count", READ, get) == 2
    assert 0 < value(text, "hie_request_seconds_sum", READ, get) < 20
    assert value(text, "hie_requests_in_flight") == 1
    assert value(text, "hie_build_info") == 1


def test_commits_of_the_journal_are_counted(district: District, api: Api) -> None:
    before = value(scrape(district), "hie_journal_batch_entries_sum")
    for _ in range(3):
        api.get("Observation")
    text = scrape(district)
    assert value(text, "hie_journal_batch_entries_sum") - before == 3
    assert value(text, "hie_journal_commit_seconds_count") >= 1
    assert value(text, "hie_journal_failures_total") == 0


def test_refused_tokens_are_counted(district: District) -> None:
    client = district.app.test_client()
    for _ in range(2):
        client.get("/fhir/Observation", headers={"Authorization": "Bearer wrong"})
    assert value(scrape(district), "hie_requests_refused_total") == 2


def test_nothing_of_a_request_is_among_the_labels(district: District, api: Api) -> None:
    client = district.app.test_client()
    client.get("/Satyendra/Kumar?name=Satyendra")
    client.open("/fhir/Patient/Satyendra", method="SATYENDRA")
    api.get("Satyendra/Satyendra?name=Satyendra", headers={"X-Request-Id": "Satyendra"})
    text = scrape(district)
    assert "satyendra" not in text.lower() and api.token not in text
    assert value(text, "hie_requests_total", 'route="none"', 'status="4xx"') == 2
    assert value(text, "hie_requests_total", 'method="other"') == 1


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::1", "", "10.0.0.1"])
def test_elsewhere_there_is_no_such_page(district: District, address: str) -> None:
    client = district.app.test_client()
    place = {"REMOTE_ADDR": address}
    answer = client.get("/metrics", environ_overrides=place)
    absent = client.get("/no-such-page", environ_overrides=place)
    assert (answer.status_code, answer.data) == (404, absent.data)


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_through_a_proxy_there_is_no_such_page(district: District, header: str) -> None:
    answer = district.app.test_client().get("/metrics", headers={header: "127.0.0.1"})
    assert answer.status_code == 404


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_any_loopback_address_is_this_machine(district: District, address: str) -> None:
    client = district.app.test_client()
    assert client.get("/metrics", environ_overrides={"REMOTE_ADDR": address}).status_code == 200


def live(serving: Serving) -> float:
    return value(serving.get("/metrics")[1], "hie_requests_total", 'route="/health/live"')


def test_a_worker_that_only_starts_spoils_no_count(
    district: District, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counter_1.db").touch()
    monkeypatch.setenv(FOLDER, str(tmp_path))
    assert scrape(district) == ""


def test_workers_count_together_and_what_a_killed_one_counted_stays(
    settings: Settings, make_store: MakeStore, tmp_path: Path
) -> None:
    make_store()
    temporary = tmp_path / "tmp"
    (temporary / "hie-metrics-999999999-left").mkdir(parents=True)
    with serve(settings, tmp_path / "log", TMPDIR=str(temporary)) as serving:
        for _ in range(40):
            assert serving.get("/health/live")[0] == 200
        assert [live(serving) for _ in range(6)] == [40] * 6
        before = serving.workers()
        os.kill(min(before), signal.SIGKILL)
        assert until(lambda: len(serving.workers() - {min(before)}) == 2)
        assert live(serving) == 40
        assert value(serving.get("/metrics")[1], "hie_requests_in_flight") == 1
        assert len(list(temporary.glob("hie-metrics-*"))) == 1
    assert list(temporary.iterdir()) == []
