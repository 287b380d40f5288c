import base64
from typing import Any, Iterator

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from flask import Flask
from flask.testing import FlaskClient

from hie_server.authz import oauth, tokens
from hie_server.authz.clients import Client, register
from hie_server.config import Settings
from hie_server.fhir.outcomes import FhirError
from hie_server.store.database import Store
from hie_server.web.oauth import blueprint

BASE = "https://hie.example"
DOCUMENTS = ("/.well-known/oauth-authorization-server", "/fhir/.well-known/smart-configuration")
GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
def events() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def http(store: Store, events: list[dict[str, Any]]) -> Iterator[FlaskClient]:
    app = Flask("oauth")
    settings = Settings(base_url=BASE)
    app.config["HIE"] = settings
    oauth.init_app(app, store, settings, events.append)
    app.register_blueprint(blueprint)
    yield app.test_client()


def sign_up(store: Store, **changes: Any) -> tuple[Client, dict[str, str]]:
    """A client, and the Authorization header that it sends."""
    given = {"name": "Ward", "scope": "system/*.cruds", "facilities": ["Organization/1"]}
    client, secret = register(store, **{**given, **changes})
    pair = base64.b64encode(f"{client.client_id}:{secret}".encode()).decode()
    return client, {"Authorization": f"Basic {pair}"}


def token(http: FlaskClient, headers: dict[str, str]) -> str:
    return str(http.post("/oauth/token", data=GRANT, headers=headers).json["access_token"])


def is_alive(store: Store, token: str) -> bool:
    try:
        tokens.caller(store, f"Bearer {token}")
    except FhirError:
        return False
    return True


@pytest.mark.parametrize("path", DOCUMENTS)
@pytest.mark.parametrize("accept", ["*/*", "application/fhir+xml", "text/html"])
def test_discovery_is_json_for_everyone(http: FlaskClient, path: str, accept: str) -> None:
    response = http.get(path, headers={"Accept": accept, "Origin": "https://app.example"})
    assert response.content_type == "application/json"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.json["token_endpoint"] == f"{BASE}/oauth/token"
    assert response.json["code_challenge_methods_supported"] == ["S256"]


def test_smart_configuration_claims_what_is_there_and_no_more(http: FlaskClient) -> None:
    found = http.get("/fhir/.well-known/smart-configuration").json
    assert found["capabilities"] == [
        "client-confidential-symmetric",
        "client-confidential-asymmetric",
        "permission-v1",
        "permission-v2",
    ]
    assert found["grant_types_supported"] == ["client_credentials"]
    assert found["token_endpoint_auth_signing_alg_values_supported"] == ["ES384", "RS384"]
    assert found["token_endpoint_auth_methods_supported"] == [
        "client_secret_basic", "client_secret_post", "private_key_jwt",
    ]
    absent = {"issuer", "jwks_uri", "authorization_endpoint", "introspection_endpoint",
              "registration_endpoint", "management_endpoint"}
    assert not absent & found.keys()


def test_the_metadata_is_valid(http: FlaskClient) -> None:
    found = http.get("/.well-known/oauth-authorization-server").json
    assert found["issuer"] == BASE
    # Nothing is answered by redirect yet, which Authlib's check of the required list can't express.
    assert found.pop("response_types_supported") == []
    AuthorizationServerMetadata(found, response_types_supported=["code"]).validate()


def test_every_endpoint_of_the_documents_answers(http: FlaskClient) -> None:
    for path in DOCUMENTS:
        for name, url in http.get(path).json.items():
            if name.endswith("_endpoint"):
                assert http.post(url.removeprefix(BASE)).status_code == 400


def test_an_advertised_scope_can_be_had(http: FlaskClient, store: Store) -> None:
    (scope,) = http.get("/fhir/.well-known/smart-configuration").json["scopes_supported"]
    _, headers = sign_up(store, scope=scope)
    response = http.post("/oauth/token", data={**GRANT, "scope": scope}, headers=headers)
    assert response.json["scope"] == scope


def test_a_token_is_asked_for_by_post_alone(http: FlaskClient, store: Store) -> None:
    _, headers = sign_up(store)
    for method in (http.get, http.put, http.delete, http.patch):
        response = method("/oauth/token", query_string=GRANT, headers=headers)
        assert response.status_code == 405
        assert "POST" in response.headers["Allow"]


def test_a_client_revokes_its_own_token(
    http: FlaskClient, store: Store, events: list[dict[str, Any]]
) -> None:
    client, headers = sign_up(store)
    mine = token(http, headers)
    assert is_alive(store, mine)
    for hint in ({}, {"token_type_hint": "access_token"}, {"token_type_hint": "other"}):
        response = http.post("/oauth/revoke", data={"token": mine, **hint}, headers=headers)
        assert response.status_code == 200
        assert not is_alive(store, mine)
    assert events[-1] == {
        "event": "revoke", "client_id": client.client_id, "facility": None, "purpose": None,
        "scope": None, "status": 200, "error": None,
    }


def test_another_clients_token_answers_like_none(http: FlaskClient, store: Store) -> None:
    _, mine = sign_up(store)
    _, theirs = sign_up(store)
    other = token(http, theirs)
    answers = [
        http.post("/oauth/revoke", data={"token": text}, headers=mine)
        for text in (other, "A" * 43, "x")
    ]
    assert {(each.status_code, each.data) for each in answers} == {(200, answers[0].data)}
    assert is_alive(store, other)


def test_revocation_needs_the_client_and_a_token(http: FlaskClient, store: Store) -> None:
    _, headers = sign_up(store)
    mine = token(http, headers)
    asked = http.post("/oauth/revoke", data={"token": mine})
    assert (asked.status_code, asked.json["error"]) == (400, "invalid_client")
    asked = http.post("/oauth/revoke", data={"x": "y"}, headers=headers)
    assert (asked.status_code, asked.json["error"]) == (400, "invalid_request")
    asked = http.post(f"/oauth/revoke?token={mine}", data={"token": mine}, headers=headers)
    assert (asked.status_code, asked.json["error"]) == (400, "invalid_request")
    assert is_alive(store, mine)
