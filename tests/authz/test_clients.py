from dataclasses import replace
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from hie_server.authz import clients, tokens
from hie_server.authz.clients import register, suspend
from hie_server.authz.scopes import parse
from hie_server.fhir.outcomes import FhirError
from hie_server.store.database import Store

RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-384", {"kid": "ec"})


def jwks(*keys: dict[str, Any]) -> dict[str, Any]:
    return {"keys": list(keys)}


def faults(store: Store, **changes: Any) -> list[tuple[str, str]]:
    """Of a registration with these changes: (field, what is wrong)."""
    right = {"name": "Ward", "scope": "system/*.rs", "facilities": ["Organization/1"]}
    with pytest.raises(FhirError) as refused:
        register(store, **{**right, **changes})
    assert refused.value.status == 422
    assert store.db["clients"].count_documents({}) == 0
    return [(issue.expression, issue.diagnostics) for issue in refused.value.issues]


def test_returns_a_client_and_its_secret(store: Store) -> None:
    client, secret = register(
        store,
        name="District hospital",
        scope="system/*.read system/Patient.r",
        facilities=["Organization/1", "Organization/2", "Organization/1"],
        purposes=["TREAT", "ETREAT"],
    )
    found = clients.find(store, client.client_id)
    assert found and secret and len(secret) == 43
    assert found.secret == tokens.digest(secret)
    assert found.scope == "system/*.rs"
    assert found.facilities == ["Organization/1", "Organization/2"]
    assert found.purposes == ["TREAT", "ETREAT"]
    assert found.get_client_id() == client.client_id
    assert not found.suspended


def test_the_secret_is_not_stored(store: Store) -> None:
    _, secret = register(store, name="Ward", scope="system/*.rs")
    assert str(secret) not in str(list(store.db["clients"].find()))


def test_no_two_clients_share_an_id_or_a_secret(store: Store) -> None:
    made = [register(store, name="Ward", scope="system/*.rs") for _ in range(5)]
    assert len({client.client_id for client, _ in made}) == len({secret for _, secret in made}) == 5


def test_a_client_with_keys_has_no_secret(store: Store) -> None:
    keys = jwks(
        {**RSA.as_dict(), "alg": "RS384", "use": "sig", "x5t": "abc"},
        {**EC.as_dict(), "key_ops": ["verify"]},
    )
    client, secret = register(
        store, name="B", scope="system/*.rs", token_endpoint_auth_method="private_key_jwt",
        jwks=keys,
    )
    assert secret is None and client.secret is None
    found = clients.find(store, client.client_id)
    assert found and [sorted(key) for key in found.jwks] == [
        ["alg", "e", "kid", "kty", "n"],
        ["alg", "crv", "kid", "kty", "x", "y"],
    ]


@pytest.mark.parametrize(
    "key, words",
    [
        (RSA.as_dict(private=True), "private"),
        (EC.as_dict(private=True), "private"),
        (OctKey.generate_key(256, {"kid": "k"}).as_dict(private=True), "symmetric"),
        (ECKey.generate_key("P-256", {"kid": "k"}).as_dict(), "P-384"),
        (ECKey.generate_key("P-521", {"kid": "k"}).as_dict(), "P-384"),
        ({**RSA.as_dict(), "alg": "RS256"}, "RS384"),
        ({**RSA.as_dict(), "alg": "HS256"}, "RS384"),
        ({**EC.as_dict(), "alg": "ES256"}, "ES384"),
        ({**RSA.as_dict(), "use": "enc"}, "signatures"),
        ({**RSA.as_dict(), "key_ops": ["encrypt"]}, "signatures"),
        ({**RSA.as_dict(), "key_ops": 5}, "signatures"),
        ({**RSA.as_dict(), "kid": ""}, "kid"),
        ({**RSA.as_dict(), "kid": 5}, "kid"),
        ({**RSA.as_dict(), "kid": "k" * 129}, "kid"),
        ({"kty": "RSA", "kid": "short", "n": "AQAB" * 64, "e": "AQAB"}, "2048"),
        ({"kty": "RSA", "kid": "none", "e": "AQAB"}, "RFC 7518"),
        ({**RSA.as_dict(), "n": 5}, "RFC 7518"),
        ({**RSA.as_dict(), "n": "%%%"}, "RFC 7518"),
        ({**RSA.as_dict(), "e": "AQ"}, "RFC 7518"),
        ({**EC.as_dict(), "x": EC.as_dict()["y"]}, "RFC 7518"),
        ({**EC.as_dict(), "crv": ["P-384"]}, "RFC 7518"),
        ({"kty": ["RSA"], "kid": "k"}, "RSA and EC"),
        ({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "AA"}, "RSA and EC"),
        ("key", "RSA and EC"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused(store: Store, key: Any, words: str) -> None:
    found = faults(store, token_endpoint_auth_method="private_key_jwt", jwks=jwks(key))
    assert [field for field, _ in found] == ["jwks.keys[0]"]
    assert words in found[0][1]


@pytest.mark.parametrize(
    "keys", [{}, {"keys": []}, {"keys": "x"}, {"keys": [RSA.as_dict()] * 21}, [RSA.as_dict()]]
)
def test_a_key_set_without_a_usable_number_of_keys_is_refused(store: Store, keys: Any) -> None:
    found = faults(store, token_endpoint_auth_method="private_key_jwt", jwks=keys)
    assert found == [("jwks", "The jwks must hold `keys`, a list of 1 to 20.")]


def test_two_keys_of_one_kid_are_refused(store: Store) -> None:
    keys = jwks(RSA.as_dict(), {**EC.as_dict(), "kid": "rsa"})
    found = faults(store, token_endpoint_auth_method="private_key_jwt", jwks=keys)
    assert found == [("jwks", "Each key must have a kid of its own.")]


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"name": " "}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"name": "a" * 201}, "name"),
        ({"scope": ""}, "scope"),
        ({"scope": "system/*.rs system/Patient.dus"}, "scope"),
        ({"scope": "system/*.rs openid"}, "scope"),
        ({"scope": "system/Unicorn.rs system/*.r"}, "scope"),
        ({"scope": "system/Observation.rs?category=laboratory"}, "scope"),
        ({"facilities": ["Practitioner/1"]}, "facilities"),
        ({"facilities": ["Organization/1 "]}, "facilities"),
        ({"facilities": ["https://x.example/Organization/1"]}, "facilities"),
        ({"purposes": []}, "purposes"),
        ({"purposes": ["treat"]}, "purposes"),
        ({"purposes": ["TREAT", "MARKT"]}, "purposes"),
        ({"token_endpoint_auth_method": "none"}, "token_endpoint_auth_method"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "jwks"),
        ({"jwks": {"keys": [RSA.as_dict()]}}, "jwks"),
    ],
)
def test_a_wrong_registration_is_refused_by_its_field(
    store: Store, changes: dict[str, Any], field: str
) -> None:
    assert [name for name, _ in faults(store, **changes)] == [field]


def test_every_fault_is_named_at_once(store: Store) -> None:
    found = faults(store, name="", scope="x/y", facilities=["a", "b"], purposes=["Z"])
    assert [field for field, _ in found] == [
        "name", "scope", "scope", "facilities", "facilities", "purposes",
    ]


@pytest.mark.parametrize("client_id", ["", "absent", "a b", "\ud800", "\x00", "a" * 65, "$ne", "é"])
def test_an_unknown_client_is_not_found(store: Store, client_id: str) -> None:
    assert clients.find(store, client_id) is None
    assert not suspend(store, client_id)


def test_suspension_ends_the_clients_tokens_at_once(store: Store) -> None:
    client, _ = register(store, name="Ward", scope="system/*.rs")
    other, _ = register(store, name="Ward", scope="system/*.rs")
    mine, theirs = [
        tokens.issue(
            store, client_id=each.client_id, facility=None, scope=parse("system/*.rs"),
            purpose="TREAT", seconds=300,
        )
        for each in (client, other)
    ]
    assert suspend(store, client.client_id)
    with pytest.raises(FhirError):
        tokens.caller(store, f"Bearer {mine}")
    assert tokens.caller(store, f"Bearer {theirs}")
    found = clients.find(store, client.client_id)
    assert found and found.suspended


def test_only_the_registered_authentication_and_grant_are_open(store: Store) -> None:
    client, _ = register(store, name="Ward", scope="system/*.rs")
    assert client.check_endpoint_auth_method("client_secret_basic", "token")
    assert not client.check_endpoint_auth_method("client_secret_post", "token")
    assert not client.check_endpoint_auth_method("none", "token")
    assert client.check_grant_type("client_credentials")
    assert not client.check_grant_type("password")


def test_two_databases_in_one_process_do_not_mix(store: Store) -> None:
    other = replace(store, db=store.client[f"{store.db.name}_other"])
    try:
        client, _ = register(other, name="Ward", scope="system/*.rs")
        assert clients.find(other, client.client_id)
        assert clients.find(store, client.client_id) is None
    finally:
        store.client.drop_database(other.db.name)
