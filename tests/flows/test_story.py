"""The exchange in one story: a record, a stranger, a consent, its end, what the journal says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

import pytest
from werkzeug.test import TestResponse

from hie_server.config import Settings
from tests.conftest import MakeStore
from tests.support import District, Json, body_of, consent, ids, observation, open_district

NOWHERE = "Observation/00000000-0000-4000-8000-000000000000"
NOBODY = "Patient/00000000-0000-4000-8000-000000000000"


@pytest.fixture
def district(settings: Settings, make_store: MakeStore) -> Iterator[District]:
    make_store()
    yield from open_district(settings)


@dataclass
class Story:
    """The Sadar hospital treats a citizen; the referral hospital is a stranger to both."""

    district: District

    def __post_init__(self) -> None:
        self.sadar = self.district.facility("Sadar Hospital")
        self.referral = self.district.facility("Referral Hospital")
        self.citizen = self.district.citizen(linked_to=self.sadar)
        self.hospital = self.district.api(self.sadar)
        self.stranger = self.district.api(self.referral)
        self.phone = self.district.api(self.citizen)
        self.result = self.hospital.store(observation(self.citizen, valueString="reactive"))
        self.search = f"Observation?patient={self.citizen}&code=4548-4&_total=accurate"


def test_the_story_of_one_record(district: District) -> None:
    story = Story(district)
    those_concerned_read_it(story)
    a_stranger_cannot_tell_that_it_exists(story)
    nor_change_it(story)
    granted = story.phone.post("Consent", consent(story.citizen, story.referral))
    from_the_next_request_on_the_stranger_reads(story, granted)
    revoked = {**body_of(granted), "status": "inactive"}
    assert story.phone.put(f"Consent/{revoked['id']}", revoked).status_code == 200
    at_the_very_next_request_it_is_gone(story)
    every_step_is_in_the_journal(story, f"Consent/{revoked['id']}/_history/1")


def those_concerned_read_it(story: Story) -> None:
    for api in (story.hospital, story.phone):
        assert api.get(story.result).status_code == 200
        assert ids(api.get(story.search)) == [story.result]


def a_stranger_cannot_tell_that_it_exists(story: Story) -> None:
    """Whatever it asks, the answer is byte for byte that of a record that never was."""
    result, citizen = story.result, story.citizen
    by_id, by_patient = f"Observation?_id={result[12:]}", f"Patient?_id={citizen[8:]}"
    for hidden, absent in {
        result: NOWHERE,
        f"{result}/_history": f"{NOWHERE}/_history",
        f"{result}/_history/1": f"{NOWHERE}/_history/1",
        citizen: NOBODY,
        f"{by_id}&_total=accurate": f"Observation?_id={NOWHERE[12:]}&_total=accurate",
        story.search: story.search.replace(citizen, NOBODY),
        f"{by_patient}&_summary=count": f"Patient?_id={NOBODY[8:]}&_summary=count",
    }.items():
        for method in ("GET", "HEAD"):
            told = without_what_always_differs(story.stranger(method, hidden), _named(hidden))
            nothing = without_what_always_differs(story.stranger(method, absent), _named(absent))
            assert told == nothing, (method, hidden)


def nor_change_it(story: Story) -> None:
    """To change, to delete, to overwrite is refused in the same words as for what is not there."""
    for reference in (story.result, NOWHERE):
        body = {**observation(story.citizen), "id": reference.partition("/")[2]}
        for answer in (
            story.stranger.put(reference, body),
            story.stranger.put(reference, body, headers={"If-Match": 'W/"1"'}),
            story.stranger.delete(reference),
        ):
            assert answer.status_code == 405
            assert answer.data == story.stranger.delete(NOWHERE).data
    assert story.hospital.get(story.result).headers["ETag"] == 'W/"1"'


def from_the_next_request_on_the_stranger_reads(story: Story, granted: TestResponse) -> None:
    """But may not write, and for another purpose sees nothing."""
    assert granted.status_code == 201
    assert story.stranger.get(story.result).data == story.hospital.get(story.result).data
    found = story.stranger.get(story.search)
    assert (ids(found), body_of(found)["total"]) == ([story.result], 1)
    assert story.stranger.get(story.citizen).status_code == 200
    assert story.stranger.delete(story.result).status_code == 405
    research = story.district.api(story.referral, purpose="HRESCH")
    assert research.get(story.result).status_code == 404


def at_the_very_next_request_it_is_gone(story: Story) -> None:
    assert story.stranger.get(story.result).data == story.stranger.get(NOWHERE).data
    found = story.stranger.get(story.search)
    assert (ids(found), body_of(found)["total"]) == ([], 0)
    assert story.hospital.get(story.result).status_code == 200


def every_step_is_in_the_journal(story: Story, version: str) -> None:
    """As the citizen sees it: who asked, by which consent it showed, why it did not."""
    journal = told_to_the_citizen(story)
    refused, by_consent = journal["refused"], journal["by consent"]
    why = {"no consent permits", "only its custodian may change a record"}
    assert {each["outcomeDesc"] for each in refused} == why
    assert {by(each) for each in refused} == {by(each) for each in by_consent} == {story.referral}
    assert {relied_on(each) for each in by_consent} == {(version,)}
    asked = sorted(each["subtype"][0]["code"] for each in by_consent)
    assert asked == ["read", "read", "search-type"]
    writes = [(each["subtype"][0]["code"], by(each)) for each in journal["written"]]
    own = [("create", story.citizen), ("update", story.citizen)]
    assert writes == [("create", ""), ("create", story.sadar), *own]


def without_what_always_differs(answer: TestResponse, asked: str) -> tuple[int, bytes, Json]:
    """Status, body and headers; the request's own id, and in a self link what was asked, aside."""
    headers = {name: value for name, value in answer.headers if name != "X-Request-Id"}
    body = answer.data.replace(asked.encode(), b"asked")
    headers["Content-Length"] = str(len(body))
    return answer.status_code, body, headers


def _named(path: str) -> str:
    """The id that a path names, for what repeats the question."""
    for part in (path.partition("?")[2] or path).replace("%2F", "/").split("&"):
        if "Patient/" in part or "_id=" in part:
            return part.partition("=")[2].replace("/", "%2F") if "=" in part else part
    return path


def told_to_the_citizen(story: Story) -> dict[str, list[Json]]:
    story.district.exchange.refusals.settle()
    answer = body_of(story.phone.get("AuditEvent?_count=1000&_sort=_lastUpdated"))
    events = [entry["resource"] for entry in answer["entry"]]
    return {
        "refused": [each for each in events if "outcomeDesc" in each],
        "by consent": [each for each in events if relied_on(each)],
        "written": [each for each in events if each["action"] in "CU" and each["outcome"] == "0"],
    }


def relied_on(event: Json) -> tuple[str, ...]:
    return tuple(
        each["what"]["reference"]
        for each in event["entity"]
        if each.get("description") == "consent relied on"
    )


def by(event: Json) -> str:
    """The facility or citizen who asked; "" for the exchange itself."""
    agents = [each["who"].get("reference", "") for each in event["agent"]]
    return next((each for each in agents if each), "")
