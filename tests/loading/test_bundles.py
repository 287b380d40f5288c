"""Bundles of each type: what is written together, what alone, and what not at all."""

import pytest

from tests.loading.samples import (
    NPI,
    bundle,
    by,
    document,
    entry,
    patient,
    practitioner,
    reasons,
    seen,
)


def test_a_transaction_is_loaded_with_its_own_references(ward):
    ward.put("a.json", bundle("transaction", entry(patient(), "urn:uuid:1-2"),
                              entry(seen("urn:uuid:1-2"), "urn:uuid:1-3"),
                              entry(seen(identity="o2"), method="PUT")))
    assert ward.load().total == {"new": 3}
    meant = {each["subject"]["reference"] for each in ward.stored("Observation")}
    assert meant == {f"Patient/{ward.one('Patient')['id']}"}
    assert ward.load().total == {"unchanged": 3}


def test_one_invalid_entry_refuses_its_transaction_and_is_named(ward):
    wrong = {**seen(), "status": "done"}
    ward.put("a.json", bundle("transaction", entry(patient()), entry(wrong)))
    ward.put("b.json", patient("p2"))
    report = ward.load()
    assert report.total == {"refused": 2, "new": 1} and ward.one("Patient")
    assert [group.places for group in report.refusals.values()] == [
        [f"{ward.folder}/a.json Bundle.entry[1]"]
    ]


@pytest.mark.parametrize("more", [
    {"request": {"method": "DELETE", "url": "Patient/p2"}},
    {"request": {"method": "GET", "url": "Patient"}},
    entry(patient("p2"), url="urn:uuid:9") | {
        "request": {"method": "PUT", "url": "Patient?identifier=x"}},
    entry(patient("p2"), method="PUT", ifMatch='W/"1"'),
])
def test_entries_that_a_load_cannot_carry_out_are_refused_by_name(ward, more):
    ward.put("a.json", bundle("transaction", entry(patient()), more))
    report = ward.load()
    assert report.total == {"new": 1, "refused": 1} and reasons(report) == ["not-supported"]


def test_if_none_exist_writes_only_what_is_not_there(ward):
    ward.put("a.json", practitioner())
    ward.load()
    known = ward.one("Practitioner")["id"]
    asked = {"ifNoneExist": f"identifier={NPI}|77"}
    again = entry(practitioner("d2"), "urn:uuid:5", **asked)
    ward.put("a.json", bundle("transaction", again, entry(seen(**by("urn:uuid:5")))))
    assert ward.load().total == {"unchanged": 1, "new": 1}
    assert ward.one("Observation")["performer"] == [{"reference": f"Practitioner/{known}"}]


@pytest.mark.parametrize("kind", ["collection", "searchset"])
def test_the_entries_of_a_collection_are_each_loaded_alone(ward, kind):
    base = "http://clinic.example/fhir"
    wrong = {**seen(identity="o2"), "status": "done"}
    entries = [{"fullUrl": f"{base}/Patient/p1", "resource": patient()},
               {"fullUrl": f"{base}/Observation/o1", "resource": seen()},
               {"fullUrl": f"{base}/Observation/o2", "resource": wrong}]
    ward.put("a.json", bundle(kind, *entries))
    assert ward.load().total == {"new": 2, "refused": 1}
    known = ward.one("Patient")["id"]
    assert ward.one("Observation")["subject"]["reference"] == f"Patient/{known}"


def test_an_absolute_full_url_is_known_in_later_bundles(ward):
    base = "http://clinic.example/fhir"
    ward.put("a.json", bundle("collection", {"fullUrl": f"{base}/Patient/p1",
                                             "resource": patient()}))
    ward.put("b.json", bundle("collection", {"fullUrl": f"{base}/Observation/o1",
                                             "resource": seen()}))
    ward.load()
    known = ward.one("Patient")["id"]
    assert ward.one("Observation")["subject"]["reference"] == f"Patient/{known}"


def test_a_document_is_one_resource_as_it_was_attested(ward):
    ward.put("a.json", document())
    ward.put("b.json", patient())
    report = ward.load()
    assert report.total == {"new": 2} and [e.count for e in report.warnings.values()] == [2]
    stored = ward.one("Bundle")
    assert stored["entry"] == document()["entry"]


@pytest.mark.parametrize("wrong", [
    bundle("message", {"resource": patient()}),
    {"resourceType": "Bundle"},
    {"resourceType": "Bundle", "type": "transaction", "entry": 5},
    {"resourceType": "Bundle", "type": "collection", "entry": [1, {"fullUrl": 7}]},
    {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"ifMatch": 1}}]},
])
def test_other_bundles_are_refused_whole(ward, wrong):
    ward.put("a.json", wrong)
    assert ward.load().total == {"refused": 1}
