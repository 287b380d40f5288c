"""Is it alive, is it ready: for load balancers and supervisors."""

from __future__ import annotations

from flask import Blueprint, Response
from pymongo.errors import PyMongoError

from hie_server.web.exchange import exchange

blueprint = Blueprint("health", __name__)


@blueprint.get("/health/live")
def live() -> Response:
    return Response("ok\n", mimetype="text/plain")


@blueprint.get("/health/ready")
def ready() -> Response:
    """200 when the database takes writes, else 503."""
    try:
        hello = exchange().store.client.admin.command("hello")
    except PyMongoError:
        hello = {}
    if hello.get("isWritablePrimary"):
        return Response("ready\n", mimetype="text/plain")
    return Response("no database\n", 503, {"Retry-After": "5"}, mimetype="text/plain")
