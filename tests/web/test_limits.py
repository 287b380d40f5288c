"""What bad input gets: each row of the table, through HTTP, and leaves no trace in the records."""

from __future__ import annotations

import io
from typing import Any

import pytest

from hie_server.fhir.resources import dump
from tests.support import Api, District, Json, body_of, observation

HEAD = b'{"resourceType":"Observation",\n '
DEEP = b'"x":' + b"[" * 65 + b"]" * 65 + b"}"
UNREADABLE = {
    "empty": (b"", 1, 1),
    "blank": (b" \n ", 2, 2),
    "not an object": (b"[1]", 1, 1),
    "cut off": (HEAD + b'"status":', 2, 11),
    "text after its end": (HEAD + b'"status":"final"}\n{}', 3, 1),
    "NaN": (HEAD + b'"x":NaN}', 2, 6),
    "Infinity": (HEAD + b'"x":-Infinity}', 2, 6),
    "a number no double holds": (HEAD + b'"x":1e400}', 2, 6),
    "half a surrogate pair": (HEAD + b'"x":"\\ud800"}', 2, 6),
    "a key twice": (HEAD + b'"a":1,"a":2}', 2, 8),
    "deeper than 64": (HEAD + DEEP, 2, 69),
    "not UTF-8": (HEAD + b'"x":"\xff"}', 2, 7),
    "a byte order mark": (b"\xef\xbb\xbf{}", 1, 1),
    "a raw control character": (HEAD + b'"x":"a\x01b"}', 2, 8),
    "an escaped control character": (HEAD + b'"x":"\\u0000"}', 2, 6),
    "a trailing comma": (HEAD + b'"x":1,}', 2, 8),
}
INVALID: list[tuple[Json, str]] = [
    ({"status": None}, "Observation.status"),
    ({"status": "done"}, "Observation.status"),
    ({"note": []}, "Observation.note"),
    ({"hello": 1}, "Observation.hello"),
    ({"issued": "yesterday"}, "Observation.issued"),
    ({"code": "a text"}, "Observation.code"),
    ({"valueBoolean": "yes"}, "Observation.value"),
    ({"subject": {"reference": "Medication/1"}}, "Observation.subject.reference"),
]
BAD_SEARCHES = [
    ("nonsense=1", "nonsense"),
    ("code:nonsense=1", "nonsense"),
    ("code:=1", "code:"),
    ("code=", "code"),
    ("code=a,,b", "code"),
    ("=1", "name"),
    ("_count=-1", "_count"),
    ("_count=ten", "_count"),
    ("_count=1.5", "_count"),
    ("_count=1&_count=2", "_count"),
    ("_sort=nonsense", "_sort"),
    ("_include=Observation:nonsense", "_include"),
    ("_revinclude=Nonsense:target", "_revinclude"),
    ("_total=maybe", "_total"),
    ("_summary=nonsense", "_summary"),
    ("_id=a/b", "_id"),
    ("date=tomorrow", "date"),
    ("date=2024-13", "date"),
    ("value-quantity=much", "value-quantity"),
    ("code:missing=maybe", "missing"),
    ("patient=Medication/1", "patient"),
    ("code=%00", "control"),
    ("_cursor=nonsense", "_cursor"),
    ("_cursor=%C3%A9", "_cursor"),
    ("_cursor=" + "A" * 200, "_cursor"),
]


@pytest.fixture
def untouched(district: District, api: Api) -> Any:
    """Nothing refused leaves a trace in the records."""
    yield
    assert district.records.db.resources.count_documents({"type": "Observation"}) == 0
    assert district.records.db.history.count_documents({}) == 0


@pytest.mark.parametrize("name", UNREADABLE)
def test_json_that_cant_be_read_is_400_with_line_and_column(
    untouched: None, api: Api, name: str
) -> None:
    body, line, column = UNREADABLE[name]
    answer = api.post("Observation", body)
    assert answer.status_code == 400
    assert f"line {line}, column {column}:" in answer.text
    assert body_of(answer)["issue"][0]["code"] == "structure"


@pytest.mark.parametrize(("change", "expression"), INVALID)
def test_what_is_not_valid_r4_is_422_naming_the_element(
    untouched: None, api: Api, change: Json, expression: str
) -> None:
    body = {name: each for name, each in {**observation(), **change}.items() if each is not None}
    answer = api.post("Observation", body)
    assert answer.status_code == 422
    assert expression in [each["expression"][0] for each in body_of(answer)["issue"]]


def test_every_fault_is_an_issue_of_its_own(untouched: None, api: Api) -> None:
    answer = api.post("Observation", {"resourceType": "Observation", "note": [], "issued": "x"})
    found = {each["expression"][0] for each in body_of(answer)["issue"]}
    assert {f"Observation.{each}" for each in ("status", "code", "note", "issued")} <= found


def test_a_body_of_another_type_or_id_than_the_urls_is_400(api: Api) -> None:
    reference = api.store(observation())
    assert api.post("Condition", observation()).status_code == 400
    assert api.post("Observation", {"status": "final"}).status_code == 400
    assert api.put(reference, observation()).status_code == 400
    assert api.put(reference, {**observation(), "id": "another"}).status_code == 400
    assert api.get(reference).headers["ETag"] == 'W/"1"'


@pytest.mark.parametrize("etag", ['"1"', "1", "*", 'W/"0"', 'W/"1", W/"2"', 'W/"x"', "", "W/1"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_if_match_that_is_no_weak_etag_is_400(api: Api, method: str, etag: str) -> None:
    reference = api.store(observation())
    body = body_of(api.get(reference)) if method == "PUT" else None
    answer = api(method, reference, body, headers={"If-Match": etag})
    assert answer.status_code == 400 and "If-Match" in answer.text


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_stale_if_match_is_412(api: Api, method: str) -> None:
    reference = api.store(observation())
    body = {**body_of(api.get(reference)), "status": "amended"} if method == "PUT" else None
    answer = api(method, reference, body, headers={"If-Match": 'W/"7"'})
    assert answer.status_code == 412 and 'W/"1"' in body_of(answer)["issue"][0]["diagnostics"]
    assert api.get(reference).headers["ETag"] == 'W/"1"'


def test_a_body_over_16_mb_is_413_with_or_without_a_length(untouched: None, api: Api) -> None:
    large = dump(observation(note=[{"text": "a" * 17_000_000}]))
    assert api.post("Observation", large).status_code == 413
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = api(
        "POST",
        "Observation",
        input_stream=io.BytesIO(large),
        content_type="application/fhir+json",
        environ_overrides=chunked,
    )
    assert answer.status_code == 413
    assert body_of(answer)["issue"][0]["code"] == "too-long"


def test_a_chunked_body_under_the_limit_is_read_whole(api: Api) -> None:
    answer = api(
        "POST",
        "Observation",
        input_stream=io.BytesIO(dump(observation(note=[{"text": "a" * 700_000}]))),
        content_type="application/fhir+json",
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == 201


def test_what_is_too_long_to_be_searched_or_stored_is_422(untouched: None, api: Api) -> None:
    names = [{"system": "urn:x", "value": str(n)} for n in range(6_000)]
    notes = [{"text": "a" * 950_000}] * 17
    for body in (observation(identifier=names), observation(note=notes)):
        answer = api.post("Observation", body)
        assert answer.status_code == 422, answer.text[:300]
        assert body_of(answer)["issue"][0]["code"] == "too-long"


def test_long_urls_and_headers_are_refused(api: Api) -> None:
    assert api.get("Observation?code=" + "a," * 4096).status_code == 414
    assert api.get("Observation", headers={"X-Long": "a" * 17_000}).status_code == 431
    form = "code=" + ",".join(["123456789"] * 1_000)
    posted = api("POST", "Observation/_search", form.encode(),
                 content_type="application/x-www-form-urlencoded")
    assert posted.status_code == 200


@pytest.mark.parametrize("taken", ["text/plain", "application/fhir+xml", "application/x-json", ""])
def test_a_media_type_that_is_not_taken_is_415(untouched: None, api: Api, taken: str) -> None:
    assert api("POST", "Observation", b"{}", content_type=taken).status_code == 415
    if taken:
        assert api("POST", "Observation/_search", b"a", content_type=taken).status_code == 415


@pytest.mark.parametrize(
    ("accept", "format", "status"),
    [
        ("application/fhir+xml", None, 406),
        ("text/html", None, 406),
        ("application/fhir+json;q=0", None, 406),
        ("text/html", "json", 200),
        ("application/fhir+json", "xml", 406),
        ("application/fhir+json", "application/fhir+json", 200),
        ("application/fhir+json; fhirVersion=4.0", None, 200),
        ("text/html, application/json;q=0.1", None, 200),
        ("*/*", None, 200),
        ("application/*", None, 200),
    ],
)
def test_only_json_is_given(api: Api, accept: str, format: str | None, status: int) -> None:
    query = {"_format": format} if format else {}
    answer = api.get("Observation", headers={"Accept": accept}, query_string=query)
    assert answer.status_code == status


@pytest.mark.parametrize(("search", "named"), BAD_SEARCHES)
def test_a_search_that_isnt_understood_is_400_naming_why(
    api: Api, search: str, named: str
) -> None:
    answer = api.get(f"Observation?{search}")
    assert answer.status_code == 400
    assert named in body_of(answer)["issue"][0]["diagnostics"]


def test_lenient_handling_drops_what_is_unknown_and_the_self_link_shows_it(api: Api) -> None:
    api.store(observation())
    lenient = {"Prefer": "handling=lenient"}
    bundle = body_of(api.get("Observation?code=4548-4&nonsense=1&_sort=x", headers=lenient))
    assert bundle["link"][0]["url"].endswith("/Observation?code=4548-4")
    assert len(bundle["entry"]) == 1
    assert api.get("Observation?date=tomorrow", headers=lenient).status_code == 400


def test_a_cursor_is_good_for_its_caller_and_its_search_alone(
    district: District, hospital: str, api: Api
) -> None:
    for _ in range(2):
        api.store(observation())
    links = body_of(api.get("Observation?_count=1"))["link"]
    path = next(e["url"] for e in links if e["relation"] == "next").partition("/fhir/")[2]
    assert api.get(path).status_code == 200
    assert api.get(f"{path}&status=final").status_code == 400
    assert api.get(path.replace("Observation", "Condition")).status_code == 400
    assert api.get(path[:-2] + "AA").status_code == 400
    assert district.api(district.facility()).get(path).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "Observation/1", 405),
        ("PATCH", "Observation/1", 405),
        ("PUT", "Observation", 405),
        ("DELETE", "Observation", 405),
        ("POST", "Nonsense", 404),
        ("GET", "Nonsense", 404),
        ("GET", "Observation/1/nonsense", 404),
        ("GET", "Observation/" + "a" * 65, 404),
        ("GET", "Observation/a_b", 404),
        ("POST", "", 422),
        ("GET", "Observation/", 404),
        ("GET", "observation", 404),
        ("GET", "Observation/$everything", 404),
    ],
)
def test_what_there_isnt_is_404_and_what_cant_be_done_there_405(
    api: Api, method: str, path: str, status: int
) -> None:
    answer = api(method, path, observation() if method in ("POST", "PUT", "PATCH") else None)
    assert answer.status_code == status
    assert body_of(answer)["resourceType"] == "OperationOutcome"
    if status == 405:
        assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("count", ["0", "-1", "x", "²", "9" * 5_000])
def test_an_instances_history_counts_from_one(api: Api, count: str) -> None:
    reference = api.store(observation())
    assert api.get(f"{reference}/_history?_count={count}").status_code == 400
    assert api.get(f"{reference}/_history?_before={count}").status_code == 400
    assert api.get(f"{reference}/_history?_nonsense=1").status_code == 400
