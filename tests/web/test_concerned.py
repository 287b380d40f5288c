"""What citizens see in the journal: all that concerns them, and nothing of each other."""

from __future__ import annotations

import time

import pytest

from tests.support import District, body_of, consent, ids, observation


def test_no_citizen_is_shown_another(district: District) -> None:
    holder, asker = district.facility(), district.facility("Another")
    citizens = [district.citizen(linked_to=holder, name=name) for name in ("Asha", "Bina")]
    for citizen in citizens:
        district.api(citizen).store(consent(citizen, asker))
    entries = [
        {"request": {"method": "POST", "url": "Observation"}, "resource": observation(citizen)}
        for citizen in citizens
    ]
    together = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    assert district.api(holder).post("", together).status_code == 200
    district.api(holder).get("Observation?_count=50")
    found = district.api(asker).get(f"Observation?patient={','.join(citizens)}")
    assert len(ids(found)) == 2
    for one, other in (citizens, reversed(citizens)):
        seen = district.api(one).get("AuditEvent?_count=100").text
        assert one in seen and other not in seen
        for kind in ("transaction", "search-type"):
            theirs = district.api(one).get(f"AuditEvent?subtype={kind}&_total=accurate")
            assert body_of(theirs)["total"] >= 1
        assert not ids(district.api(one).get(f"AuditEvent?patient={other}"))


def test_a_record_read_through_one_that_refers_to_it_shows_in_the_journal(
    district: District,
) -> None:
    holder, asker = district.facility(), district.facility("Another")
    citizen = district.citizen(linked_to=holder)
    binary = {"resourceType": "Binary", "contentType": "text/plain", "data": "aGk="}
    reference = district.api(holder).store(binary)
    extension = [{"url": "urn:x", "valueReference": {"reference": reference}}]
    district.api(holder).store(observation(citizen, extension=extension))
    granted = district.api(citizen).store(consent(citizen, asker))
    assert district.api(asker).get(reference).status_code == 200
    assert granted in district.api(citizen).get("AuditEvent?subtype=read").text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "Observation?patient={base}/Patient/{id}"),
        ("GET", "Observation?patient=Patient/{other},Patient/{id}"),
        ("GET", "?_type=Observation,Condition&patient={base}/Patient/{id}"),
        ("PUT", "{record}"),
        ("DELETE", "{record}"),
    ],
)
def test_whatever_is_refused_of_a_citizens_is_explained_to_them(
    district: District, method: str, path: str
) -> None:
    holder, asker = district.facility(), district.facility("Another")
    citizen, other = district.citizen(linked_to=holder), district.citizen(name="Bina")
    record = district.api(holder).store(observation(citizen))
    words = {
        "base": district.exchange.settings.fhir_base,
        "id": citizen.partition("/")[2],
        "other": other.partition("/")[2],
        "record": record,
    }
    district.api(asker)(method, path.format(**words), {} if method == "PUT" else None)
    reasons = [each for each in district.journal() if "outcomeDesc" in each]
    assert any(citizen in str(each["entity"]) for each in reasons)


def test_a_search_that_names_patients_again_and_again_costs_no_more(
    district: District,
) -> None:
    holder = district.facility()
    patients = [district.citizen(linked_to=holder, name=f"Asha {n}") for n in range(20)]
    clause = f"subject={','.join(patients)}"
    api = district.api(holder)
    form = {"content_type": "application/x-www-form-urlencoded"}
    began = time.perf_counter()
    answer = api("POST", "Observation/_search", "&".join([clause] * 90).encode(), **form)
    assert answer.status_code == 200
    assert time.perf_counter() - began < 2
    assert api.get(f"Observation?{clause},Patient/another").status_code == 400
