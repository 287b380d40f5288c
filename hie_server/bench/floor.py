"""The floor: what Flask and MongoDB cost when nothing is asked of the exchange.

Bare Flask and one call of pymongo, on the same server and database, of the same bytes.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Callable

from flask import Flask, Response, request

from hie_server.config import Settings, load
from hie_server.store.database import connect

READS, INSERTS = "floor_reads", "floor_inserts"
JSON = "application/fhir+json"


def create_app(
    settings: Settings | None = None,
    clock: Callable[[], datetime] | None = None,
    random: Callable[[int], bytes] | None = None,
) -> Flask:
    """Takes the place of the exchange's own `create_app`: hence what it doesn't use."""
    _, db = connect((settings or load()).mongodb_uri)
    app = Flask(__name__, static_folder=None)

    @app.get("/health/ready")
    def ready() -> str:
        return ""

    @app.get("/<kind>/<identity>")
    def read(kind: str, identity: str) -> Response:
        row = db[READS].find_one({"_id": f"{kind}/{identity}"})
        return Response(row["body"] if row else b"", 200 if row else 404, content_type=JSON)

    @app.post("/<int:count>")
    def insert(count: int) -> Response:
        """The body in `count` documents, as durable as a transaction's."""
        body = request.get_data()
        size = -(-len(body) // count)
        parts = (body[size * i : size * (i + 1)] for i in range(count))
        rows = [{"_id": str(uuid.uuid4()), "body": part} for part in parts]
        db[INSERTS].insert_many(rows)
        return Response(b"{}", 200, content_type=JSON)

    return app
