"""Access tokens: opaque, 256 random bits, on disk as their SHA-256 only.

A token's record is read at every request, so that revocation counts for the very next one.
https://www.rfc-editor.org/rfc/rfc6750
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hie_server.authz.scopes import Scopes, parse
from hie_server.fhir.outcomes import FhirError, Issue
from hie_server.store.database import Store

COLLECTION = "tokens"
REALM = 'Bearer realm="hie"'
BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class Caller:
    """Who asks, as the token says: one facility or one citizen, one purpose.

    `facility` "Organization/…"; `citizen` "Patient/…" for a citizen's own token; `purpose` one
    v3-ActReason code; `token` the token's hash, for the journal.
    """

    client_id: str
    facility: str | None
    citizen: str | None
    practitioner: str | None
    role: str | None
    scopes: Scopes
    purpose: str
    token: str


def issue(
    store: Store,
    *,
    client_id: str,
    facility: str | None,
    citizen: str | None = None,
    practitioner: str | None = None,
    role: str | None = None,
    scope: Scopes,
    purpose: str,
    seconds: int,
) -> str:
    """A new token; the only time that it is seen."""
    token = base64.urlsafe_b64encode(store.random(32)).rstrip(b"=").decode()
    now = store.instant()
    store.db[COLLECTION].insert_one(
        {
            "_id": digest(token),
            "client_id": client_id,
            "facility": facility,
            "citizen": citizen,
            "practitioner": practitioner,
            "role": role,
            "scope": str(scope),
            "purpose": purpose,
            "issued": now,
            "expires": now + timedelta(seconds=seconds),
        }
    )
    return token


def caller(store: Store, authorization_header: str | None) -> Caller:
    """Who presents this `Authorization` header; 401 in the same words whatever is wrong with it."""
    match = BEARER.fullmatch(authorization_header or "")
    row = store.db[COLLECTION].find_one({"_id": digest(match[1])}) if match else None
    if row is None or row["expires"] <= store.instant():
        raise _unauthorized(authorization_header)
    return _caller(row)


def revoke(store: Store, token: str, client_id: str | None = None) -> bool:
    """End this token, where it is that client's if one is named; was there such a token?"""
    owner = {} if client_id is None else {"client_id": client_id}
    return store.db[COLLECTION].delete_one({"_id": digest(token), **owner}).deleted_count == 1


def revoke_all(store: Store, client_id: str) -> None:
    store.db[COLLECTION].delete_many({"client_id": client_id})


def ensure_indexes(store: Store) -> None:
    """The index on `expires` only cleans up: whether a token still counts is compared here."""
    store.db[COLLECTION].create_index("client_id")
    store.db[COLLECTION].create_index("expires", expireAfterSeconds=3600)


def digest(secret: str) -> str:
    """SHA-256 is enough for secrets of 256 random bits: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _caller(row: dict[str, Any]) -> Caller:
    return Caller(
        client_id=row["client_id"],
        facility=row["facility"],
        citizen=row["citizen"],
        practitioner=row["practitioner"],
        role=row["role"],
        scopes=parse(row["scope"]),
        purpose=row["purpose"],
        token=row["_id"],
    )


def _unauthorized(header: str | None) -> FhirError:
    presented = (header or "").strip().lower().startswith("bearer")
    challenge = f'{REALM}, error="invalid_token"' if presented else REALM
    needed = Issue("login", "A valid access token is needed: Authorization: Bearer <token>.")
    return FhirError(401, [needed], {"WWW-Authenticate": challenge})
