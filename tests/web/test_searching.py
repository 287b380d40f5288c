"""Searches over HTTP: sorted, cut to some elements, of several types at once."""

from __future__ import annotations

import pytest

from tests.support import Api, District, body_of, consent, ids, observation

FORM = "application/x-www-form-urlencoded"
PATIENTS = [
    {"resourceType": "Patient", "name": [{"family": family}], "birthDate": born}
    for family, born in (("Rao", "1990"), ("Ahuja", "1980"), ("Bose", "1980"), ("Sen", "1970"))
]


def pages(api: Api, path: str) -> list[str]:
    """What all pages list, by following their links."""
    found: list[str] = []
    while path:
        answer = api.get(path)
        assert answer.status_code == 200, answer.text
        found += ids(answer)
        links = {each["relation"]: each["url"] for each in body_of(answer)["link"]}
        path = links.get("next", "").partition("/fhir")[2].removeprefix("/")
    return found


@pytest.fixture
def patients(api: Api) -> list[str]:
    return [api.store(each) for each in PATIENTS]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_sorted_pages_are_followed_to_their_end(
    api: Api, patients: list[str], count: int
) -> None:
    rao, ahuja, bose, sen = patients
    assert pages(api, f"Patient?_sort=-birthdate,family&_count={count}") == [rao, ahuja, bose, sen]
    assert pages(api, f"Patient?_sort=birthdate,-family&_count={count}") == [sen, bose, ahuja, rao]
    assert pages(api, f"Patient?_sort=_id&_count={count}") == sorted(patients)


def test_a_sorted_cursor_is_good_for_its_search_and_caller_alone(
    api: Api, district: District, patients: list[str]
) -> None:
    first = body_of(api.get("Patient?_sort=family&_count=2"))
    cursor = first["link"][-1]["url"].partition("_cursor=")[2]
    other = district.api(district.facility())
    assert other.get(f"Patient?_sort=family&_count=2&_cursor={cursor}").status_code == 400
    for search in ("_sort=-family&_count=2", "_sort=_lastUpdated&_count=2", "_count=2"):
        assert api.get(f"Patient?{search}&_cursor={cursor}").status_code == 400


def test_elements_are_cut_and_marked(api: Api, patients: list[str]) -> None:
    for path in (f"Patient?_elements=birthDate&_id={patients[0][8:]}", ):
        [entry] = body_of(api.get(path))["entry"]
        assert set(entry["resource"]) == {"resourceType", "id", "meta", "birthDate"}
        assert entry["resource"]["meta"]["tag"][-1]["code"] == "SUBSETTED"
    read = api.get(f"{patients[0]}?_elements=birthDate")
    assert body_of(read) == entry["resource"]
    assert read.headers["ETag"] == 'W/"1"'
    assert set(body_of(api.get(f"{patients[0]}"))) == {*entry["resource"], "name"}


def test_elements_are_of_the_type_and_asked_for_once(api: Api, patients: list[str]) -> None:
    for path in ("Patient?", f"{patients[0]}?", "Patient/none?", "AuditEvent?"):
        for asked in ("_elements=code", "_elements=", "_elements=id&_elements=id"):
            assert api.get(path + asked).status_code == 400, path + asked


def test_the_journal_is_cut_and_sorted_by_what_it_keeps_in_the_clear(api: Api) -> None:
    api.store(observation())
    found = body_of(api.get("AuditEvent?_sort=date&_elements=recorded&_count=1"))
    assert "recorded" in found["entry"][0]["resource"]
    assert "entity" not in found["entry"][0]["resource"]
    event = found["entry"][0]["resource"]["id"]
    assert "entity" not in body_of(api.get(f"AuditEvent/{event}?_elements=recorded"))
    assert len(set(pages(api, "AuditEvent?_sort=-date&_count=2&_lastUpdated=lt2020"))) == 0
    assert api.get("AuditEvent?_sort=agent").status_code == 400
    assert api.get("AuditEvent?agent-name:contains=rest").status_code == 400


def test_several_types_are_searched_at_once(api: Api, patients: list[str]) -> None:
    weight = api.store(observation(patients[0], "29463-7"))
    search = "_type=Patient,Observation&_sort=_lastUpdated"
    assert pages(api, f"?{search}&_count=2") == [*patients, weight]
    assert body_of(api.get(f"?{search}&_total=accurate"))["total"] == 5
    posted = api("POST", "_search", search.encode(), content_type=FORM)
    assert ids(posted) == [*patients, weight]
    only = f"?_type=Observation,Patient&_id={weight.partition('/')[2]}"
    assert pages(api, only) == [weight]
    answer = body_of(api.get("?_type=Patient&_count=1&_elements=birthDate"))
    assert "name" not in answer["entry"][0]["resource"]
    assert answer["link"][0]["url"].endswith("/fhir?_type=Patient&_count=1&_elements=birthDate")


@pytest.mark.parametrize(
    ("search", "status"),
    [
        ("", 200),
        ("?_id=a", 200),
        ("?code=x", 400),
        ("?_type=", 400),
        ("?_type=Patient,", 400),
        ("?_type=Patience", 400),
        ("?_type=AuditEvent", 400),
        ("?_type=Patient,Observation&code=x", 400),
        ("?_type=Patient,Practitioner&name:exact=Rao", 400),
        ("?_type=" + ",".join(["Patient", *("Account", "Basic", "Bundle") * 8]), 200),
        ("?_type=Patient&_sort=code", 400),
    ],
)
def test_a_search_of_several_types_must_suit_all_of_them(
    api: Api, search: str, status: int
) -> None:
    assert api.get(search).status_code == status


def test_a_search_of_several_types_needs_a_scope_for_each(district: District) -> None:
    patient = district.facility()
    api = district.api(patient, "system/Patient.rs")
    assert api.get("?_type=Patient").status_code == 200
    assert api.get("?_type=Patient,Observation").status_code == 403


def test_a_search_of_several_types_shows_what_consent_permits(district: District) -> None:
    mine, theirs = district.facility(), district.facility("Referral")
    citizen = district.citizen(linked_to=mine)
    stored = district.api(mine).store(observation(citizen))
    search = f"?_type=Observation,Condition&patient={citizen}"
    other = district.api(theirs)
    assert ids(other.get(search)) == [] == pages(other, f"{search}&_sort=code")
    district.api(citizen).store(consent(citizen, theirs))
    assert ids(other.get(search)) == [stored] == pages(other, f"{search}&_sort=code")


def test_a_refused_search_of_several_types_is_explained_to_the_citizen(
    district: District,
) -> None:
    mine, theirs = district.facility(), district.facility("Referral")
    citizen = district.citizen(linked_to=mine)
    district.api(theirs).get(f"?_type=Observation,Condition&patient={citizen}")
    explained = [each for each in district.journal() if "outcomeDesc" in each]
    assert len(explained) == 1


def test_composites_are_found_over_http(api: Api) -> None:
    systolic = {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}
    quantity = {"value": 150, "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}
    part = {"code": systolic, "valueQuantity": quantity}
    high = api.store(observation(code="85354-9", component=[part]))
    low = {**part, "valueQuantity": {**quantity, "value": 110}}
    api.store(observation(code="85354-9", component=[low]))
    asked = "http://loinc.org|8480-6$gt140|http://unitsofmeasure.org|mm[Hg]"
    answer = api.get("Observation", query_string={"combo-code-value-quantity": asked})
    assert ids(answer) == [high]


def test_a_page_ends_before_it_grows_too_large(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = [api.store(observation(note=[{"text": "x" * 500}])) for _ in range(5)]
    monkeypatch.setattr("hie_server.store.pages.MOST_PAGE", 1_500)
    assert len(ids(api.get("Observation?_sort=_lastUpdated"))) == 2
    assert pages(api, "Observation?_sort=_lastUpdated") == stored
