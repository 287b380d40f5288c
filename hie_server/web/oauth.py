"""The OAuth endpoints, and the documents by which clients find them.

https://www.rfc-editor.org/rfc/rfc8414
https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, jsonify

from hie_server.authz.assertions import ALGORITHMS
from hie_server.authz.clients import AUTH_METHODS

blueprint = Blueprint("oauth", __name__)
CAPABILITIES = [
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "permission-v1",
    "permission-v2",
]


@blueprint.post("/oauth/token")
def token() -> Response:
    return current_app.extensions["oauth"].token()


@blueprint.post("/oauth/revoke")
def revoke() -> Response:
    return current_app.extensions["oauth"].revoke()


@blueprint.get("/.well-known/oauth-authorization-server")
def authorization_server() -> Response:
    base: str = current_app.config["HIE"].base_url
    return _document({"issuer": base, "response_types_supported": [], **_endpoints(base)})


@blueprint.get("/fhir/.well-known/smart-configuration")
def smart_configuration() -> Response:
    """Without `issuer`, which SMART reserves to servers of OpenID Connect."""
    base: str = current_app.config["HIE"].base_url
    return _document({**_endpoints(base), "capabilities": CAPABILITIES})


def _endpoints(base: str) -> dict[str, Any]:
    methods = list(AUTH_METHODS)
    algorithms = sorted(ALGORITHMS.values())
    return {
        "token_endpoint": f"{base}/oauth/token",
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint": f"{base}/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": ["system/*.cruds"],
        "code_challenge_methods_supported": ["S256"],
    }


def _document(content: dict[str, Any]) -> Response:
    response = jsonify(content)
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response
