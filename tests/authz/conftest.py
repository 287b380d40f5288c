"""A token endpoint over a real store, and clients registered with it."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Iterator

import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from werkzeug.test import TestResponse

from hie_server.authz import oauth
from hie_server.authz.clients import Client, register
from hie_server.config import Settings
from hie_server.store.database import Store

ENDPOINT = "https://hie.example/oauth/token"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
KEYS = {
    "RS384": RSAKey.generate_key(2048, {"kid": "rsa", "alg": "RS384"}),
    "ES384": ECKey.generate_key("P-384", {"kid": "ec", "alg": "ES384"}),
}


@dataclass
class Endpoint:
    """`events` are those recorded; `fails` makes the next recordings raise."""

    store: Store
    events: list[dict[str, Any]] = field(default_factory=list)
    fails: bool = False
    keys: ClassVar[dict[str, Any]] = KEYS

    def __post_init__(self) -> None:
        self.app = Flask("endpoint")
        settings = Settings(base_url="https://hie.example")
        oauth.init_app(self.app, self.store, settings, self.record)
        self.app.post("/oauth/token")(self.app.extensions["oauth"].token)

    def record(self, event: dict[str, Any]) -> None:
        if self.fails:
            raise RuntimeError("no journal")
        self.events.append(event)

    def client(self, **changes: Any) -> tuple[Client, str]:
        given = {"name": "Ward", "scope": "system/*.cruds", "facilities": ["Organization/1"]}
        client, secret = register(self.store, **{**given, **changes})
        return client, secret or ""

    def client_with_keys(self, **changes: Any) -> Client:
        jwks = {"keys": [key.as_dict(private=False) for key in KEYS.values()]}
        method = {"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks}
        return self.client(**{**method, **changes})[0]

    def post(
        self, form: Any = None, auth: tuple[str, str] | None = None, **request: Any
    ) -> TestResponse:
        data = {"grant_type": "client_credentials", **form} if isinstance(form, dict) else form
        if auth:
            text = base64.b64encode(":".join(auth).encode()).decode()
            request["headers"] = {**request.get("headers", {}), "Authorization": f"Basic {text}"}
        request.setdefault("content_type", "application/x-www-form-urlencoded")
        path = request.pop("path", "/oauth/token")
        return self.app.test_client().post(path, data=data, **request)

    def claims(self, client: Client, **changes: Any) -> dict[str, Any]:
        """Those of a right assertion, changed; a change to None takes the claim away."""
        now = self.store.clock().timestamp()
        claims = {
            "iss": client.client_id, "sub": client.client_id, "aud": ENDPOINT,
            "exp": int(now) + 240, "iat": int(now), "jti": secrets.token_hex(8), **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, claims: dict[str, Any], alg: str = "RS384", **header: Any) -> str:
        kid = KEYS[alg].kid
        return jwt.encode({"alg": alg, "kid": kid, **header}, claims, KEYS[alg], [alg])

    def assert_with(self, assertion: str, **form: str) -> TestResponse:
        kind = {"client_assertion_type": ASSERTION_TYPE}
        return self.post({**kind, "client_assertion": assertion, **form})


@pytest.fixture
def endpoint(store: Store) -> Iterator[Endpoint]:
    yield Endpoint(store)


@pytest.fixture
def second_endpoint(store: Store) -> Iterator[Endpoint]:
    """Another server in the same process, over another database."""
    other = replace(store, db=store.client[f"{store.db.name}_second"])
    yield Endpoint(other)
    store.client.drop_database(other.db.name)
