"""FHIR's REST API as a facility uses it on its own records."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
from werkzeug.test import TestResponse

from hie_server.fhir.resources import parse
from tests.support import Api, District, Json, body_of, ids, observation

FORM = "application/x-www-form-urlencoded"
ODD_OBSERVATION = """{
 "resourceType": "Observation", "status": "final",
 "_status": {"id": "a", "extension": [{"url": "urn:x:why", "valueDecimal": 0.10}]},
 "code": {"text": "रक्त शर्करा"}, "effectiveDateTime": "2024-05",
 "valueQuantity": {"value": 1.10, "unit": "mmol/L"},
 "extension": [{"url": "https://unknown.example/x", "valuePeriod": {"start": "2024"}}],
 "component": [{"code": {"text": "a"}, "valueQuantity": {"value": 100}},
               {"code": {"text": "b"}, "valueQuantity": {"value": 1.0E+2}},
               {"code": {"text": "c"}, "valueQuantity": {"value": -0.00}}]}"""
BORN = {
    "resourceType": "Patient",
    "birthDate": "1975",
    "_birthDate": {"extension": [{"url": "urn:x:time", "valueDateTime": "1975-08-14T03:00:00Z"}]},
    "name": [{"given": ["Asha", None], "_given": [None, {"extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}
    ]}]}],
}


def without_server_part(answer: TestResponse) -> Json:
    body = body_of(answer)
    del body["id"], body["meta"]
    return body


def test_a_created_resource_has_an_id_of_the_servers_choice_and_says_where_it_is(api: Api) -> None:
    answer = api.post("Observation", {**observation(), "id": "mine"})
    body = body_of(answer)
    assert answer.status_code == 201
    assert body["id"] != "mine" and len(body["id"]) == 36
    own = f"http://127.0.0.1:8080/fhir/Observation/{body['id']}/_history/1"
    assert answer.headers["Location"] == own
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.content_type == "application/fhir+json"
    assert body["meta"]["versionId"] == "1"


def test_what_is_read_is_what_was_answered_to_the_write(api: Api) -> None:
    written = api.post("Observation", observation())
    read = api.get(f"Observation/{body_of(written)['id']}")
    assert (read.status_code, read.data) == (200, written.data)
    assert read.headers["ETag"] == 'W/"1"'
    updated = datetime.fromisoformat(body_of(read)["meta"]["lastUpdated"])
    assert parsedate_to_datetime(read.headers["Last-Modified"]) == updated.replace(microsecond=0)
    assert abs((datetime.now(UTC) - updated).total_seconds()) < 60


def test_no_answer_may_be_cached_or_sniffed(api: Api) -> None:
    for answer in (api.get(api.store(observation())), api.get("Observation/none")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Authorization" in answer.headers["Vary"]


def test_decimals_partial_dates_and_unknown_extensions_come_back_as_they_went_in(api: Api) -> None:
    answer = api.post("Observation", ODD_OBSERVATION.encode())
    assert answer.status_code == 201, answer.text
    again = api.get(f"Observation/{body_of(answer)['id']}")
    for number in ('"value":1.10,', "0.10}", '"value":100}', '"value":-0.00}'):
        assert number in again.text
    assert "1.0E+2" in again.text
    assert '"effectiveDateTime":"2024-05"' in again.text
    assert "रक्त शर्करा" in again.text
    sent = list(parse(ODD_OBSERVATION.encode()))
    assert [key for key in body_of(again) if key not in ("id", "meta")] == sent


def test_extensions_of_primitives_come_back_as_they_went_in(api: Api) -> None:
    assert without_server_part(api.get(api.store(BORN))) == BORN


def test_meta_keeps_tags_and_labels_but_not_the_version_a_client_claims(api: Api) -> None:
    tag = {"system": "urn:x", "code": "a"}
    claimed = {"versionId": "9", "lastUpdated": "2001-01-01T00:00:00Z", "tag": [tag]}
    meta = body_of(api.post("Observation", {**observation(), "meta": claimed}))["meta"]
    assert meta["versionId"] == "1" and meta["tag"] == [tag]
    assert not meta["lastUpdated"].startswith("2001")


def test_an_update_makes_the_next_version(api: Api) -> None:
    reference = api.store(observation())
    changed = {**observation(status="amended"), "id": reference.partition("/")[2]}
    answer = api.put(reference, changed, headers={"If-Match": 'W/"1"'})
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"2"')
    assert body_of(api.get(reference))["status"] == "amended"
    assert body_of(api.get(f"{reference}/_history/1"))["status"] == "final"
    assert api.get(f"{reference}/_history/2").data == api.get(reference).data


def test_the_same_content_twice_makes_no_new_version(api: Api) -> None:
    reference = api.store(observation())
    same = body_of(api.get(reference))
    assert api.put(reference, same).headers["ETag"] == 'W/"1"'


def test_a_deleted_resource_is_gone_until_it_is_updated_again(api: Api) -> None:
    reference = api.store(observation())
    body = body_of(api.get(reference))
    first, second = api.delete(reference), api.delete(reference)
    assert (first.status_code, second.status_code) == (204, 204)
    assert first.headers["ETag"] == second.headers["ETag"] == 'W/"2"'
    assert api.get(reference).status_code == 410
    assert api.get(f"{reference}/_history/2").status_code == 410
    assert api.get(f"{reference}/_history/1").status_code == 200
    assert ids(api.get("Observation")) == []
    revived = api.put(reference, body)
    assert (revived.status_code, revived.headers["ETag"]) == (201, 'W/"3"')
    assert api.get(reference).status_code == 200


def test_history_lists_every_version_newest_first_page_by_page(api: Api) -> None:
    reference = api.store(observation())
    identity = reference.partition("/")[2]
    api.put(reference, {**observation(status="amended"), "id": identity})
    api.delete(reference)
    whole = body_of(api.get(f"{reference}/_history"))
    assert whole["type"] == "history"
    methods = [entry["request"]["method"] for entry in whole["entry"]]
    assert methods == ["DELETE", "PUT", "POST"]
    assert ["resource" in entry for entry in whole["entry"]] == [False, True, True]
    page = body_of(api.get(f"{reference}/_history?_count=2"))
    assert [entry["request"]["method"] for entry in page["entry"]] == ["DELETE", "PUT"]
    following = next(each["url"] for each in page["link"] if each["relation"] == "next")
    last = body_of(api.get(following.partition("/fhir/")[2]))
    assert [entry["request"]["method"] for entry in last["entry"]] == ["POST"]
    assert [each["relation"] for each in last["link"]] == ["self"]


@pytest.mark.parametrize("path", ["nobody", "nobody/_history", "nobody/_history/1"])
def test_an_absent_record_is_404_in_the_same_words_everywhere(api: Api, path: str) -> None:
    absent = api.get(f"Observation/{path}")
    assert absent.status_code == 404
    assert absent.data == api.get("Patient/another").data


@pytest.mark.parametrize("version", ["0", "2", "01x", "-1", "9" * 30, "%00"])
def test_a_version_that_never_was_is_404(api: Api, version: str) -> None:
    reference = api.store(observation())
    assert api.get(f"{reference}/_history/{version}").status_code == 404


def test_search_by_post_finds_what_search_by_get_finds(api: Api) -> None:
    found = api.store(observation(code="718-7"))
    api.store(observation(code="4548-4"))
    assert ids(api.get("Observation?code=718-7")) == [found]
    posted = api("POST", "Observation/_search", b"code=718-7", content_type=FORM)
    assert ids(posted) == [found]
    both = api("POST", "Observation/_search?status=amended", b"code=718-7", content_type=FORM)
    assert ids(both) == []
    bare = api("POST", "Observation/_search?code=718-7")
    assert ids(bare) == [found]


def test_pages_give_every_match_once_and_then_end(api: Api) -> None:
    stored = [api.store(observation()) for _ in range(5)]
    found: list[str] = []
    path: str | None = "Observation?_count=2&_total=accurate"
    for _ in range(3):
        assert path is not None
        page = api.get(path)
        found += ids(page)
        assert body_of(page)["total"] == 5
        links = {each["relation"]: each["url"] for each in body_of(page)["link"]}
        path = links["next"].partition("/fhir/")[2] if "next" in links else None
    assert (sorted(found), path) == (sorted(stored), None)
    newest_first = [body_of(api.get(each))["meta"]["lastUpdated"] for each in found]
    assert newest_first == sorted(newest_first, reverse=True)
    assert ids(api.get("Observation?_sort=_lastUpdated&_count=5")) == found[::-1]


def test_a_searchset_says_whose_urls_it_holds(api: Api) -> None:
    reference = api.store(observation())
    bundle = body_of(api.get("Observation?code=4548-4&_format=json"))
    assert bundle["type"] == "searchset" and "total" not in bundle
    assert bundle["entry"][0]["fullUrl"] == f"http://127.0.0.1:8080/fhir/{reference}"
    assert bundle["entry"][0]["search"] == {"mode": "match"}
    counted = body_of(api.get("Observation?_summary=count"))
    assert counted["total"] == 1 and "entry" not in counted


@pytest.mark.parametrize(
    ("prefer", "kind"),
    [
        ("return=minimal", None),
        ("return=representation", "Observation"),
        ("return=OperationOutcome", "OperationOutcome"),
        ("respond-async; return=minimal", None),
        ("return=nonsense", "Observation"),
        ("", "Observation"),
    ],
)
def test_prefer_chooses_the_body_of_a_writes_answer(
    api: Api, prefer: str, kind: str | None
) -> None:
    answer = api.post("Observation", observation(), headers={"Prefer": prefer})
    assert answer.status_code == 201 and answer.headers["ETag"] == 'W/"1"'
    assert (body_of(answer)["resourceType"] if answer.data else None) == kind


def test_head_answers_as_get_without_its_body(api: Api) -> None:
    reference = api.store(observation())
    head, get = api("HEAD", reference), api.get(reference)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["ETag"] == get.headers["ETag"]
    assert int(head.headers["Content-Length"]) == len(get.data)
    assert api("HEAD", "Observation/none").status_code == 404


def test_each_interaction_needs_its_letter_in_the_scope(
    district: District, hospital: str, api: Api
) -> None:
    reference = api.store(observation())
    body = body_of(api.get(reference))
    asked = {
        "c": lambda a: a.post("Observation", observation()),
        "r": lambda a: a.get(reference),
        "u": lambda a: a.put(reference, {**body, "status": "amended"}),
        "d": lambda a: a.delete(reference),
        "s": lambda a: a.get("Observation"),
    }
    for letter, ask in asked.items():
        others = "cruds".replace(letter, "")
        refused = ask(district.api(hospital, f"system/Observation.{others}"))
        assert refused.status_code == 403, letter
        assert "scope" in refused.text
        elsewhere = ask(district.api(hospital, "system/Condition.cruds"))
        assert elsewhere.status_code == 403, letter
    for letter, ask in asked.items():
        allowed = ask(district.api(hospital, f"system/Observation.{letter}"))
        assert allowed.status_code in (200, 201, 204), letter


@pytest.mark.parametrize("prefer", ["return=representation", "return=OperationOutcome", ""])
def test_who_may_create_but_not_read_gets_no_body(
    district: District, hospital: str, prefer: str
) -> None:
    writer = district.api(hospital, "system/Observation.cu")
    answer = writer.post("Observation", observation(), headers={"Prefer": prefer})
    assert (answer.status_code, answer.data) == (201, b"")
    assert answer.headers["Location"].endswith("/_history/1")
