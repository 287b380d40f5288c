"""OAuth clients: who may ask for tokens, how they prove who they are, and what they may ask for.

https://www.rfc-editor.org/rfc/rfc7591#section-2
"""

from __future__ import annotations

import base64
import re
from typing import Any, Iterator, Sequence

from authlib.oauth2.rfc6749 import ClientMixin
from mongoengine import BooleanField, DictField, Document, ListField, StringField
from mongoengine.queryset import QuerySet

from hie_server.authz import assertions, scopes, tokens
from hie_server.fhir.outcomes import Issue, unprocessable
from hie_server.store.database import Store

AUTH_METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt")
CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
ORGANIZATION = re.compile(r"Organization/[A-Za-z0-9.-]{1,64}")
# https://terminology.hl7.org/ValueSet-v3-PurposeOfUse.html: those that the exchange knows.
PURPOSES = {
    "TREAT": "treatment",
    "ETREAT": "emergency treatment",
    "BTG": "break the glass",
    "CAREMGT": "care management",
    "PATRQT": "the patient's own request",
    "FAMRQT": "the family's request",
    "HPAYMT": "healthcare payment",
    "HOPERAT": "healthcare operations",
    "PUBHLTH": "public health",
    "HRESCH": "healthcare research",
    "DSRCH": "disease-specific research",
}


class Client(Document, ClientMixin):
    """A registered client, asked by Authlib's server through the methods below.

    `secret` is the SHA-256 of the secret, `jwks` its public keys, `facilities` the
    "Organization/…" that it may act for, `scope` in normal form, `purposes` v3-ActReason codes.
    """

    client_id = StringField(primary_key=True)
    name = StringField(required=True)
    token_endpoint_auth_method = StringField(required=True, choices=AUTH_METHODS)
    secret = StringField()
    jwks = ListField(DictField())
    facilities = ListField(StringField())
    scope = StringField(required=True)
    purposes = ListField(StringField())
    suspended = BooleanField(default=False)
    meta = {"collection": "clients", "auto_create_index": False, "allow_inheritance": False}

    def get_client_id(self) -> str:
        return str(self.client_id)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return bool(method == self.token_endpoint_auth_method)

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"

    def narrowed(self, requested: str | None) -> scopes.Scopes:
        """What is granted of a request's scopes: none asked for means all that is registered. A
        granular scope grants nothing until its part is enforced."""
        asked = None if requested is None else scopes.parse(requested).whole()
        return scopes.narrow(scopes.parse(self.scope), asked)


def clients(store: Store) -> QuerySet:
    """Queries of this store's clients: several databases live in one process, so none of them is
    mongoengine's global connection."""
    return QuerySet(Client, store.db["clients"])


def find(store: Store, client_id: str) -> Client | None:
    """The client, suspended or not."""
    if not CLIENT_ID.fullmatch(client_id):
        return None
    return clients(store)(client_id=client_id).first()  # type: ignore[no-any-return]


def register(
    store: Store,
    *,
    name: str,
    scope: str,
    facilities: Sequence[str] = (),
    purposes: Sequence[str] = ("TREAT",),
    token_endpoint_auth_method: str = "client_secret_basic",
    jwks: dict[str, Any] | None = None,
) -> tuple[Client, str | None]:
    """A new client and its secret, which is shown this once (None for private_key_jwt).

    FhirError 422 has an issue for everything that is wrong.
    """
    public, faults = assertions.public_keys(jwks) if jwks is not None else ([], [])
    faults += _name_faults(name)
    faults += _method_faults(token_endpoint_auth_method, jwks)
    faults += [*_scope_faults(scope), *_facility_faults(facilities), *_purpose_faults(purposes)]
    if faults:
        raise unprocessable([Issue("value", text, field) for field, text in faults])
    secret = None
    if token_endpoint_auth_method != "private_key_jwt":
        secret = base64.urlsafe_b64encode(store.random(32)).rstrip(b"=").decode()
    client = Client(
        client_id=store.random(16).hex(),
        name=name,
        token_endpoint_auth_method=token_endpoint_auth_method,
        secret=tokens.digest(secret) if secret else None,
        jwks=public,
        facilities=list(dict.fromkeys(facilities)),
        scope=str(scopes.parse(scope)),
        purposes=list(dict.fromkeys(purposes)),
    )
    clients(store).insert(client, load_bulk=False)
    return client, secret


def suspend(store: Store, client_id: str) -> bool:
    """No new tokens for this client, and an end to those it has; False where there is none such.

    The flag comes first: whoever is being issued a token meanwhile looks at it once more after
    the token is stored (oauth.ClientCredentials), so that either side sees the other.
    """
    if not CLIENT_ID.fullmatch(client_id):
        return False
    found = clients(store)(client_id=client_id).update_one(set__suspended=True)
    tokens.revoke_all(store, client_id)
    return bool(found)


def ensure_indexes(store: Store) -> None:
    """Of what clients leave behind: tokens, and the ids of assertions used up (`jtis`)."""
    tokens.ensure_indexes(store)
    store.db["jtis"].create_index("expires", expireAfterSeconds=0)


def _name_faults(name: str) -> Iterator[tuple[str, str]]:
    """A name is shown to people: no control characters, nothing that turns the reading order."""
    if not name.strip() or len(name) > 200 or not name.isprintable():
        yield "name", "The name must be 1 to 200 printable characters."


def _method_faults(method: str, jwks: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    if method not in AUTH_METHODS:
        known = ", ".join(AUTH_METHODS)
        yield "token_endpoint_auth_method", f"{method!r} is not one of {known}."
    elif (method == "private_key_jwt") != (jwks is not None):
        yield "jwks", "private_key_jwt needs a jwks, and no other method takes one."


def _scope_faults(text: str) -> Iterator[tuple[str, str]]:
    parsed = scopes.parse(text)
    for word in parsed.unknown:
        yield "scope", f"{word!r} is not a SMART scope like system/Observation.rs."
    for scope in parsed.granular:
        yield "scope", f"Granular scopes like {str(scope)!r} can't be registered: not enforced yet."
    if not parsed:
        yield "scope", "At least one scope is needed, like system/*.rs."


def _facility_faults(facilities: Sequence[str]) -> Iterator[tuple[str, str]]:
    for facility in facilities:
        if not ORGANIZATION.fullmatch(facility):
            yield "facilities", f"{facility!r} is not a reference like Organization/123."


def _purpose_faults(purposes: Sequence[str]) -> Iterator[tuple[str, str]]:
    for purpose in purposes:
        if purpose not in PURPOSES:
            yield "purposes", f"{purpose!r} is not one of {', '.join(PURPOSES)}."
    if not purposes:
        yield "purposes", "At least one purpose is needed, like TREAT."
