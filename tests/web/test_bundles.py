"""Batch and transaction at the base: all or nothing, each entry by its own right."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import g
from pymongo.errors import OperationFailure

from hie_server.web import bundles
from hie_server.web import entries as entry_views
from hie_server.web import journaling, transacting
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
    monkeypatch.setattr(transacting, "_turns", threading.BoundedSemaphore(1))
    monkeypatch.setattr(transacting, "WAIT_SECONDS", 0)
    entries = [entry("POST", "Observation", observation())] * transacting.LARGE
    large = bundle("transaction", *entries)
    with transacting._turns:
        answer = api.post("", large)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert api.post("", large).status_code == 200


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize("wrong", [{}, 5, None, "x"])
def test_entries_that_are_no_array_refuse_the_whole(api: Api, kind: str, wrong: Any) -> None:
    answer = api.post("", {"resourceType": "Bundle", "type": kind, "entry": wrong})
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        1,
        "x",
        [],
        {"request": 5},
        {"request": {"method": 5, "url": "Patient"}},
        {"request": {"method": "GET", "url": 5}},
        entry("DELETE", "Patient/1", request={"ifMatch": 5}),
        entry("POST", "Patient", patient(), request={"ifNoneExist": 5}),
        entry("POST", "Patient", patient(), request={"ifNoneExist": "identifier=1"}),
        entry("POST", "Patient", patient(), request={"ifNoneExist": ""}),
        entry("GET", "Patient", fullUrl=5),
        entry("GET", "Patient?identifier=" + "a," * 2000),
    ],
)
def test_a_bad_entry_of_a_batch_is_its_own_answer(api: Api, wrong: Any) -> None:
    answer = api.post("", bundle("batch", wrong, entry("POST", "Patient", patient())))
    assert statuses(answer) == ["400", "201"]


@pytest.mark.parametrize("condition", ["_summary=count", "_count=0", "identifier=1&_sort=_id"])
def test_a_condition_is_made_of_search_parameters_alone(api: Api, condition: str) -> None:
    once = entry("POST", "Patient", patient(), request={"ifNoneExist": condition})
    assert api.post("", bundle("transaction", once)).status_code == 400
    assert body_of(api.get("Patient?_total=accurate"))["total"] == 0


def test_a_fault_in_one_entry_is_told_and_not_said(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("Satyendra")

    monkeypatch.setattr(entry_views.fhir, "search_by", fail)
    answer = api.post("", bundle("batch", entry("GET", "Patient"), entry("GET", "Patient/1")))
    assert statuses(answer) == ["500", "404"]
    assert "Satyendra" not in caplog.text + answer.text


def test_an_entry_that_fails_leaves_the_record_of_the_whole(district: District) -> None:
    def fail() -> Any:
        raise OperationFailure("no")

    with district.app.test_request_context("/fhir"):
        g.record = whole = journaling.Record("1")
        with pytest.raises(OperationFailure):
            entry_views.apart(fail)
        assert g.record is whole


def test_of_many_at_once_with_the_same_condition_one_creates(api: Api) -> None:
    answers: list[Any] = []

    def post(condition: str) -> None:
        once = entry("POST", "Patient", known("7"), request={"ifNoneExist": condition})
        answers.append(api.post("", bundle("transaction", once)))

    condition = f"identifier={SYSTEM}|7"
    spellings = [condition, f"?{condition}"] * 4
    threads = [threading.Thread(target=post, args=(each,)) for each in spellings]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(statuses(each)[0] for each in answers) == ["200"] * 7 + ["201"]
    assert body_of(api.get("Patient?_total=accurate"))["total"] == 1


@pytest.mark.parametrize("limit", ["BATCH_SECONDS", "MOST_ANSWERED"])
def test_a_batch_that_takes_too_much_goes_no_further(
    api: Api, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(bundles, limit, -1 if limit == "BATCH_SECONDS" else 1)
    entries = [entry("POST", "Patient", patient())] * 3
    answer = statuses(api.post("", bundle("batch", *entries)))
    assert answer == (["503"] * 3 if limit == "BATCH_SECONDS" else ["201", "503", "503"])
    stored = answer.count("201")
    assert body_of(api.get("Patient?_total=accurate"))["total"] == stored
