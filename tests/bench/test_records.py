"""The records to measure with: read or made, and copied under new ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hie_server.bench import records as module
from hie_server.bench.records import records
from hie_server.fhir.resources import is_id, literal_references
from hie_server.fhir.validator import validate

MADE = records(())


def patient(identity: str) -> dict[str, Any]:
    identifier = [{"system": "urn:mrn", "value": identity}]
    return {"resourceType": "Patient", "id": identity, "identifier": identifier}


def observation(identity: str, subject: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "code": {"text": "weight"},
        "subject": {"reference": subject},
        **more,
    }


def ndjson(path: Path, *resources: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in resources))
    return path


def test_what_is_made_here_is_valid_in_every_copy():
    for number in (0, 1, 2, len(MADE) + 2, 7 * len(MADE) - 1):
        record = MADE.record(number)
        assert [each for each in validate(record) if each.severity == "error"] == []


def test_a_record_has_the_same_id_each_time_and_another_in_each_copy():
    assert MADE.record(3) == MADE.record(3)
    numbers = range(3 * len(MADE))
    names = {MADE.reference(number) for number in numbers}
    assert len(names) == len(numbers) and all(is_id(each.split("/")[1]) for each in names)
    assert {f"{r['resourceType']}/{r['id']}" for r in map(MADE.record, numbers)} == names


def test_references_among_the_records_follow_their_copy():
    shift = 5 * len(MADE)
    named = list(literal_references(MADE.record(shift + 2)))
    assert named == [MADE.reference(shift), MADE.reference(shift + 1)]


def test_a_reference_by_identifier_follows_too_and_what_is_unknown_stays(tmp_path: Path):
    file = ndjson(
        tmp_path / "all.ndjson",
        observation("o", "Patient?identifier=urn:mrn|p", encounter={"reference": "Encounter/e"}),
        patient("p"),
    )
    read = records((file,))
    named = list(literal_references(read.record(len(read))))
    assert named == [read.reference(len(read) + 1), "Encounter/e"]
    assert read.by_patient() == {1: {"Observation": [0]}}


def test_entries_of_a_bundle_refer_to_each_other_by_full_url(tmp_path: Path):
    url = "urn:uuid:00000000-0000-4000-8000-000000000001"
    entries = [
        {"fullUrl": url, "resource": patient("p")},
        {"resource": observation("o", url)},
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    (tmp_path / "one.json").write_text(json.dumps(bundle))
    read = records((tmp_path,))
    assert read.record(1)["subject"] == {"reference": read.reference(0)}


def test_a_document_is_one_record(tmp_path: Path):
    document = {
        "resourceType": "Bundle",
        "id": "d",
        "identifier": {"system": "urn:documents", "value": "1"},
        "type": "document",
        "timestamp": "2026-01-01T00:00:00Z",
    }
    named = list(module._resources(json.dumps(document).encode()))
    assert [resource for _, resource in named] == [document]


def test_what_is_not_fhir_is_skipped_and_what_is_not_valid_is_counted(tmp_path: Path):
    (tmp_path / "other.json").write_text("[1, 2")
    ndjson(tmp_path / "mixed.ndjson", patient("p"), {"resourceType": "Patient", "gender": "?"})
    read = records((tmp_path,))
    assert (len(read), read.refused) == (1, 1)
