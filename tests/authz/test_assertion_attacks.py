import base64
import hashlib
import hmac
import json
from typing import Any, Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA384
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry

# The fixtures' types live in a conftest, which has no importable name.
Endpoint = Any
RIGHT = {"alg": "RS384", "kid": "rsa", "typ": "JWT"}


@pytest.mark.parametrize("alg", ["RS384", "ES384"])
def test_a_signed_assertion_proves_a_client(endpoint: Endpoint, alg: str) -> None:
    client = endpoint.client_with_keys()
    response = endpoint.assert_with(endpoint.sign(endpoint.claims(client), alg))
    assert response.status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"iat": None},
        {"exp": 300},
        {"exp": 309},
        {"exp": -9, "iat": -300},
        {"exp": 200.5},
        {"nbf": 9},
        {"jti": "j" * 256},
        {"jti": "\u0939\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")},
        {"extra": {"a": [1]}},
    ],
)
def test_an_assertion_within_the_limits_is_taken(
    endpoint: Endpoint, changes: dict[str, Any]
) -> None:
    client = endpoint.client_with_keys()
    response = endpoint.assert_with(endpoint.sign(claims(endpoint, client, changes)))
    assert response.status_code == 200, response.json


YEARS = 10 * 365 * 86400
CLAIMS: list[dict[str, Any]] = [
    {"exp": YEARS},
    {"exp": 311},
    {"exp": -11},
    {"exp": None},
    {"exp": "soon"},
    {"exp": True},
    {"exp": [1]},
    {"aud": None},
    {"aud": ["https://hie.example/oauth/token"]},
    {"aud": ["https://hie.example/oauth/token", "https://other.example"]},
    {"aud": "https://other.example/oauth/token"},
    {"aud": "https://hie.example"},
    {"aud": "https://hie.example/oauth/token/"},
    {"iss": "another"},
    {"sub": "another"},
    {"iss": None},
    {"sub": None},
    {"iss": 5, "sub": 5},
    {"iss": "\ud800", "sub": "\ud800"},
    {"iss": "nobody", "sub": "nobody"},
    {"iss": {"$ne": ""}, "sub": {"$ne": ""}},
    {"jti": None},
    {"jti": ""},
    {"jti": 5},
    {"jti": "j" * 257},
    {"iat": 60},
    {"iat": "now"},
    {"nbf": 60},
    {"nbf": True},
    {"extra": "x" * 4096},
]


def claims(endpoint: Endpoint, client: Any, changes: dict[str, Any]) -> dict[str, Any]:
    """Times are given in seconds from now."""
    now = int(endpoint.store.clock().timestamp())
    times = {
        name: value + now
        for name, value in changes.items()
        if name in ("exp", "iat", "nbf") and isinstance(value, (int, float)) and value is not True
    }
    return endpoint.claims(client, **{**changes, **times})  # type: ignore[no-any-return]


@pytest.mark.parametrize("changes", CLAIMS, ids=str)
def test_an_assertion_with_wrong_claims_is_refused(
    endpoint: Endpoint, changes: dict[str, Any]
) -> None:
    client = endpoint.client_with_keys()
    payload = json.dumps(claims(endpoint, client, changes)).encode()
    assert_refused(endpoint, signed_by_hand(endpoint, RIGHT, payload))


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "absent"},
        {"kid": "ec"},
        {"kid": "../../etc/passwd"},
        {"kid": "' OR 1=1 --"},
        {"kid": ""},
        {"typ": "at+jwt"},
        {"typ": "jwt"},
        {"typ": None},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/cert"},
        {"jwk": RSAKey.generate_key(2048).as_dict(private=False)},
        {"x5c": ["AA"]},
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": True},
        {"cty": "JWT"},
        {"kid": "k" * 600},
    ],
    ids=lambda header: "-".join(header),
)
def test_an_assertion_with_a_wrong_header_is_refused(
    endpoint: Endpoint, header: dict[str, Any]
) -> None:
    client = endpoint.client_with_keys()
    whole = {"alg": "RS384", "kid": "rsa", "typ": "JWT", **header}
    kept = {name: value for name, value in whole.items() if value is not None}
    assert_refused(endpoint, signed_by_hand(endpoint, kept, plain(endpoint, client)))


def segment(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signed_by_hand(endpoint: Endpoint, header: Any, payload: bytes) -> str:
    """Signed with the client's own RSA key, whatever header and payload say."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    message = segment(raw) + b"." + segment(payload)
    signature = endpoint.keys["RS384"].private_key.sign(message, PKCS1v15(), SHA384())
    return (message + b"." + segment(signature)).decode()


def plain(endpoint: Endpoint, client: Any) -> bytes:
    return json.dumps(endpoint.claims(client)).encode()


HEADERS: list[Any] = [
    b'{"alg":"RS384","alg":"RS384","kid":"rsa","typ":"JWT"}',
    b"[]",
    b"",
    {**RIGHT, "alg": ["RS384"]},
    {**RIGHT, "alg": None},
    {**RIGHT, "alg": "RS256"},
    {**RIGHT, "alg": "ES384"},
    {**RIGHT, "alg": "PS384"},
    {**RIGHT, "alg": "none"},
    {**RIGHT, "kid": ["rsa"]},
]
PAYLOADS: list[Callable[[bytes], bytes]] = [
    lambda right: right[:-1] + b',"jti":"other"}',
    lambda right: right[:-1] + b',"x":NaN}',
    lambda right: right.replace(b'"exp": ', b'"exp":1e999,"y":'),
    lambda right: right.replace(b'"exp": ', b'"exp":' + b"9" * 999),
    lambda right: b"[" * 1200 + b"]" * 1200,
    lambda right: b'{"a":' * 400 + b"1" + b"}" * 400,
    lambda right: b"[]",
    lambda right: b"null",
    lambda right: b"\xff",
    lambda right: b"",
]
TEXTS: list[Callable[[str], str]] = [
    lambda right: right.rpartition(".")[0] + ".",
    lambda right: right.rpartition(".")[0],
    lambda right: right + ".x",
    lambda right: right + " ",
    lambda right: right[:-8] + "AAAAAAAA",
    lambda right: right[:-1] + "\u00e9",
    lambda right: "a.b.c",
    lambda right: "..",
    lambda right: "a",
]


def assert_refused(endpoint: Endpoint, assertion: str) -> None:
    response = endpoint.assert_with(assertion)
    assert (response.status_code, response.json["error"]) == (400, "invalid_client")
    assert endpoint.store.db["tokens"].count_documents({}) == 0
    assert endpoint.store.db["jtis"].count_documents({}) == 0


def test_what_is_signed_by_hand_is_taken_unless_it_is_spoiled(endpoint: Endpoint) -> None:
    payload = plain(endpoint, endpoint.client_with_keys())
    assert endpoint.assert_with(signed_by_hand(endpoint, RIGHT, payload)).status_code == 200


@pytest.mark.parametrize("header", HEADERS, ids=str)
def test_a_forged_header_is_refused(endpoint: Endpoint, header: Any) -> None:
    payload = plain(endpoint, endpoint.client_with_keys())
    assert_refused(endpoint, signed_by_hand(endpoint, header, payload))


def test_an_assertion_without_a_signature_is_refused(endpoint: Endpoint) -> None:
    payload = plain(endpoint, endpoint.client_with_keys())
    signed = signed_by_hand(endpoint, {**RIGHT, "alg": "none"}, payload)
    assert_refused(endpoint, signed.rpartition(".")[0] + ".")


@pytest.mark.parametrize("spoil", PAYLOADS)
def test_claims_that_are_no_plain_object_are_refused(
    endpoint: Endpoint, spoil: Callable[[bytes], bytes]
) -> None:
    payload = plain(endpoint, endpoint.client_with_keys())
    assert_refused(endpoint, signed_by_hand(endpoint, RIGHT, spoil(payload)))


@pytest.mark.parametrize("spoil", TEXTS)
def test_a_mangled_assertion_is_refused(
    endpoint: Endpoint, spoil: Callable[[str], str]
) -> None:
    payload = plain(endpoint, endpoint.client_with_keys())
    assert_refused(endpoint, spoil(signed_by_hand(endpoint, RIGHT, payload)))


def forged(endpoint: Endpoint, client: Any, alg: str, key: Any, kid: str) -> str:
    registry = JWSRegistry(algorithms=[alg])
    return jwt.encode({"alg": alg, "kid": kid}, endpoint.claims(client), key, registry=registry)


@pytest.mark.parametrize(
    "alg, kid, key",
    [
        ("RS384", "rsa", RSAKey.generate_key(2048)),
        ("ES384", "ec", ECKey.generate_key("P-384")),
        ("RS256", "rsa", None),
        ("RS512", "rsa", None),
        ("PS384", "rsa", None),
        ("ES256", "ec", ECKey.generate_key("P-256")),
        ("HS384", "rsa", OctKey.generate_key(384)),
    ],
)
def test_another_key_or_algorithm_is_refused(
    endpoint: Endpoint, alg: str, kid: str, key: Any
) -> None:
    client = endpoint.client_with_keys()
    signer = key or endpoint.keys["RS384"].as_dict(private=True, alg=alg)
    signer = RSAKey.import_key(signer) if key is None else signer
    assert_refused(endpoint, forged(endpoint, client, alg, signer, kid))


@pytest.mark.parametrize("alg", ["HS256", "HS384"])
def test_a_public_key_is_no_shared_secret(endpoint: Endpoint, alg: str) -> None:
    client = endpoint.client_with_keys()
    secret = endpoint.keys["RS384"].as_pem(private=False)
    header = json.dumps({"alg": alg, "kid": "rsa", "typ": "JWT"}).encode()
    message = segment(header) + b"." + segment(plain(endpoint, client))
    digest = hmac.new(secret, message, getattr(hashlib, f"sha{alg[2:]}")).digest()
    assert_refused(endpoint, (message + b"." + segment(digest)).decode())


@pytest.mark.parametrize("changes", [{"aud": "x"}, {"exp": YEARS}, {"jti": None}], ids=str)
def test_the_words_of_a_refusal_tell_nothing_of_the_client(
    endpoint: Endpoint, changes: dict[str, Any]
) -> None:
    known = endpoint.client_with_keys()
    words = []
    for names in ({}, {"iss": "nobody", "sub": "nobody"}):
        signed = endpoint.sign(claims(endpoint, known, {**changes, **names}))
        words.append(endpoint.assert_with(signed).json)
    assert words[0] == words[1]
