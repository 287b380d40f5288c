"""Is it alive, is it ready: for load balancers and supervisors."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pymongo
from flask import Blueprint, Response, current_app
from pymongo.errors import PyMongoError

from hie_server.store import migrations
from hie_server.web.exchange import Exchange, exchange

blueprint = Blueprint("health", __name__)
CACHED_SECONDS = 1.0
PATIENCE_SECONDS = 2.0


@blueprint.get("/health/live")
def live() -> Response:
    return Response("ok\n", mimetype="text/plain")


@blueprint.get("/health/ready")
def ready() -> Response:
    """200 when the database takes writes and its schema is this version's, else 503."""
    cached: Cached = current_app.extensions.setdefault("ready", Cached())
    problem = cached.problem(exchange())
    if not problem:
        return Response("ready\n", mimetype="text/plain")
    return Response(f"{problem}\n", 503, {"Retry-After": "5"}, mimetype="text/plain")


@dataclass
class Cached:
    """What was found within the last second: however many ask, the database is asked once."""

    _found: str = "starting"
    _until: float = field(default=float("-inf"))

    def problem(self, of: Exchange) -> str:
        if time.monotonic() >= self._until:
            self._until = time.monotonic() + CACHED_SECONDS
            self._found = _problem(of)
        return self._found


def _problem(of: Exchange) -> str:
    try:
        with pymongo.timeout(PATIENCE_SECONDS):
            writable = of.store.client.admin.command("hello").get("isWritablePrimary")
            if not writable or of.outage.refuses():
                return "no database"
            return "pending migrations: run hie migrate" if migrations.pending(of.store) else ""
    except PyMongoError:
        return "no database"
