"""A citizen enrolled has a Patient of their own, in their own custody, with a health ID."""

from __future__ import annotations

import pytest

from hie_server.fhir.outcomes import FhirError
from hie_server.fhir.resources import parse
from hie_server.fhir.validator import validate
from hie_server.identity import enrolment, health_id, people
from hie_server.store.access import Access
from hie_server.store.database import Store
from hie_server.store.repository import Repository
from tests.support import Json

DEMOGRAPHICS = {
    "name": [{"text": "आशा कुमारी"}, {"family": "Kumari", "given": ["Asha"]}],
    "gender": "female",
    "birthDate": "2001",
}


def patient_of(store: Store, reference: str) -> Json:
    body = Repository(store, Access(custodian=reference)).read(*reference.split("/")).body
    assert body is not None
    return parse(body)


def test_the_citizens_patient_is_valid_and_holds_what_was_told(store: Store) -> None:
    reference, number = enrolment.enrol(store, DEMOGRAPHICS)
    patient = patient_of(store, reference)
    assert validate(patient) == []
    assert patient["active"] is True and patient["name"] == DEMOGRAPHICS["name"]
    assert patient["birthDate"] == "2001"
    identifier = patient["identifier"][0]
    assert identifier["system"] == "https://healthid.ndhm.gov.in"
    assert health_id.read(identifier["value"]) == number


def test_the_citizen_can_be_found_by_patient_and_health_id(store: Store) -> None:
    reference, number = enrolment.enrol(store, DEMOGRAPHICS)
    person = people.of_patient(store, reference)
    assert person is not None and person.custodians == {reference}
    assert people.by_health_id(store, health_id.shown(number)) == person


def test_an_enrolment_is_journaled_with_it(store: Store) -> None:
    before = store.db.journal.count_documents({})
    enrolment.enrol(store, DEMOGRAPHICS)
    assert store.db.journal.count_documents({}) == before + 1


def test_a_number_that_is_taken_is_drawn_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(["10000000000008", "10000000000008", "20000000000006"])
    monkeypatch.setattr(health_id, "make", lambda random: next(drawn))
    numbers = [enrolment.enrol(store, DEMOGRAPHICS)[1] for _ in range(2)]
    assert numbers == ["10000000000008", "20000000000006"]
    assert store.db.people.count_documents({}) == 2
    assert store.db.resources.count_documents({"type": "Patient"}) == 2


@pytest.mark.parametrize("wrong", [{"gender": "x"}, {"birthDate": "yesterday"}, {"hello": 1}])
def test_what_no_patient_can_be_leaves_nobody(store: Store, wrong: Json) -> None:
    with pytest.raises((FhirError, ValueError)):
        enrolment.enrol(store, wrong)
    assert store.db.people.count_documents({}) == 0
    assert store.db.resources.count_documents({"type": "Patient"}) == 0
