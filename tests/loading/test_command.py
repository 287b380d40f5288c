"""`hie load` as it is typed."""

import pytest
from click.testing import CliRunner

from hie_server.authz import clients
from hie_server.cli import hie
from hie_server.config import Settings
from hie_server.loading.command import caller_of
from tests.conftest import SERVER_KEY


@pytest.fixture
def load(settings: Settings, store, monkeypatch, tmp_path):
    monkeypatch.setenv("HIE_MONGODB_URI", settings.mongodb_uri)
    monkeypatch.setenv("HIE_SERVER_KEY", SERVER_KEY)
    monkeypatch.setenv("HIE_ENVIRONMENT", "development")
    (tmp_path / "a.ndjson").write_text('{"resourceType": "Patient", "id": "1"}\n')
    return lambda *options: CliRunner().invoke(hie, ["load", str(tmp_path), *options])


def test_everything_loaded_is_0_and_what_is_refused_1(load, tmp_path):
    done = load()
    assert done.exit_code == 0, done.output
    assert "Patient" in done.stdout and "/s." in done.stdout and "Loading" in done.stderr
    (tmp_path / "b.json").write_text("{")
    assert load().exit_code == 1


def test_the_loader_is_made_once_with_an_organization_of_its_own(load, store):
    load()
    load()
    (made,) = clients.clients(store)(name="loader")
    assert store.db.resources.find_one({"_id": made.facilities[0]})["custodian"] == "exchange"
    assert store.db.resources.find_one({"type": "Patient"})["custodian"] == made.facilities[0]


def test_a_client_is_named_by_its_name_or_id(store):
    made, _ = clients.register(store, name="w", facilities=["Organization/1"], scope="system/*.c")
    assert caller_of(store, "w") == caller_of(store, made.client_id)
    assert caller_of(store, "w").facility == "Organization/1"


@pytest.mark.parametrize("facilities", [[], ["Organization/1", "Organization/2"]])
def test_a_client_without_one_facility_is_2_in_one_line(load, store, facilities):
    clients.register(store, name="w", facilities=facilities, scope="system/*.cruds")
    done = load("--as", "w")
    assert done.exit_code == 2 and len(done.stderr.splitlines()) == 1


def test_a_client_that_is_unknown_ambiguous_or_suspended_is_2(load, store):
    assert load("--as", "nobody").exit_code == 2
    for _ in range(2):
        made, _ = clients.register(
            store, name="twin", facilities=["Organization/1"], scope="system/*.cruds"
        )
    assert load("--as", "twin").exit_code == 2
    clients.suspend(store, made.client_id)
    assert load("--as", made.client_id).exit_code == 2


def test_a_path_that_is_not_there_is_2(load):
    assert load("no-such-folder").exit_code == 2
