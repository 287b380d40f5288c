"""Client authentication at the OAuth endpoints: a secret (Basic or in the form) or a signed
assertion, exactly one of them, and one answer for everything that fails.

https://www.rfc-editor.org/rfc/rfc6749#section-2.3
https://www.rfc-editor.org/rfc/rfc7523#section-2.2
"""

from __future__ import annotations

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidRequestError
from pymongo.errors import DuplicateKeyError

from hie_server.authz import clients, tokens
from hie_server.authz.assertions import AssertionFault, is_signed_by, read_assertion
from hie_server.authz.clients import Client
from hie_server.store.database import Store

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION = frozenset(("client_assertion", "client_assertion_type"))
# Compared with where there is no secret, so that an unknown client costs what a known one does.
NO_SECRET = "0" * 64


class InvalidClient(InvalidClientError):
    """401 with a challenge where the Authorization header was tried, else 400."""

    description = "Client authentication failed."

    def __init__(self, request: OAuth2Request, description: str | None = None):
        tried = "Authorization" in request.headers
        super().__init__(description=description, status_code=401 if tried else 400)

    def get_headers(self) -> list[tuple[str, str]]:
        headers: list[tuple[str, str]] = OAuth2Error.get_headers(self)
        if self.status_code == 401:
            headers.append(("WWW-Authenticate", 'Basic realm="hie", charset="UTF-8"'))
        return headers


def authenticate(store: Store, request: OAuth2Request, audience: str) -> Client:
    """The client that the request proves to come from; `request.event` names the client that was
    claimed, if there is such a one. Raises InvalidClient or InvalidRequestError."""
    method = _method(request)
    if method == "private_key_jwt":
        client = _by_assertion(store, request, audience)
    else:
        client = _by_secret(store, request, method)
    if client is None:
        raise InvalidClient(request)
    request.auth_method = method
    return client


def _method(request: OAuth2Request) -> str:
    tried = {
        "client_secret_basic": "Authorization" in request.headers,
        "client_secret_post": "client_secret" in request.form,
        "private_key_jwt": not ASSERTION.isdisjoint(request.form),
    }
    methods = [method for method, is_tried in tried.items() if is_tried]
    if len(methods) > 1:
        raise InvalidRequestError("A request takes one client authentication, not several.")
    if not methods:
        raise InvalidClient(request)
    return methods[0]


def _by_secret(store: Store, request: OAuth2Request, method: str) -> Client | None:
    client_id = request.form.get("client_id", "")
    if method == "client_secret_basic":
        username, secret = _basic(request)
        if client_id not in ("", username):
            raise InvalidRequestError("client_id is not the one of the Authorization header.")
        client_id = username
    else:
        secret = request.form["client_secret"]
    client = _claimed(store, request, client_id)
    expected = client.secret if client and client.secret else NO_SECRET
    is_proven = hmac.compare_digest(tokens.digest(secret), expected)
    return client if is_proven and client and _is_usable(client, method) else None


def _by_assertion(store: Store, request: OAuth2Request, audience: str) -> Client | None:
    if request.form.get("client_assertion_type") != ASSERTION_TYPE:
        raise InvalidRequestError(f"client_assertion_type must be {ASSERTION_TYPE}.")
    assertion = request.form.get("client_assertion", "")
    try:
        header, claims = read_assertion(assertion, audience, store.clock().timestamp())
    except AssertionFault as fault:
        raise InvalidClient(request, str(fault)) from fault
    client = _claimed(store, request, claims["iss"])
    if client is None or not _is_usable(client, "private_key_jwt"):
        return None
    is_proven = is_signed_by(assertion, header, client.jwks)
    is_same = request.form.get("client_id", claims["iss"]) == claims["iss"]
    return client if is_proven and is_same and _first_use(store, claims) else None


def _basic(request: OAuth2Request) -> tuple[str, str]:
    scheme, _, text = request.headers["Authorization"].partition(" ")
    try:
        pair = base64.b64decode(text, validate=True).decode()
    except ValueError as error:
        raise InvalidClient(request) from error
    username, _, password = pair.partition(":")
    if scheme.lower() != "basic":
        raise InvalidClient(request)
    return unquote_plus(username), unquote_plus(password)


def _claimed(store: Store, request: OAuth2Request, client_id: str) -> Client | None:
    client = clients.find(store, client_id)
    request.event["client_id"] = client and client.client_id
    return client


def _is_usable(client: Client, method: str) -> bool:
    return not client.suspended and client.check_endpoint_auth_method(method, "token")


def _first_use(store: Store, claims: dict[str, Any]) -> bool:
    """Is this jti new for its issuer? It is kept an hour longer than the assertion counts, since
    the database's clock, which clears it away, may run ahead of ours."""
    key = tokens.digest(json.dumps([claims["iss"], claims["jti"]]))
    until = datetime.fromtimestamp(claims["exp"], UTC) + timedelta(hours=1)
    try:
        store.db["jtis"].insert_one({"_id": key, "expires": until})
    except DuplicateKeyError:
        return False
    return True
