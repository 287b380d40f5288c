"""The commands that look after an exchange, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hie_server.authz import tokens
from hie_server.authz.tokens import Caller
from hie_server.cli import hie
from hie_server.config import Settings
from hie_server.fhir.outcomes import FhirError
from hie_server.identity import enrolment, facilities, health_id, people
from hie_server.store.database import Store
from tests.conftest import SERVER_KEY


@pytest.fixture
def run(store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HIE_MONGODB_URI", settings.mongodb_uri)
    monkeypatch.setenv("HIE_SERVER_KEY", SERVER_KEY)

    def typed(*words: str) -> Result:
        return CliRunner().invoke(hie, words)

    return typed


@pytest.fixture
def hospital(store: Store) -> str:
    return facilities.add(store, "Sadar Hospital")


def caller(store: Store, token: str) -> Caller:
    return tokens.caller(store, f"Bearer {token}")


def test_a_client_is_added_asks_and_is_suspended(run: Any, store: Store, hospital: str) -> None:
    added = json.loads(run("client", "add", "--name", "lab", "--facility", hospital).stdout)
    assert added.keys() == {"client_id", "client_secret"}
    printed = run("token", "--client", added["client_id"], "--scope", "system/Patient.rs").stdout
    assert printed.count("\n") == 1
    asking = caller(store, printed.strip())
    assert (asking.facility, str(asking.scopes)) == (hospital, "system/Patient.rs")
    assert run("client", "suspend", added["client_id"]).exit_code == 0
    with pytest.raises(FhirError):
        caller(store, printed.strip())
    assert run("token", "--client", added["client_id"]).exit_code == 2


def test_a_client_that_signs_has_no_secret(run: Any, hospital: str, tmp_path: Path) -> None:
    from joserfc.jwk import ECKey

    key = ECKey.generate_key("P-384", {"kid": "1", "alg": "ES384", "use": "sig"})
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    words = "client", "add", "--name", "lab", "--facility", hospital, "--jwks", str(keys)
    assert json.loads(run(*words).stdout).keys() == {"client_id"}
    keys.write_text("no JSON")
    assert run(*words).exit_code == 2


def test_a_citizen_has_a_token_and_is_linked(run: Any, store: Store, hospital: str) -> None:
    patient, number = enrolment.enrol(store, {"name": [{"text": "Asha"}]})
    shown = health_id.shown(number)
    assert caller(store, run("token", "--citizen", shown).stdout.strip()).citizen == patient
    words = "--citizen", shown, "--facility", hospital
    assert run("link", *words).exit_code == 0
    assert people.of_patient(store, patient).facilities == {hospital}
    assert run("unlink", *words).exit_code == 0
    assert people.of_patient(store, patient).facilities == frozenset()


@pytest.mark.parametrize(
    "words",
    [
        ("token",),
        ("token", "--client", "a", "--citizen", "b"),
        ("token", "--client", "nobody"),
        ("token", "--citizen", "12-3456-7890-1234"),
        ("link", "--citizen", "1", "--facility", "Organization/1"),
        ("client", "add", "--name", "lab", "--facility", "nowhere"),
        ("client", "suspend", "nobody"),
    ],
)
def test_what_cant_be_done_is_said_in_words(run: Any, words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code == 2 and "Error" in result.output


def test_the_schema_is_up_to_date_and_everything_is_indexed(run: Any) -> None:
    assert run("migrate").stdout == ""
    assert "nothing is pending" in run("reindex", "--again").output
