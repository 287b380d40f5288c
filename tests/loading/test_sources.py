"""Files and folders as they are found on disks."""

import gzip
import os
from pathlib import Path

import pytest

from hie_server.loading import sources
from hie_server.loading.sources import Source, documents, find

PATIENT = b'{"resourceType": "Patient", "id": "1"}'


@pytest.fixture
def told():
    """(skipped, faults): (place, why) of each."""
    return [], []


def names(path, told):
    skipped, faults = told
    found = find(
        [path],
        lambda place, why: skipped.append((place, why)),
        lambda place, issue: faults.append((place, issue.diagnostics)),
    )
    return [each.path.relative_to(path).as_posix() for each in found]


def read(path):
    return list(documents(Source(path, path.stat().st_size)))


def test_a_folder_is_read_in_sorted_order_with_its_folders(tmp_path, told):
    for name in ("b.json", "a/z.ndjson", "a/y.JSONL.gz", "c.json.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PATIENT)
    assert names(tmp_path, told) == ["a/y.JSONL.gz", "a/z.ndjson", "b.json", "c.json.gz"]
    assert told == ([], [])


def test_other_names_and_what_is_no_file_are_skipped_by_name(tmp_path, told):
    (tmp_path / "LICENSE").write_text("free")
    (tmp_path / "a.json").write_bytes(PATIENT)
    os.mkfifo(tmp_path / "pipe.json")
    assert names(tmp_path, told) == ["a.json"]
    assert [Path(place).name for place, _ in told[0]] == ["LICENSE", "pipe.json"]


def test_a_folder_loop_ends_and_a_second_link_is_not_read_twice(tmp_path, told):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "x.json").write_bytes(PATIENT)
    (tmp_path / "same.json").symlink_to(tmp_path / "a" / "x.json")
    assert names(tmp_path, told) == ["a/x.json"]
    assert [Path(place).name for place, _ in told[0]] == ["up", "same.json"]


def test_a_link_to_nothing_and_one_to_itself_are_faults_and_the_rest_goes_on(tmp_path, told):
    (tmp_path / "a.json").symlink_to(tmp_path / "gone.json")
    (tmp_path / "b.json").symlink_to(tmp_path / "b.json")
    (tmp_path / "c.json").write_bytes(PATIENT)
    assert names(tmp_path, told) == ["c.json"]
    assert [Path(place).name for place, _ in told[1]] == ["a.json", "b.json"]


def test_a_name_that_steers_a_terminal_is_shown_without_that():
    assert sources.shown(Path("a\x1b[2J.json")) == "a\ufffd[2J.json"


def test_each_line_is_a_document_and_a_broken_one_is_named(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(PATIENT + b"\r\n\n" + PATIENT[:20] + b"\n" + b"\xff\xfe\n" + PATIENT)
    found = read(path)
    assert [each.value is not None for each in found] == [True, False, False, True]
    assert [each.place for each in found] == [f"{path}:{n}" for n in (1, 3, 4, 5)]
    assert "UTF-8" in found[2].fault.diagnostics


def test_a_file_that_cannot_be_parsed_is_named_with_its_line(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'{"resourceType":\n"Patient",\n]')
    assert [each.place for each in read(path)] == [f"{path}:3"]


@pytest.mark.parametrize("name", ["a.ndjson.gz", "a.json.gz"])
def test_gzipped_files_are_read(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(PATIENT))
    assert [each.value["id"] for each in read(path)] == ["1"]


def test_a_truncated_gzip_gives_what_came_before_and_a_fault(tmp_path):
    path = tmp_path / "a.ndjson.gz"
    lines = b"".join(b'{"id": "%s"}\n' % os.urandom(9).hex().encode() for _ in range(40_000))
    path.write_bytes(gzip.compress(lines)[:-9])
    *before, last = read(path)
    assert before[0].value and len(before) > 1_000
    assert last.value is None and last.fault.code == "incomplete"


def test_what_is_no_gzip_is_a_fault(tmp_path):
    path = tmp_path / "a.json.gz"
    path.write_bytes(PATIENT)
    assert [each.fault.code for each in read(path)] == ["incomplete"]


def test_a_line_that_is_too_long_is_a_fault_and_the_next_is_read(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(b" " * (sources.MOST_LINE + 5) + b"{}\n" + PATIENT)
    assert [each.fault and each.fault.code for each in read(path)] == ["too-long", None]
