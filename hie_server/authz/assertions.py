"""Clients' public keys, and the signed assertions by which a client proves who it is.

Only what SMART asks for is taken: RS384 and ES384, keys registered inline.
https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html
https://www.rfc-editor.org/rfc/rfc7523#section-3
"""

from __future__ import annotations

import json
import math
from typing import Any, Mapping

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.util import base64_to_int, urlsafe_b64decode

ALGORITHMS = {"RSA": "RS384", "EC": "ES384"}
MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y")}
SECRET_MEMBERS = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
HEADER = {"alg", "typ", "kid"}
MAX_ASSERTION = 4096
MAX_HEADER = 512
MAX_KEYS = 20
MAX_AHEAD = 300
LEEWAY = 10
Faults = list[tuple[str, str]]
Json = dict[str, Any]


class AssertionFault(Exception):
    """What is wrong with an assertion, in words that tell nothing about any client."""


def public_keys(jwks: Mapping[str, Any]) -> tuple[list[Json], Faults]:
    """The keys of a JWK Set, cut to what a signature check needs, and what is wrong with it."""
    given = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_KEYS:
        return [], [("jwks", f"The jwks must hold `keys`, a list of 1 to {MAX_KEYS}.")]
    keys, faults = [], []
    for position, jwk in enumerate(given):
        fault = _key_fault(jwk)
        if fault:
            faults.append((f"jwks.keys[{position}]", fault))
        else:
            kept = {name: jwk[name] for name in ("kty", "kid", *MEMBERS[jwk["kty"]])}
            keys.append({**kept, "alg": ALGORITHMS[jwk["kty"]]})
    if len({key["kid"] for key in keys}) < len(keys):
        faults.append(("jwks", "Each key must have a kid of its own."))
    return keys, faults


def _key_fault(jwk: Any) -> str | None:
    if not isinstance(jwk, dict) or jwk.get("kty") not in ("RSA", "EC"):
        return "Only public RSA and EC keys are taken, no symmetric ones."
    if SECRET_MEMBERS & jwk.keys():
        return "The key holds private members: register its public part only, and replace it."
    if not isinstance(jwk.get("kid"), str) or not 1 <= len(jwk["kid"]) <= 128:
        return "The key needs a kid of 1 to 128 characters."
    if jwk.get("alg", ALGORITHMS[jwk["kty"]]) != ALGORITHMS[jwk["kty"]]:
        return "The key must be for RS384 (RSA) or ES384 (EC, P-384)."
    operations = jwk.get("key_ops", ["verify"])
    is_list = isinstance(operations, list)
    if jwk.get("use", "sig") != "sig" or not is_list or "verify" not in operations:
        return "The key must be for signatures: use sig, key_ops verify."
    return _material_fault(jwk)


def _material_fault(jwk: Json) -> str | None:
    try:
        if jwk["kty"] == "EC":
            return None if ECKey.import_key(jwk).curve_name == "P-384" else "EC keys must be P-384."
        # joserfc only warns of short keys, so the length is looked at before it sees the key.
        if not 2048 <= base64_to_int(jwk["n"]).bit_length() <= 8192:
            return "RSA keys must have 2048 to 8192 bits."
        RSAKey.import_key(jwk)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return "The key can't be read as a JWK (RFC 7518)."
    return None


def read_assertion(assertion: str, audience: str, now: float) -> tuple[Json, Json]:
    """Header and claims of a well-formed assertion for this audience (our token endpoint), its
    signature not yet checked; `now` in seconds since 1970."""
    if len(assertion) > MAX_ASSERTION or not assertion.isascii() or assertion.count(".") != 2:
        raise AssertionFault(f"The assertion must be a signed JWT of up to {MAX_ASSERTION} bytes.")
    header, claims = map(_json, assertion.split(".")[:2])
    _check_header(header, len(assertion.split(".")[0]))
    _check_claims(claims, audience)
    _check_times(claims, now)
    return header, claims


def is_signed_by(assertion: str, header: Json, keys: list[Json]) -> bool:
    """Does one of these registered keys, the one that `kid` names, verify the signature?"""
    jwk = next((key for key in keys if key["kid"] == header["kid"]), None)
    if jwk is None or jwk["alg"] != header["alg"]:
        return False
    key = (RSAKey if jwk["kty"] == "RSA" else ECKey).import_key(jwk)
    try:
        jws.deserialize_compact(assertion, key, algorithms=[jwk["alg"]])
    except (JoseError, ValueError):
        return False
    return True


def _json(segment: str) -> Json:
    """Strict JSON: which of two equal names counts must not depend on who reads it."""
    try:
        value = json.loads(
            urlsafe_b64decode(segment.encode()),
            object_pairs_hook=_unique,
            parse_constant=_refuse,
        )
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise AssertionFault("The header and claims of the assertion must be JSON objects.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("repeated name")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _check_header(header: Json, length: int) -> None:
    if header.keys() != HEADER or length > MAX_HEADER:
        raise AssertionFault("The header of the assertion must be alg, typ and kid, nothing else.")
    if header["alg"] not in ALGORITHMS.values():
        raise AssertionFault("The alg of the assertion must be RS384 or ES384.")
    if header["typ"] != "JWT":
        raise AssertionFault("The typ of the assertion must be JWT.")


def _check_claims(claims: Json, audience: str) -> None:
    issuer, jti = claims.get("iss"), claims.get("jti")
    if not isinstance(issuer, str) or claims.get("sub") != issuer:
        raise AssertionFault("The iss and sub of the assertion must both be the client_id.")
    if claims.get("aud") != audience:
        raise AssertionFault(f"The aud of the assertion must be the one string {audience}.")
    if not isinstance(jti, str) or not 1 <= len(jti) <= 256:
        raise AssertionFault("The jti of the assertion must be a string of 1 to 256 characters.")


def _check_times(claims: Json, now: float) -> None:
    if not _is_time(claims.get("exp")):
        raise AssertionFault("The exp of the assertion must be a time in seconds.")
    if claims["exp"] <= now - LEEWAY:
        raise AssertionFault("The assertion has expired.")
    if claims["exp"] > now + MAX_AHEAD + LEEWAY:
        raise AssertionFault(f"The exp of the assertion may be at most {MAX_AHEAD} s ahead.")
    for name in ("iat", "nbf"):
        begin = claims.get(name, 0)
        if not _is_time(begin) or begin > min(now + LEEWAY, claims["exp"]):
            raise AssertionFault(f"The {name} of the assertion must be a time that has come.")


def _is_time(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)
