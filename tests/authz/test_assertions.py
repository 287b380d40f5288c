import json

import pytest
from joserfc.jwk import RSAKey
from joserfc.jws import serialize_compact

from hie_server.authz.assertions import (
    AssertionFault,
    is_signed_by,
    public_keys,
    read_assertion,
)

AUDIENCE = "https://hie.example/oauth/token"
KEY = RSAKey.generate_key(2048, {"kid": "rsa"})
RIGHT = {"alg": "RS384", "kid": "rsa", "typ": "JWT"}
RIGHT_CLAIMS = {"iss": "c", "sub": "c", "aud": AUDIENCE, "exp": 1100, "jti": "j"}


def assertion(**changes: object) -> str:
    return serialize_compact(RIGHT, json.dumps({**RIGHT_CLAIMS, **changes}), KEY, ["RS384"])


def test_returns_header_and_claims() -> None:
    assert read_assertion(assertion(), AUDIENCE, now=1000) == (RIGHT, RIGHT_CLAIMS)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"aud": [AUDIENCE]}, f"aud of the assertion must be the one string {AUDIENCE}"),
        ({"exp": 1311}, "at most 300 s ahead"),
        ({"exp": 990}, "expired"),
        ({"exp": None}, "time in seconds"),
        ({"iss": "d"}, "iss and sub"),
        ({"jti": ""}, "jti"),
        ({"nbf": 1011}, "nbf"),
        ({"iat": 1101, "exp": 1100}, "iat"),
    ],
)
def test_a_refusal_says_what_would_be_right(changes: dict[str, object], words: str) -> None:
    with pytest.raises(AssertionFault, match=words):
        read_assertion(assertion(**changes), AUDIENCE, now=1000)


def test_only_the_named_key_proves_the_signature() -> None:
    other = RSAKey.generate_key(2048, {"kid": "two"})
    mine, both = [public_keys({"keys": [k.as_dict(private=False) for k in keys]})[0]
                  for keys in ([KEY], [other, KEY])]
    assert is_signed_by(assertion(), RIGHT, mine)
    assert is_signed_by(assertion(), RIGHT, both)
    assert not is_signed_by(assertion(), {**RIGHT, "kid": "two"}, both)
    assert not is_signed_by(assertion(), {**RIGHT, "kid": "three"}, both)
    assert not is_signed_by(assertion(), RIGHT, [])
    assert not is_signed_by(assertion(), {**RIGHT, "alg": "ES384"}, mine)
