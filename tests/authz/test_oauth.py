import logging
import threading
from typing import Any

import pytest
from flask import Flask
from pymongo.errors import AutoReconnect

from hie_server.authz import clients, oauth, tokens
from hie_server.authz.scopes import parse
from hie_server.config import ConfigError, Settings

# The fixtures' types live in a conftest, which has no importable name.
Endpoint = Any


def error(response: Any) -> tuple[int, str]:
    assert response.headers["Cache-Control"] == "no-store"
    assert "access_token" not in response.json
    return response.status_code, response.json["error"]


def test_a_client_gets_a_token_for_its_facility(endpoint: Endpoint) -> None:
    client, secret = endpoint.client(scope="system/Observation.rs")
    response = endpoint.post({}, (client.client_id, secret))
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Pragma"] == "no-cache"
    assert response.content_type == "application/json"
    token = response.json.pop("access_token")
    assert response.json == {
        "access_token": token, "token_type": "Bearer", "expires_in": 300,
        "scope": "system/Observation.rs",
    }
    caller = tokens.caller(endpoint.store, f"Bearer {token}")
    assert (caller.client_id, caller.facility) == (client.client_id, "Organization/1")
    assert (caller.purpose, caller.scopes) == ("TREAT", parse("system/Observation.rs"))
    assert endpoint.events == [
        {
            "event": "token", "client_id": client.client_id, "facility": "Organization/1",
            "purpose": "TREAT", "scope": "system/Observation.rs", "status": 200, "error": None,
        }
    ]


@pytest.mark.parametrize(
    "asked, granted",
    [
        ("system/Observation.rs", "system/Observation.rs"),
        ("system/*.cruds", "system/*.rs system/Task.cud"),
        ("system/*.*", "system/*.rs system/Task.cud"),
        ("system/Task.read", "system/Task.rs"),
        ("openid system/Task.c", "system/Task.c"),
        ("system/Task.rs?category=lab system/Task.c", "system/Task.c"),
        ("system/Task.r system/Task.r system/Task.r", "system/Task.r"),
        ("", "system/*.rs system/Task.cud"),
    ],
)
def test_scopes_are_narrowed(endpoint: Endpoint, asked: str, granted: str) -> None:
    client, secret = endpoint.client(scope="system/*.rs system/Task.cruds")
    response = endpoint.post({"scope": asked}, (client.client_id, secret))
    assert response.json["scope"] == granted


@pytest.mark.parametrize(
    "asked",
    [
        "system/Observation.c", "user/*.rs", "openid", "system/*.dus", " ", "\u00a0", "*",
        "system/Observation.rs\u3000system/Task.rs", "system/Patient.rs " * 300,
    ],
)
def test_nothing_left_of_the_scopes_is_refused(endpoint: Endpoint, asked: str) -> None:
    client, secret = endpoint.client(scope="system/*.rs")
    response = endpoint.post({"scope": asked}, (client.client_id, secret))
    assert error(response) == (400, "invalid_scope")
    assert endpoint.store.db["tokens"].count_documents({}) == 0


@pytest.mark.parametrize(
    "registered, asked, answer",
    [
        (["TREAT", "ETREAT"], None, "TREAT"),
        (["TREAT", "ETREAT"], "ETREAT", "ETREAT"),
        (["BTG"], "BTG", "BTG"),
        (["HPAYMT"], None, "invalid_request"),
        (["TREAT"], "", "TREAT"),
        (["TREAT"], "ETREAT", "unauthorized_client"),
        (["TREAT"], "MARKT", "invalid_request"),
        (["TREAT"], "treat", "invalid_request"),
        (["TREAT", "ETREAT"], "TREAT ETREAT", "invalid_request"),
        (["TREAT", "ETREAT"], "TREAT,ETREAT", "invalid_request"),
        (["TREAT"], "http://terminology.hl7.org/CodeSystem/v3-ActReason|TREAT", "invalid_request"),
    ],
)
def test_a_token_has_one_registered_purpose(
    endpoint: Endpoint, registered: list[str], asked: str | None, answer: str
) -> None:
    client, secret = endpoint.client(purposes=registered)
    form = {} if asked is None else {"purpose_of_use": asked}
    response = endpoint.post(form, (client.client_id, secret))
    if response.status_code == 200:
        header = f"Bearer {response.json['access_token']}"
        assert tokens.caller(endpoint.store, header).purpose == answer
    else:
        assert error(response) == (400, answer)


@pytest.mark.parametrize(
    "registered, asked, answer",
    [
        (["Organization/1"], None, "Organization/1"),
        (["Organization/1"], "Organization/1", "Organization/1"),
        (["Organization/1", "Organization/2"], "Organization/2", "Organization/2"),
        (["Organization/1", "Organization/2"], None, "invalid_request"),
        (["Organization/1"], "Organization/2", "unauthorized_client"),
        (["Organization/1", "Organization/2"], "Organization/3", "unauthorized_client"),
        (["Organization/1"], "organization/1", "unauthorized_client"),
        ([], None, "unauthorized_client"),
        ([], "Organization/1", "unauthorized_client"),
    ],
)
def test_a_token_names_one_registered_facility(
    endpoint: Endpoint, registered: list[str], asked: str | None, answer: str
) -> None:
    client, secret = endpoint.client(facilities=registered)
    form = {} if asked is None else {"organization": asked}
    response = endpoint.post(form, (client.client_id, secret))
    if response.status_code == 200:
        header = f"Bearer {response.json['access_token']}"
        assert tokens.caller(endpoint.store, header).facility == answer
    else:
        assert error(response) == (400, answer)


def test_a_refusal_is_recorded(endpoint: Endpoint) -> None:
    client, secret = endpoint.client()
    endpoint.post({"purpose_of_use": "ETREAT"}, (client.client_id, secret))
    endpoint.post({}, (client.client_id, "wrong"))
    endpoint.post({}, ("nobody", "wrong"))
    endpoint.post("x")
    seen = [(event["client_id"], event["status"], event["error"]) for event in endpoint.events]
    assert seen == [
        (client.client_id, 400, "unauthorized_client"),
        (client.client_id, 401, "invalid_client"),
        (None, 401, "invalid_client"),
        (None, 400, "invalid_request"),
    ]


def test_no_secret_and_no_token_reaches_an_event_or_a_log(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client, secret = endpoint.client()
    token = endpoint.post({}, (client.client_id, secret)).json["access_token"]
    posted, post_secret = endpoint.client(token_endpoint_auth_method="client_secret_post")
    endpoint.post({"client_id": posted.client_id, "client_secret": post_secret})
    signed = endpoint.sign(endpoint.claims(endpoint.client_with_keys()))
    endpoint.assert_with(signed)
    endpoint.fails = True
    endpoint.post({}, (client.client_id, secret))
    written = caplog.text + str(endpoint.events)
    assert "RuntimeError" in written
    assert not any(each in written for each in (secret, post_secret, token, signed))


def test_without_a_journal_there_is_no_token(endpoint: Endpoint) -> None:
    client, secret = endpoint.client()
    endpoint.fails = True
    response = endpoint.post({}, (client.client_id, secret))
    assert error(response) == (503, "temporarily_unavailable")
    assert response.headers["Retry-After"] == "5"


def test_without_a_database_there_is_no_token(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, secret = endpoint.client()

    def lost(*_: Any, **__: Any) -> str:
        raise AutoReconnect("connection closed")

    monkeypatch.setattr(tokens, "issue", lost)
    response = endpoint.post({}, (client.client_id, secret))
    assert error(response) == (503, "temporarily_unavailable")
    assert endpoint.events[-1]["error"] == "temporarily_unavailable"


def test_a_token_issued_while_its_client_is_suspended_is_worth_nothing(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, secret = endpoint.client()
    issue, given = tokens.issue, []

    def issue_late(store: Any, **values: Any) -> str:
        clients.suspend(store, client.client_id)
        given.append(issue(store, **values))
        return given[0]

    monkeypatch.setattr(tokens, "issue", issue_late)
    response = endpoint.post({}, (client.client_id, secret))
    assert error(response) == (401, "invalid_client")
    assert given and endpoint.store.db["tokens"].count_documents({}) == 0


def test_many_requests_at_once_get_tokens_of_their_own(endpoint: Endpoint) -> None:
    client, secret = endpoint.client()
    found: list[str] = []

    def ask() -> None:
        found.append(endpoint.post({}, (client.client_id, secret)).json["access_token"])

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 10


def test_two_servers_in_one_process_do_not_mix(
    endpoint: Endpoint, second_endpoint: Endpoint
) -> None:
    client, secret = endpoint.client()
    other, other_secret = second_endpoint.client()
    assert endpoint.post({}, (client.client_id, secret)).status_code == 200
    assert second_endpoint.post({}, (other.client_id, other_secret)).status_code == 200
    assert second_endpoint.post({}, (client.client_id, secret)).status_code == 401
    assert len(endpoint.events) == 1 and len(second_endpoint.events) == 2


@pytest.mark.parametrize(
    "environment, base_url, starts",
    [
        ("production", "https://hie.example", True),
        ("production", "http://127.0.0.1:8080", True),
        ("production", "http://hie.example", False),
        ("development", "http://192.168.1.9:8080", True),
    ],
)
def test_production_needs_https(environment: str, base_url: str, starts: bool) -> None:
    settings = Settings(environment=environment, base_url=base_url)
    app = Flask("transport")
    if starts:
        oauth.init_app(app, None, settings, print)  # type: ignore[arg-type]
        assert app.extensions["oauth"].endpoint == f"{base_url}/oauth/token"
    else:
        with pytest.raises(ConfigError):
            oauth.init_app(app, None, settings, print)  # type: ignore[arg-type]


def test_the_host_header_changes_nothing(endpoint: Endpoint) -> None:
    client, secret = endpoint.client()
    headers = {"Host": "evil.example", "X-Forwarded-Proto": "http"}
    assert endpoint.post({}, (client.client_id, secret), headers=headers).status_code == 200
