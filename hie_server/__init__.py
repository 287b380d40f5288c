"""The exchange, joined: `create_app` is the only place where its parts meet."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime
from typing import Callable

from flask import Flask

from hie_server import config
from hie_server.audit.clock import Steady
from hie_server.audit.journal import Journal, Refusals
from hie_server.authz import oauth
from hie_server.authz.rules import Rules
from hie_server.store.database import Store, connect, now
from hie_server.store.sealing import Seal
from hie_server.web import bundles
from hie_server.web import fhir as fhir_views
from hie_server.web import gate, health, journaling, metrics
from hie_server.web import oauth as oauth_views
from hie_server.web import operations
from hie_server.web.exchange import Exchange
from hie_server.web.outage import Outage

OPERATION_SECONDS = 5.0  # a request waits no longer for the database


def create_app(
    settings: config.Settings | None = None,
    clock: Callable[[], datetime] = now,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> Flask:
    """The WSGI application. `clock` and `random` are pinned by tests only."""
    settings = settings or config.load()
    store = open_store(settings, clock, random, OPERATION_SECONDS)
    store = replace(store, clock=Steady(store))
    app = Flask(__name__, static_folder=None)
    rules = Rules(store, settings.timezone)
    journal = Journal(store, metrics.watch(app).committed)
    app.extensions["hie"] = Exchange(
        settings, store, rules, journal, Refusals(journal, rules.explain), Outage(store.db)
    )
    app.config["HIE"] = settings
    gate.guard(app)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(bundles.blueprint)
    app.register_blueprint(fhir_views.blueprint)
    app.register_blueprint(operations.blueprint)
    app.register_blueprint(oauth_views.blueprint)
    oauth.init_app(app, store, settings, journaling.token_event)
    return app


def open_store(
    settings: config.Settings,
    clock: Callable[[], datetime] = now,
    random: Callable[[int], bytes] = secrets.token_bytes,
    patience: float | None = None,
) -> Store:
    """`patience`: seconds that one operation of the database may take."""
    client, db = connect(settings.mongodb_uri, patience)
    seal = Seal(config.server_key(settings), db["keys"])
    search_seconds = settings.search_milliseconds / 1000
    return Store(client, db, seal, clock, random, settings.fhir_base, search_seconds)
