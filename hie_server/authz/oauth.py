"""The authorization server: client_credentials at the token endpoint, and revocation.

Authlib's server with its doors narrowed: parameters from the form alone, exactly one client
authentication, scopes intersected and never compared as text.
https://www.rfc-editor.org/rfc/rfc6749#section-4.4
https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html
"""

from __future__ import annotations

import logging
from typing import Any, Callable
from urllib.parse import parse_qsl

import flask
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc6749.errors import (
    InsecureTransportError,
    InvalidRequestError,
    InvalidScopeError,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint
from pymongo.errors import PyMongoError
from werkzeug.exceptions import HTTPException

from hie_server.authz import clients, tokens
from hie_server.authz.authentication import InvalidClient, authenticate
from hie_server.authz.clients import AUTH_METHODS, PURPOSES, Client
from hie_server.config import ConfigError, Settings
from hie_server.store.database import Store

TOKEN_SECONDS = 300
MAX_SCOPE = 4096
MAX_FORM = 16_384
MAX_PARAMETERS = 50
FORM = "application/x-www-form-urlencoded"
Record = Callable[[dict[str, Any]], None]
log = logging.getLogger(__name__)


def init_app(app: flask.Flask, store: Store, settings: Settings, record: Record) -> None:
    """`record` takes each event before its answer leaves: event ("token", "revoke"), client_id
    (None for an unknown one), facility, purpose, scope, status, error. Where it raises, the answer
    is 503 and no token. ConfigError where production's base URL isn't https."""
    app.extensions["oauth"] = Server(store, settings, record)


class TokenRequest(OAuth2Request):
    """A request as Authlib sees it, and its `event` for the journal, filled as things are known.

    `url` is the configured one: what is checked of it (TLS) must not hang on the Host header.
    """

    def __init__(self, url: str, event: str):
        super().__init__(flask.request.method, url, headers=flask.request.headers)
        self.payload = BasicOAuth2Payload({})
        names = ("client_id", "facility", "purpose", "scope", "status", "error")
        self.event: dict[str, Any] = {"event": event, **dict.fromkeys(names)}

    @property
    def form(self) -> dict[str, str]:
        return self.payload.data  # type: ignore[no-any-return]


class ClientCredentials(ClientCredentialsGrant):
    """One token: one facility of the client's, one purpose, and scopes that only narrow."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def validate_token_request(self) -> None:
        super().validate_token_request()
        form, event = self.request.form, self.request.event
        event["purpose"] = _purpose(self.client, form.get("purpose_of_use"))
        event["facility"] = _facility(self.client, form.get("organization"))
        if len(form.get("scope", "")) > MAX_SCOPE:
            raise InvalidScopeError(f"scope may have at most {MAX_SCOPE} characters.")
        self.scopes = self.client.narrowed(form.get("scope"))
        if not self.scopes:
            raise InvalidScopeError("None of these scopes is registered for this client.")
        event["scope"] = str(self.scopes)

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        store, event = self.server.store, self.request.event
        token = tokens.issue(
            store,
            client_id=self.client.client_id,
            facility=event["facility"],
            scope=self.scopes,
            purpose=event["purpose"],
            seconds=TOKEN_SECONDS,
        )
        # A suspension ends the tokens that it finds; one stored a moment later must end itself.
        client = clients.find(store, self.client.client_id)
        if client is None or client.suspended:
            tokens.revoke(store, token)
            raise InvalidClient(self.request)
        body = {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}
        return 200, {**body, "scope": event["scope"]}, self.TOKEN_RESPONSE_HEADER


class Revocation(RevocationEndpoint):
    """RFC 7009, by the client itself; of any other token nothing is said and nothing done."""

    CLIENT_AUTH_METHODS = AUTH_METHODS

    def authenticate_token(self, request: TokenRequest, client: Client) -> str:
        if "token" not in request.form:
            raise InvalidRequestError("token is missing.")
        return request.form["token"]

    def revoke_token(self, token: str, request: TokenRequest) -> None:
        tokens.revoke(self.server.store, token, request.client.client_id)


class Server(AuthorizationServer):
    """`endpoint` is the token endpoint's URL, which is also the audience of assertions."""

    def __init__(self, store: Store, settings: Settings, record: Record):
        super().__init__()
        self.store, self.record = store, record
        self.endpoint = f"{settings.base_url}/oauth/token"
        # Development may do without TLS; Authlib has no switch for that but a process-wide one.
        plain = not settings.production
        self.url = self.endpoint.replace("http:", "https:", 1) if plain else self.endpoint
        try:
            InsecureTransportError.check(self.url)
        except InsecureTransportError as error:
            raise ConfigError("HIE_BASE_URL must be https in production.") from error
        self.register_grant(ClientCredentials)
        self.register_endpoint(Revocation)

    def token(self) -> flask.Response:
        return self._answer("token", self.create_token_response)

    def revoke(self) -> flask.Response:
        return self._answer("revoke", self._revoked)

    def create_oauth2_request(self, request: TokenRequest) -> TokenRequest:
        return request

    def get_token_grant(self, request: TokenRequest) -> Any:
        if "grant_type" not in request.form:
            raise InvalidRequestError("grant_type is missing.")
        return super().get_token_grant(request)

    def authenticate_client(self, request: TokenRequest, *_: Any) -> Client:
        client = authenticate(self.store, request, self.endpoint)
        request.client = client
        return client

    def handle_error_response(self, request: TokenRequest, error: OAuth2Error) -> flask.Response:
        request.event["error"] = error.error
        return super().handle_error_response(request, error)  # type: ignore[no-any-return]

    def _revoked(self, request: TokenRequest) -> flask.Response:
        name = Revocation.ENDPOINT_NAME
        return self.create_endpoint_response(name, request)  # type: ignore[no-any-return]

    def _answer(
        self, event: str, reply: Callable[[TokenRequest], flask.Response]
    ) -> flask.Response:
        request = TokenRequest(self.url, event)
        try:
            request.payload = BasicOAuth2Payload(read_form(flask.request))
            response = reply(request)
        except OAuth2Error as error:
            response = self.handle_error_response(request, error)
        except PyMongoError as error:
            response = self._unavailable(request, error)
        try:
            self.record({**request.event, "status": response.status_code})
        except Exception as error:
            response = self._unavailable(request, error)
        return response

    def _unavailable(self, request: TokenRequest, error: Exception) -> flask.Response:
        """What the exception says stays out of the log: it may hold what was being stored."""
        log.error("No %s answer could be given: %s.", request.event["event"], type(error).__name__)
        fault = OAuth2Error("Try again later.", error="temporarily_unavailable", status_code=503)
        response = self.handle_error_response(request, fault)
        response.headers["Retry-After"] = "5"
        return response


def read_form(request: flask.Request) -> dict[str, str]:
    """The parameters of the body, each once; without a value is as good as not there."""
    if request.query_string:
        raise InvalidRequestError("Parameters belong in the body, not in the URL.")
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != FORM or charset != "utf-8":
        raise InvalidRequestError(f"Content-Type must be {FORM}.")
    try:
        pairs = parse_qsl(
            _body(request).decode(),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError as error:
        raise InvalidRequestError("The body must be a form in UTF-8.") from error
    form = dict(pairs)
    if len(form) < len(pairs):
        raise InvalidRequestError("No parameter may be given twice.")
    return {name: value for name, value in form.items() if value}


def _body(request: flask.Request) -> bytes:
    """One byte over the limit is read, since a chunked body is cut there without a word."""
    request.max_content_length = MAX_FORM + 1
    try:
        body = request.get_data(cache=False)
    except HTTPException as error:
        raise InvalidRequestError("The body can't be read.", status_code=error.code) from error
    if len(body) > MAX_FORM:
        raise InvalidRequestError(f"The body may have {MAX_FORM} bytes.", status_code=413)
    return body


def _purpose(client: Client, asked: str | None) -> str:
    if asked is None and "TREAT" in client.purposes:
        return "TREAT"
    if asked not in PURPOSES:
        raise InvalidRequestError(f"purpose_of_use must be one of {', '.join(PURPOSES)}.")
    if asked not in client.purposes:
        raise UnauthorizedClientError("This purpose_of_use is not registered for this client.")
    return asked


def _facility(client: Client, asked: str | None) -> str:
    if asked is None and len(client.facilities) > 1:
        raise InvalidRequestError("organization must name one of the facilities of this client.")
    facility = asked or next(iter(client.facilities), None)
    if facility not in client.facilities:
        raise UnauthorizedClientError("This organization is no facility of this client.")
    return str(facility)
