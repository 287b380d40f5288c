"""Batch and transaction at the base: all or nothing, each entry by its own right."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from hie_server.web import bundles
from tests.support import Api, District, Json, body_of, observation

SYSTEM = "https://example.org/mrn"


def patient() -> Json:
    return {"resourceType": "Patient", "name": [{"text": "Asha"}]}


def entry(method: str, url: str, resource: Json | None = None, **more: Any) -> Json:
    request = {"method": method, "url": url, **more.pop("request", {})}
    return {**more, **({"resource": resource} if resource else {}), "request": request}


def bundle(kind: str, *entries: Json) -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def known(value: str) -> Json:
    return {**patient(), "identifier": [{"system": SYSTEM, "value": value}]}


def statuses(answer: Any) -> list[str]:
    return [each["response"]["status"][:3] for each in body_of(answer)["entry"]]


def test_a_transaction_resolves_what_its_entries_say_of_each_other(api: Api) -> None:
    answer = api.post(
        "",
        bundle(
            "transaction",
            entry("POST", "Observation", observation("urn:uuid:1"), fullUrl="urn:uuid:2"),
            entry("POST", "Patient", known("7"), fullUrl="urn:uuid:1"),
        ),
    )
    assert answer.status_code == 200 and statuses(answer) == ["201", "201"]
    first, second = (each["response"]["location"] for each in body_of(answer)["entry"])
    stored = body_of(api.get(first.partition("/fhir/")[2].partition("/_history")[0]))
    assert stored["subject"]["reference"] in second
    assert [each["response"]["etag"] for each in body_of(answer)["entry"]] == ['W/"1"'] * 2


def test_deletions_come_first_and_reads_last(api: Api) -> None:
    gone = api.store(observation())
    answer = api.post(
        "",
        bundle(
            "transaction",
            entry("GET", gone),
            entry("GET", "Patient?_total=accurate"),
            entry("POST", "Patient", known("7")),
            entry("DELETE", gone),
        ),
    )
    assert statuses(answer) == ["410", "200", "201", "204"]
    assert body_of(answer)["entry"][1]["resource"]["total"] == 1


def test_one_stale_version_undoes_the_whole(api: Api) -> None:
    reference = api.store(observation())
    changed = {**observation(), "id": reference.partition("/")[2], "status": "amended"}
    stale = entry("PUT", reference, changed, request={"ifMatch": 'W/"9"'})
    answer = api.post("", bundle("transaction", entry("POST", "Patient", known("7")), stale))
    assert answer.status_code == 412
    assert body_of(api.get("Patient?_total=accurate"))["total"] == 0
    fresh = entry("PUT", reference, changed, request={"ifMatch": 'W/"1"'})
    assert statuses(api.post("", bundle("transaction", fresh))) == ["200"]
    assert body_of(api.get(reference))["status"] == "amended"


def test_an_invalid_entry_refuses_the_transaction_and_is_named(api: Api) -> None:
    wrong = {**observation(), "status": "perhaps"}
    entries = entry("POST", "Patient", known("7")), entry("POST", "Observation", wrong)
    answer = api.post("", bundle("transaction", *entries))
    assert answer.status_code == 422
    paths = [each["expression"] for each in body_of(answer)["issue"]]
    assert ["Bundle.entry[1].resource.status"] in paths
    assert body_of(api.get("Patient?_total=accurate"))["total"] == 0


def test_a_transaction_and_its_journal_entry_are_one(
    api: Api, district: District, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OperationFailure("no")

    monkeypatch.setattr(district.exchange.journal, "append_with", fail)
    answer = api.post("", bundle("transaction", entry("POST", "Patient", known("7"))))
    assert answer.status_code == 503
    monkeypatch.undo()
    assert body_of(api.get("Patient?_total=accurate"))["total"] == 0


def test_a_conditional_reference_means_one_of_ones_own(api: Api, district: District) -> None:
    mine = api.store(known("7"))
    district.api(district.facility("Another")).store(known("8"))
    for value, status in (("7", 200), ("8", 422), ("none", 422)):
        about = observation(f"Patient?identifier={SYSTEM}|{value}")
        answer = api.post("", bundle("transaction", entry("POST", "Observation", about)))
        assert answer.status_code == status
    found = body_of(api.get("Observation"))["entry"]
    assert [each["resource"]["subject"]["reference"] for each in found] == [mine]


def test_if_none_exist_creates_what_there_isnt(api: Api) -> None:
    once = entry(
        "POST", "Patient", known("7"), request={"ifNoneExist": f"identifier={SYSTEM}|7"}
    )
    assert [statuses(api.post("", bundle("transaction", once))) for _ in range(2)] == [
        ["201"],
        ["200"],
    ]
    assert body_of(api.get("Patient?_total=accurate"))["total"] == 1


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"resourceType": "Patient"}, 422),
        (bundle("collection"), 400),
        (bundle("batch", *[entry("GET", "Patient")] * 1001), 413),
        (bundle("transaction", entry("GET", "Nonsense")), 400),
        (bundle("transaction", entry("DELETE", "Patient?identifier=7")), 400),
        (bundle("transaction", entry("POST", "Patient", observation())), 400),
        (bundle("transaction", entry("PUT", "Patient/1", {**patient(), "id": "2"})), 400),
        (
            bundle("transaction", *[entry("POST", "Patient", patient(), fullUrl="urn:uuid:1")] * 2),
            422,
        ),
        (bundle("transaction", *[entry("DELETE", "Patient/1")] * 2), 400),
        (bundle("transaction", entry("DELETE", "Patient/1")), 405),
    ],
)
def test_what_cant_be_carried_out_is_said_clearly(api: Api, wrong: Json, status: int) -> None:
    answer = api.post("", wrong)
    assert answer.status_code == status
    assert body_of(answer)["resourceType"] == "OperationOutcome"


def test_each_entry_of_a_batch_stands_alone(api: Api, district: District) -> None:
    hidden = district.api(district.facility("Another")).store(observation())
    wrong = {**observation(), "status": "perhaps"}
    answer = api.post(
        "",
        bundle(
            "batch",
            entry("POST", "Observation", wrong),
            entry("GET", hidden),
            entry("GET", "Observation/00000000-0000-4000-8000-000000000001"),
            entry("POST", "Observation", observation()),
            entry("GET", "Observation?_total=accurate"),
            {"request": {"method": "PATCH", "url": "Observation/1"}},
            entry("PUT", hidden, {**observation(), "id": hidden.partition("/")[2]}),
        ),
    )
    assert statuses(answer) == ["422", "404", "404", "201", "200", "400", "405"]
    entries = body_of(answer)["entry"]
    assert entries[1] == entries[2]
    assert entries[4]["resource"]["total"] == 1


def test_an_entry_needs_its_own_scope(district: District, hospital: str) -> None:
    narrow = district.api(hospital, scope="system/Observation.c")
    entries = entry("POST", "Observation", observation()), entry("POST", "Patient", patient())
    assert statuses(narrow.post("", bundle("batch", *entries))) == ["201", "403"]
    assert narrow.post("", bundle("transaction", *entries)).status_code == 403


def test_who_waits_too_long_for_a_large_transaction_is_told_to_try_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "_turns", threading.BoundedSemaphore(1))
    monkeypatch.setattr(bundles, "WAIT_SECONDS", 0)
    large = bundle("transaction", *[entry("POST", "Observation", observation())] * bundles.LARGE)
    with bundles._turns:
        answer = api.post("", large)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert api.post("", large).status_code == 200
