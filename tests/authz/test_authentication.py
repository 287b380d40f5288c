import threading
from datetime import timedelta
from typing import Any

import pytest

from hie_server.authz.clients import suspend

# The fixtures' types live in a conftest, which has no importable name.
Endpoint = Any
FAILED = {"error": "invalid_client", "error_description": "Client authentication failed."}
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_secret_proves_a_client(endpoint: Endpoint, method: str) -> None:
    client, secret = endpoint.client(token_endpoint_auth_method=method)
    if method == "client_secret_basic":
        response = endpoint.post({"client_id": client.client_id}, (client.client_id, secret))
    else:
        response = endpoint.post({"client_id": client.client_id, "client_secret": secret})
    assert response.status_code == 200


def test_whatever_fails_gets_the_same_answer(endpoint: Endpoint) -> None:
    client, secret = endpoint.client()
    suspended, right = endpoint.client()
    suspend(endpoint.store, suspended.client_id)
    by_post, post_secret = endpoint.client(token_endpoint_auth_method="client_secret_post")
    by_keys = endpoint.client_with_keys()
    pairs = [
        (client.client_id, "wrong"),
        (client.client_id, ""),
        (client.client_id, secret + "x"),
        (client.client_id, str(client.secret)),
        (client.client_id, secret.swapcase()),
        ("nobody", secret),
        ("", ""),
        ("$ne", secret),
        ("\x00", secret),
        (suspended.client_id, right),
        (by_post.client_id, post_secret),
        (by_keys.client_id, ""),
        (by_keys.client_id, "0" * 64),
    ]
    for pair in pairs:
        response = endpoint.post({}, pair)
        assert (response.status_code, response.json) == (401, FAILED)
        assert response.headers["WWW-Authenticate"] == 'Basic realm="hie", charset="UTF-8"'


def test_a_secret_in_the_form_fails_without_a_challenge(endpoint: Endpoint) -> None:
    basic, secret = endpoint.client()
    for form in (
        {"client_id": "nobody", "client_secret": "x"},
        {"client_id": basic.client_id, "client_secret": secret},
        {"client_secret": secret},
        {"client_id": basic.client_id},
        {},
    ):
        response = endpoint.post(form)
        assert (response.status_code, response.json) == (400, FAILED)
        assert "WWW-Authenticate" not in response.headers


@pytest.mark.parametrize(
    "header",
    [
        "Basic", "Basic ", "Basic %%%", "Basic /w==", "Basic YQ==", "Bearer YTpi", "YTpi",
        "Basic YTpi, Basic YTpi", "Basic YTpi YTpi", "Digest username=a", "Basic \u00e9",
    ],
)
def test_a_header_that_holds_no_secret_fails(endpoint: Endpoint, header: str) -> None:
    response = endpoint.post({}, headers={"Authorization": header})
    assert (response.status_code, response.json) == (401, FAILED)


def test_two_authentications_at_once_are_refused(endpoint: Endpoint) -> None:
    client, secret = endpoint.client()
    keyed = endpoint.client_with_keys()
    pair = (client.client_id, secret)
    signed = endpoint.sign(endpoint.claims(keyed))
    assertion = {"client_assertion": signed, "client_assertion_type": JWT_BEARER}
    for form, auth in (
        ({"client_secret": secret}, pair),
        (assertion, pair),
        ({"client_assertion_type": JWT_BEARER}, pair),
        ({"client_secret": secret, "client_id": client.client_id, **assertion}, None),
        ({"client_id": "another"}, pair),
    ):
        response = endpoint.post(form, auth)
        assert (response.status_code, response.json["error"]) == (400, "invalid_request")


def test_an_assertion_counts_once(endpoint: Endpoint) -> None:
    client = endpoint.client_with_keys()
    assertion = endpoint.sign(endpoint.claims(client))
    assert endpoint.assert_with(assertion).status_code == 200
    response = endpoint.assert_with(assertion)
    assert (response.status_code, response.json) == (400, FAILED)
    again = endpoint.sign(endpoint.claims(client, jti=endpoint.claims(client)["jti"]))
    assert endpoint.assert_with(again).status_code == 200


def test_a_jti_counts_once_with_whatever_else(endpoint: Endpoint) -> None:
    client, other = endpoint.client_with_keys(), endpoint.client_with_keys()
    first = endpoint.sign(endpoint.claims(client, jti="one"))
    second = endpoint.sign(endpoint.claims(client, jti="one"), "ES384")
    assert endpoint.assert_with(first).status_code == 200
    assert endpoint.assert_with(second).status_code == 400
    theirs = endpoint.sign(endpoint.claims(other, jti="one"))
    assert endpoint.assert_with(theirs).status_code == 200


def test_of_twenty_at_once_one_wins(endpoint: Endpoint) -> None:
    assertion = endpoint.sign(endpoint.claims(endpoint.client_with_keys()))
    begin = threading.Barrier(20)
    found: list[int] = []

    def ask() -> None:
        begin.wait()
        found.append(endpoint.assert_with(assertion).status_code)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200] + [400] * 19
    assert endpoint.store.db["tokens"].count_documents({}) == 1


def test_a_used_jti_is_kept_until_long_after_its_assertion(endpoint: Endpoint) -> None:
    client = endpoint.client_with_keys()
    endpoint.assert_with(endpoint.sign(endpoint.claims(client)))
    kept = endpoint.store.db["jtis"].find_one()
    assert kept["expires"] > endpoint.store.clock() + timedelta(minutes=60)
    indexes = endpoint.store.db["jtis"].index_information()
    assert indexes["expires_1"]["expireAfterSeconds"] == 0


def test_the_client_of_an_assertion_must_be_the_one_named(endpoint: Endpoint) -> None:
    client, other = endpoint.client_with_keys(), endpoint.client_with_keys()
    for named, status in ((other.client_id, 400), (client.client_id, 200)):
        assertion = endpoint.sign(endpoint.claims(client))
        assert endpoint.assert_with(assertion, client_id=named).status_code == status


def test_a_suspended_client_cannot_sign_in(endpoint: Endpoint) -> None:
    client = endpoint.client_with_keys()
    suspend(endpoint.store, client.client_id)
    response = endpoint.assert_with(endpoint.sign(endpoint.claims(client)))
    assert (response.status_code, response.json) == (400, FAILED)


@pytest.mark.parametrize(
    "form",
    [
        {"client_assertion": "a.b.c"},
        {"client_assertion": "a.b.c", "client_assertion_type": "jwt-bearer"},
    ],
)
def test_an_assertion_of_another_type_is_refused(
    endpoint: Endpoint, form: dict[str, str]
) -> None:
    response = endpoint.post(form)
    assert (response.status_code, response.json["error"]) == (400, "invalid_request")


def test_an_assertion_type_without_an_assertion_fails(endpoint: Endpoint) -> None:
    response = endpoint.post({"client_assertion_type": JWT_BEARER})
    assert (response.status_code, response.json["error"]) == (400, "invalid_client")
