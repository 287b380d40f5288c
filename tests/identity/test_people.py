"""Who is who: links are made and undone by compare-and-set, and no record changes."""

from __future__ import annotations

import threading
from functools import partial
from typing import Callable, Sequence

import pytest

from hie_server.fhir.outcomes import FhirError
from hie_server.identity import people
from hie_server.identity.people import MOST_PATIENTS, Person
from hie_server.store.database import Store

ASHA, RAVI = "Patient/asha", "Patient/ravi"
HOSPITAL, CLINIC = "Organization/hospital", "Organization/clinic"


@pytest.fixture
def citizens(store: Store) -> Store:
    people.add(store, ASHA, "10000000000008")
    people.add(store, RAVI, "20000000000006")
    return store


def of(store: Store, patient: str) -> Person:
    person = people.of_patient(store, patient)
    assert person is not None
    return person


def at_once(acts: Sequence[Callable[[], object]]) -> list[Exception]:
    failed: list[Exception] = []
    gate = threading.Barrier(len(acts))

    def work(act: Callable[[], object]) -> None:
        gate.wait()
        try:
            act()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(each,)) for each in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def test_a_new_citizen_is_linked_to_nobody(citizens: Store) -> None:
    assert of(citizens, ASHA) == Person(ASHA, frozenset({ASHA}), frozenset(), 0)
    assert of(citizens, ASHA).custodians == {ASHA}
    assert people.of_patient(citizens, "Patient/nobody") is None
    assert people.of_patient(citizens, None) is None


def test_a_health_id_finds_its_citizen_and_is_not_on_disk(citizens: Store) -> None:
    found = people.by_health_id(citizens, "10-0000-0000-0008")
    assert found == of(citizens, ASHA)
    assert people.by_health_id(citizens, "10000000000016") is None
    assert "10000000000008" not in str(list(citizens.db.people.find()))


def test_a_linked_patient_stands_for_the_citizen_until_it_is_unlinked(citizens: Store) -> None:
    people.link(citizens, ASHA, HOSPITAL, "Patient/local")
    assert of(citizens, "Patient/local") == of(citizens, ASHA)
    assert of(citizens, ASHA).custodians == {ASHA, HOSPITAL}
    people.unlink(citizens, ASHA, HOSPITAL, "Patient/local")
    assert people.of_patient(citizens, "Patient/local") is None
    assert of(citizens, ASHA).facilities == frozenset()


def test_a_facility_stays_as_long_as_one_of_its_links(citizens: Store) -> None:
    people.link(citizens, ASHA, HOSPITAL)
    people.link(citizens, ASHA, HOSPITAL, "Patient/1")
    people.link(citizens, ASHA, HOSPITAL, "Patient/2")
    people.unlink(citizens, ASHA, HOSPITAL)
    people.unlink(citizens, ASHA, HOSPITAL, "Patient/1")
    assert of(citizens, ASHA).facilities == {HOSPITAL}
    people.unlink(citizens, ASHA, HOSPITAL, "Patient/2")
    assert of(citizens, ASHA).facilities == frozenset()


def test_the_epoch_rises_with_every_link_and_unlink(citizens: Store) -> None:
    for number, act in enumerate((people.link, people.link, people.unlink, people.unlink), 1):
        act(citizens, ASHA, HOSPITAL, "Patient/local")
        assert of(citizens, ASHA).epoch == number
    assert of(citizens, RAVI).epoch == 0


def test_the_same_link_twice_is_one_link(citizens: Store) -> None:
    people.link(citizens, ASHA, HOSPITAL, "Patient/local")
    people.link(citizens, ASHA, HOSPITAL, "Patient/local")
    row = citizens.db.people.find_one({"_id": ASHA})
    assert row is not None and len(row["links"]) == 1 and len(row["patients"]) == 2


@pytest.mark.parametrize("taken", ["Patient/local", RAVI])
def test_a_patient_stands_for_one_citizen_alone(citizens: Store, taken: str) -> None:
    if taken != RAVI:
        people.link(citizens, RAVI, HOSPITAL, taken)
    before = of(citizens, ASHA)
    with pytest.raises(FhirError) as refused:
        people.link(citizens, ASHA, CLINIC, taken)
    assert refused.value.status == 409
    assert of(citizens, ASHA) == before
    assert of(citizens, taken).id == RAVI


def test_a_citizen_has_at_most_fifty_patients(citizens: Store) -> None:
    for number in range(MOST_PATIENTS - 1):
        people.link(citizens, ASHA, HOSPITAL, f"Patient/{number}")
    with pytest.raises(FhirError, match="50"):
        people.link(citizens, ASHA, HOSPITAL, "Patient/one more")
    assert len(of(citizens, ASHA).patients) == MOST_PATIENTS == 50
    people.link(citizens, ASHA, CLINIC)
    assert CLINIC in of(citizens, ASHA).facilities


def test_linking_nobody_is_404(citizens: Store) -> None:
    with pytest.raises(FhirError) as refused:
        people.link(citizens, "Patient/nobody", HOSPITAL)
    assert refused.value.status == 404


def test_links_made_at_once_are_all_kept(citizens: Store) -> None:
    acts = [
        partial(people.link, citizens, ASHA, f"Organization/{n % 5}", f"Patient/{n}")
        for n in range(20)
    ]
    assert at_once(acts) == []
    person = of(citizens, ASHA)
    assert person.patients == {ASHA, *(f"Patient/{n}" for n in range(20))}
    assert person.facilities == {f"Organization/{n}" for n in range(5)}
    assert person.epoch == 20


def test_links_and_unlinks_at_once_leave_what_was_not_undone(citizens: Store) -> None:
    for number in range(10):
        people.link(citizens, ASHA, HOSPITAL, f"Patient/{number}")
    undo = partial(people.unlink, citizens, ASHA, HOSPITAL)
    make = partial(people.link, citizens, ASHA, CLINIC)
    undone = [partial(undo, f"Patient/{n}") for n in range(10)]
    made = [partial(make, f"Patient/{n + 10}") for n in range(10)]
    assert at_once(undone + made) == []
    person = of(citizens, ASHA)
    assert person.patients == {ASHA, *(f"Patient/{n + 10}" for n in range(10))}
    assert person.facilities == {CLINIC}
    assert person.epoch == 30


def test_of_two_citizens_who_claim_one_patient_at_once_one_gets_it(citizens: Store) -> None:
    acts = [
        partial(people.link, citizens, who, HOSPITAL, "Patient/local")
        for who in (ASHA, RAVI) * 10
    ]
    failed = at_once(acts)
    assert [each.status for each in failed if isinstance(each, FhirError)] == [409] * 10
    owner = of(citizens, "Patient/local").id
    other = of(citizens, RAVI if owner == ASHA else ASHA)
    assert other.facilities == frozenset() and other.epoch == 0
