"""What people told the exchange is nowhere on its disk in the clear, nor in any log.

A mongod of its own, with every compression off, is filled through all interactions and stopped;
then the bytes of its files are searched: collections, indexes, the oplog, its journal and its log.
"""

from __future__ import annotations

import base64
import logging
import secrets
from pathlib import Path
from typing import Iterator

import pytest

from hie_server import create_app, open_store
from hie_server.authz import clients
from hie_server.config import Settings
from hie_server.identity import enrolment, people
from hie_server.store import migrations, mongod
from tests.support import Api, District, Json, body_of, concept, consent

UNCOMPRESSED = (
    *("--wiredTigerCollectionBlockCompressor", "none"),
    *("--wiredTigerJournalCompressor", "none"),
    *("--wiredTigerIndexPrefixCompression", "false"),
)
PLANTED = "planted-in-the-clear"
FORM = "application/x-www-form-urlencoded"
LOCAL = "Patient/9876543210"
SAID = [
    "Satyendra", "Kesarwani", "सत्येन्द्र", "9123409876", "asha.k@example.org", "9876543210",
    "drkesarwani", "Tuberculosis", "86406-8", "A15-0", "4711-LAB", "HIVLABEL", "1961-03-07",
    "Mohallah-Katra", "typed-in-a-search", "typed-in-an-id", "typed-in-an-error",
    "typed-in-a-path", "typed-in-a-form", "typed-in-a-tag", "typed-in-a-header",
]


class Machine:
    """A mongod on a folder, and the exchange on it."""

    def __init__(self, folder: Path):
        (folder / "db").mkdir()
        (folder / "key").touch(0o600)
        (folder / "key").write_text(secrets.token_hex(32))
        self.folder = folder
        self.mongod = mongod.start(folder / "db", folder / "key", folder / "log")
        uri = self.mongod.uri
        self.settings = Settings(
            environment="development", mongodb_uri=uri, server_key=secrets.token_hex(32)
        )
        store = open_store(self.settings)
        migrations.run(store)
        store.client.close()
        self.district = District(create_app(self.settings))

    def stop(self) -> None:
        self.district.exchange.refusals.settle()
        self.district.records.client.close()
        self.mongod.stop()

    def holding(self, texts: list[str]) -> set[str]:
        """Which of these are in a file of the machine, its logs among them."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) > 1_000_000
        found: set[str] = set()
        for path in files:
            data = path.read_bytes()
            found |= {each for each in texts if each.encode() in data}
        return found


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setattr(mongod, "OPTIONS", (*mongod.OPTIONS, *UNCOMPRESSED))
    made = Machine(tmp_path)
    yield made
    made.mongod.stop(patience=0)


def telling(subject: str) -> Json:
    code = {"coding": [{"system": "http://loinc.org", "code": "86406-8"}], "text": "Tuberculosis"}
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIVLABEL"}
    return {
        "resourceType": "Observation",
        "meta": {"security": [label], "tag": [{"system": "urn:x", "code": "typed-in-a-tag"}]},
        "identifier": [{"system": "urn:lab", "value": "4711-LAB"}],
        "status": "final",
        "code": code,
        "subject": {"reference": subject, "display": "Satyendra Kesarwani"},
        "performer": [{"reference": "Practitioner/drkesarwani"}],
        "focus": [{"reference": "Patient/9123409876"}],
        "note": [{"text": "सत्येन्द्र: Tuberculosis A15-0"}],
    }


DEMOGRAPHICS = {
    "name": [{"text": "सत्येन्द्र"}, {"family": "Kesarwani", "given": ["Satyendra"]}],
    "telecom": [
        {"system": "phone", "value": "9123409876"},
        {"system": "email", "value": "asha.k@example.org"},
    ],
    "birthDate": "1961-03-07",
    "address": [{"line": ["Mohallah-Katra"]}],
}


def tell_everything(machine: Machine) -> list[str]:
    """Through every interaction, and wrongly as well; the secrets that were made meanwhile."""
    district = machine.district
    hospital, stranger = district.facility(), district.facility("Referral Hospital")
    citizen, number = enrolment.enrol(district.records, DEMOGRAPHICS)
    client, secret = clients.register(
        district.records, name="ward", facilities=[hospital], scope="system/*.cruds",
        purposes=["TREAT"],
    )
    pair = base64.b64encode(f"{client.client_id}:{secret}".encode()).decode()
    granted = district.app.test_client().post(
        "/oauth/token",
        data={"grant_type": "client_credentials"},
        headers={"Authorization": f"Basic {pair}"},
    )
    api = Api(district.app, body_of(granted)["access_token"])
    write_all(api, district, hospital, stranger, citizen)
    ask_all(api)
    ask_all(district.api(stranger))
    ask_all(district.api(citizen))
    return [number, f"{number[:2]}-{number[2:6]}", str(secret), api.token]


def write_all(
    api: Api, district: District, hospital: str, stranger: str, citizen: str
) -> None:
    local = api.store({"resourceType": "Patient", **DEMOGRAPHICS})
    people.link(district.records, citizen, hospital, local)
    for subject in (LOCAL, local, citizen):
        reference = api.store(telling(subject))
        body = body_of(api.get(reference))
        assert api.put(reference, {**body, "valueString": "A15-0"}).status_code == 200
        assert api.delete(reference).status_code == 204
        assert api.put(reference, body).status_code == 201
        assert district.api(stranger).get(reference).status_code == 404
    phone = district.api(citizen)
    code = [{"coding": [{"system": "http://loinc.org", "code": "86406-8"}]}]
    phone.store(consent(citizen, stranger, code=code))
    assert phone.post("Consent", consent(citizen, LOCAL)).status_code == 422
    api.store({"resourceType": "Basic", "code": concept("typed", "A15-0"),
               "subject": {"reference": LOCAL}})
    assert api.post("Observation", b'{"typed-in-an-error": "Tuberculosis"').status_code == 400
    wrong = {**telling(LOCAL), "status": "typed-in-an-error", "A15-0": "Tuberculosis"}
    assert api.post("Observation", wrong).status_code == 422


def ask_all(api: Api) -> None:
    for path, status in {
        "Patient?name=Satyendra&family:exact=Kesarwani": 200,
        "Patient?name:contains=Kesarwani": 200,
        "Patient?phone=9123409876&email=asha.k@example.org": 200,
        "Patient?birthdate=1961-03-07": 200,
        f"Observation?patient={LOCAL}": 200,
        "Observation?patient=9876543210&code=86406-8": 200,
        "Observation?code:text=Tuberculosis": 200,
        "Observation?identifier=urn:lab|4711-LAB&_tag=typed-in-a-tag": 200,
        "Observation?performer=Practitioner/drkesarwani": 200,
        "Observation?value-string=typed-in-a-search&_count=5": 200,
        "Observation?typed-in-a-search=Tuberculosis": 400,
        "Observation?_id=typed-in-an-id": 200,
        "Observation?date=typed-in-a-search": 400,
        "Observation?_cursor=typed-in-a-search": 400,
        "Observation/typed-in-an-id": 404,
        "Observation/typed-in-an-id/_history/9876543210": 404,
        "Observation/typed-in-a-path/Tuberculosis": 404,
        "typed-in-a-path": 404,
        "AuditEvent?entity=Patient/9876543210": 200,
        "Observation?code=" + "Tuberculosis," * 800: 414,
    }.items():
        headers = {"X-Request-Id": "typed-in-a-header", "X-Name": "Satyendra Kesarwani"}
        assert api.get(path, headers=headers).status_code == status, path
    form = b"code=typed-in-a-form&patient=Patient/9876543210"
    assert api("POST", "Observation/_search", form, content_type=FORM).status_code == 200
    forged = {**telling(LOCAL), "id": "9876543210"}
    assert api.put("Observation/9876543210", forged).status_code == 405


def test_nothing_that_was_told_is_on_disk_or_in_a_log(
    machine: Machine, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    for own in ("hie", "hie_server"):
        caplog.set_level(logging.DEBUG, own)
    made = tell_everything(machine)
    machine.district.records.db.notes.insert_one({"_id": PLANTED})
    machine.stop()
    assert machine.holding([*SAID, *made, PLANTED]) == {PLANTED}
    printed = capfd.readouterr()
    logged = caplog.text + printed.out + printed.err
    assert [each for each in [*SAID, *made] if each in logged] == []
