"""Loads of files into a store: what is written, what is refused, and what a second run does."""

import re

import pytest

from hie_server.authz import clients
from hie_server.identity import facilities
from tests.loading.samples import NPI, by, patient, practitioner, reasons, seen
from tests.support import consent


def test_references_among_the_files_mean_what_was_loaded(ward):
    ward.put("a.ndjson", seen())
    ward.put("b.ndjson", patient())
    assert ward.load().total == {"new": 2}
    known = ward.one("Patient")["id"]
    assert re.fullmatch("[0-9a-f-]{36}", known)
    assert ward.one("Observation")["subject"] == {"reference": f"Patient/{known}"}


def test_a_second_run_adds_nothing(ward):
    ward.put("a.ndjson", seen(), patient(), {"resourceType": "Basic", "code": {"text": "x"}})
    ward.load()
    before = ward.sizes()
    assert ward.load().total == {"unchanged": 3}
    assert ward.sizes() == before


def test_a_changed_resource_is_updated_and_keeps_its_id(ward):
    ward.put("a.ndjson", patient(), seen())
    ward.load()
    ward.put("a.ndjson", patient(gender="female"), seen())
    assert ward.load().total == {"updated": 1, "unchanged": 1}
    assert ward.one("Patient")["meta"]["versionId"] == "2"


def test_the_same_source_twice_in_one_run_is_one_resource_and_the_last_counts(ward):
    ward.put("a.ndjson", patient(gender="male"), patient(gender="female"))
    report = ward.load()
    assert report.total == {"new": 1, "updated": 1} and len(report.warnings) == 1
    assert ward.one("Patient")["gender"] == "female"


def test_another_custodian_gets_other_ids(ward):
    ward.put("a.json", patient())
    ward.load()
    other = facilities.add(ward.store, "Other")
    clients.register(ward.store, name="other", facilities=[other], scope="system/*.cruds")
    assert ward.load("other").total == {"new": 1}
    assert ward.store.db.resources.count_documents({"type": "Patient"}) == 2


def test_a_dangling_reference_stays_until_a_later_run_brings_its_target(ward):
    ward.put("a.ndjson", seen())
    assert ward.load().is_complete
    assert ward.one("Observation")["subject"] == {"reference": "Patient/p1"}
    ward.put("a.ndjson", patient())
    ward.load()
    ward.put("a.ndjson", seen())
    assert ward.load().total == {"updated": 1}
    assert ward.one("Observation")["subject"]["reference"] != "Patient/p1"


def test_a_reference_to_what_an_earlier_run_loaded_is_resolved(ward):
    ward.put("a.json", patient())
    ward.load()
    (ward.folder / "a.json").unlink()
    ward.put("b.json", seen("Patient/p1/_history/3"))
    ward.load()
    known = ward.one("Patient")["id"]
    assert ward.one("Observation")["subject"]["reference"] == f"Patient/{known}"


def test_an_attachment_s_url_is_rewritten_and_an_extension_s_is_not(ward):
    binary = {"resourceType": "Binary", "id": "x", "contentType": "text/plain"}
    extension = [{"url": "Binary/x", "valueCode": "a"}]
    attached = {"resourceType": "DocumentReference", "status": "current", "extension": extension}
    attached["content"] = [{"attachment": {"url": "Binary/x"}}]
    ward.put("a.ndjson", attached, binary)
    assert ward.load().is_complete
    url = ward.one("DocumentReference")["content"][0]["attachment"]["url"]
    assert url == f"Binary/{ward.one('Binary')['id']}"


# --- conditional references


def test_a_conditional_reference_is_resolved_over_the_whole_run(ward):
    ward.put("a.ndjson", seen(**by(f"Practitioner?identifier={NPI}|77")))
    ward.put("b.ndjson", practitioner())
    report = ward.load()
    known = ward.one("Practitioner")["id"]
    assert ward.one("Observation")["performer"] == [{"reference": f"Practitioner/{known}"}]
    assert not report.warnings


def test_a_conditional_reference_finds_the_store_then_the_directory(ward):
    directory = facilities.directory(ward.store)
    ours = directory.create(practitioner(number="88"))
    ward.put("a.ndjson", seen(**by(f"Practitioner?identifier={NPI}|88")))
    ward.load()
    assert ward.one("Observation")["performer"] == [{"reference": ours.reference}]


@pytest.mark.parametrize("doctors", [[], [practitioner(), practitioner("d2")]])
def test_what_finds_none_or_two_stays_with_a_warning(ward, doctors):
    asked = f"Practitioner?identifier={NPI}|77"
    ward.put("a.ndjson", seen(**by(asked)), *doctors)
    report = ward.load()
    assert report.is_complete and [each.count for each in report.warnings.values()] == [1]
    assert ward.one("Observation")["performer"] == [{"reference": asked}]


# --- what is not loaded


def test_the_journal_and_a_consent_that_a_facility_cannot_give_are_refused(ward):
    granted = consent("Patient/p1", ward.facility)
    event = {
        "resourceType": "AuditEvent",
        "type": {"code": "rest"},
        "recorded": "2024-01-01T00:00:00Z",
        "agent": [{"requestor": True}],
        "source": {"observer": {"display": "x"}},
    }
    ward.put("a.ndjson", granted, {**granted, "status": "proposed"}, event)
    report = ward.load()
    assert report.total == {"new": 1, "refused": 2}
    assert reasons(report) == ["business-rule", "not-supported"]
    assert ward.one("Consent")["status"] == "proposed"


def test_a_client_loads_what_its_scopes_cover(ward):
    scope = "system/Patient.cruds"
    clients.register(ward.store, name="desk", facilities=[ward.facility], scope=scope)
    ward.put("a.ndjson", patient(), seen())
    report = ward.load("desk")
    assert report.total == {"new": 1, "refused": 1} and reasons(report) == ["forbidden"]


def test_what_is_not_fhir_is_skipped_and_what_is_broken_is_refused(ward):
    ward.put("log.ndjson", {"event": "kickoff"}, {"event": "done"})
    ward.put("a.ndjson", patient(), b'{"resourceType": "Pat', {"resourceType": "Doctor"})
    report = ward.load()
    assert report.total == {"new": 1, "refused": 2}
    assert [group.count for group in report.skipped.values()] == [2]


def test_one_resource_that_the_store_refuses_does_not_keep_others_out(ward):
    names = [{"text": f"name {number} {'x' * 12}"} for number in range(6_000)]
    ward.put("a.ndjson", patient("p1", name=names), patient("p2"))
    report = ward.load()
    assert report.total == {"new": 1, "refused": 1} and reasons(report) == ["too-long"]


def test_no_value_of_a_record_is_in_the_report(ward):
    secret = "Kumari-9934"
    wrong = patient(secret, birthDate=secret, gender=secret, multipleBirthInteger=12.75)
    ward.put("a.ndjson", wrong, seen(f"Pat/{secret}"), f'{{"{secret}": x}}'.encode())
    text = "\n".join(ward.load().lines(1.0))
    assert secret not in text and "12.75" not in text
    assert "Patient.birthDate" in text and "a.ndjson:2" in text


def test_a_load_that_is_stopped_keeps_what_is_written_and_still_reports(ward):
    ward.put("a.ndjson", *(patient(f"p{number}") for number in range(450)))
    told = []

    def stop(size):
        told.append(size)
        if len(told) == 890:
            raise KeyboardInterrupt

    report = ward.load(advance=stop)
    assert report.stopped and not report.is_complete
    assert report.total == {"new": 400} and len(ward.stored("Patient")) == 400
    assert ward.load().total == {"new": 50, "unchanged": 400}


def test_each_transaction_is_in_the_journal_with_the_client(ward):
    ward.put("a.ndjson", patient(), seen())
    before = ward.store.db.journal.count_documents({})
    ward.load()
    assert ward.store.db.journal.count_documents({}) == before + 1
