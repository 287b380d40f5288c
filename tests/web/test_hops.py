"""Chains, `_has` and `_list`: searches that follow references, each step as the caller."""

from __future__ import annotations

import pytest

from tests.support import Api, District, Json, body_of, ids, observation


def patient(name: str, **more: object) -> Json:
    return {"resourceType": "Patient", "name": [{"family": name}], **more}


@pytest.fixture
def kumar(api: Api) -> str:
    return api.store(patient("Kumar", gender="male", birthDate="1980-02-01"))


@pytest.fixture
def devi(api: Api) -> str:
    return api.store(patient("Devi", gender="female", generalPractitioner=[]) | {
        "generalPractitioner": [{"reference": api.store(doctor("Prasad"))}]
    })


def doctor(name: str) -> Json:
    return {"resourceType": "Practitioner", "name": [{"family": name}]}


def found(api: Api, path: str) -> list[str]:
    answer = api.get(path)
    assert answer.status_code == 200, answer.text
    return sorted(ids(answer))


def test_a_chain_is_followed(api: Api, kumar: str, devi: str) -> None:
    his, hers = api.store(observation(kumar)), api.store(observation(devi, code="8480-6"))
    assert found(api, "Observation?subject:Patient.name=kumar") == [his]
    assert found(api, "Observation?subject.name=devi") == [hers]
    assert found(api, "Observation?patient.gender=male,female&code=8480-6") == [hers]
    assert found(api, "Observation?patient.birthdate=ge1980&patient.gender=male") == [his]
    assert found(api, "Observation?patient.name:exact=kumar") == []
    assert found(api, "Observation?patient.general-practitioner:Practitioner.name=pra") == [hers]
    assert body_of(api.get("Observation?patient.name=d&_total=accurate"))["total"] == 1
    assert body_of(api.get("Observation?patient.name=nobody&_summary=count"))["total"] == 0


def test_has_is_a_chain_backwards(api: Api, kumar: str, devi: str) -> None:
    encounter = api.store({
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": kumar},
    })
    api.store(observation(kumar, encounter={"reference": encounter}))
    api.store(observation(devi, code="8480-6"))
    assert found(api, "Patient?_has:Observation:patient:code=4548-4") == [kumar]
    either = "Patient?_has:Observation:subject:code=4548-4,8480-6"
    assert found(api, either) == sorted([kumar, devi])
    assert found(api, "Patient?_has:Observation:patient:code=4548-4&gender=female") == []
    assert found(api, "Encounter?_has:Observation:encounter:patient.name=kumar") == [encounter]
    nested = "Patient?_has:Encounter:patient:_has:Observation:encounter:code=4548-4"
    assert found(api, nested) == [kumar]


def test_a_list_says_which(api: Api, kumar: str) -> None:
    listed, other = api.store(observation(kumar)), api.store(observation(kumar))
    entry = [{"item": {"reference": each}} for each in (listed, kumar)]
    one = api.store(
        {"resourceType": "List", "status": "current", "mode": "working", "entry": entry}
    )
    asked = f"_list={one.rpartition('/')[2]}"
    assert found(api, f"Observation?{asked}") == [listed] != [other]
    assert found(api, f"Patient?{asked}&name=kumar") == [kumar]
    assert found(api, f"Condition?{asked}") == found(api, "Observation?_list=none") == []


def test_pages_go_on_and_post_asks_the_same(api: Api, kumar: str) -> None:
    made = sorted(api.store(observation(kumar)) for _ in range(5))
    first = body_of(api.get("Observation?patient.name=kumar&_count=2"))
    seen, link = ids(api.get("Observation?patient.name=kumar&_count=2")), first["link"]
    while link[-1]["relation"] == "next":
        answer = api.get(link[-1]["url"].partition("/fhir/")[2])
        seen += ids(answer)
        link = body_of(answer)["link"]
    assert sorted(seen) == made
    form = "application/x-www-form-urlencoded"
    answer = api.post("Observation/_search", b"patient.name=kumar", content_type=form)
    assert sorted(ids(answer)) == made


def test_a_hidden_patient_leads_nowhere(district: District, api: Api) -> None:
    other = district.facility("Medical College")
    citizen = district.citizen(other, "Satyendra Kumar")
    record = district.api(other).store(observation(citizen))
    assert found(district.api(other), f"Observation?patient={citizen}") == [record]
    for asked in (
        "Observation?patient.name=satyendra",
        "Patient?_has:Observation:patient:code=4548-4",
        f"Observation?patient:Patient._id={citizen.partition('/')[2]}",
        f"Encounter?_has:Observation:encounter:patient={citizen}",
    ):
        assert found(api, asked) == []


def test_a_health_id_names_its_citizen(district: District) -> None:
    other = district.facility("Medical College")
    citizen = district.citizen(other)
    doctors = district.api(other)
    record = doctors.store(observation(citizen))
    identifier = body_of(doctors.get(citizen))["identifier"][0]
    asked = f"Observation?patient.identifier={identifier['system']}|{identifier['value']}"
    assert found(doctors, asked) == [record]
    stranger = district.api(district.facility("Clinic"))
    assert found(stranger, asked) == found(stranger, f"{asked[:-1]}x") == []


@pytest.mark.parametrize(
    "asked, told",
    [
        ("Observation?subject:Nonsense.name=x", "refer to"),
        ("Observation?subject:.name=x", "refer to"),
        ("Observation?code.name=x", "no reference"),
        ("Observation?nonsense.name=x", "no reference"),
        ("Observation?subject.nonsense=x", "nonsense"),
        ("Observation?subject.=x", "without a name"),
        ("Observation?patient._count=5", "chained"),
        ("Observation?patient.birthdate=soon", "date"),
        ("Observation?focus._id=x", "many types"),
        ("Observation?patient.link.link.link.link.name=x", "follow"),
        ("Patient?_has:Observation:patient=x", "_has:Type"),
        ("Patient?_has:Nonsense:patient:code=x", "no type"),
        ("Patient?_has:AuditEvent:patient:type=x", "no type"),
        ("Patient?_has:Observation:code:code=x", "no reference"),
        ("Patient?_has:Observation:encounter:code=x", "refer to Patient"),
        ("Patient?" + "_has:Patient:link:" * 10 + "name=x", "follow"),
        ("Observation?_list=a/b", "id of one List"),
        ("AuditEvent?patient.name=x", "chained"),
        ("Observation?patient.name=", "no value"),
    ],
)
def test_what_can_not_be_followed_is_told(api: Api, asked: str, told: str) -> None:
    answer = api.get(asked)
    assert answer.status_code == 400 and told in answer.json["issue"][0]["diagnostics"]


def test_each_hop_needs_its_scope(district: District, hospital: str) -> None:
    narrow = district.api(hospital, "system/Observation.rs")
    assert narrow.get("Observation?patient.name=x").status_code == 403
    wider = district.api(hospital, "system/Observation.rs system/Patient.rs")
    assert wider.get("Observation?patient.name=x").status_code == 200


def test_too_many_on_the_way_are_too_costly(
    api: Api, kumar: str, devi: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.store(observation(kumar))
    monkeypatch.setattr("hie_server.authz.hops.MOST_FOUND", 1)
    assert api.get("Observation?patient.gender=male").status_code == 200
    answer = api.get("Observation?patient.gender=male,female")
    assert answer.status_code == 403 and answer.json["issue"][0]["code"] == "too-costly"


def test_conditions_are_not_chained(api: Api) -> None:
    entry = {
        "resource": patient("Kumar"),
        "request": {
            "method": "POST", "url": "Patient", "ifNoneExist": "general-practitioner.name=x"
        },
    }
    sent = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    assert api.post("", sent).status_code == 400
