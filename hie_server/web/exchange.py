"""The parts of one running exchange, for the views of one app."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app

from hie_server.audit.journal import Journal, Refusals
from hie_server.authz.rules import Rules
from hie_server.config import Settings
from hie_server.store.access import Access
from hie_server.store.database import Store
from hie_server.store.repository import Repository
from hie_server.web.outage import Outage


@dataclass(frozen=True)
class Exchange:
    settings: Settings
    store: Store
    rules: Rules
    journal: Journal
    refusals: Refusals
    outage: Outage

    def repository(self, access: Access) -> Repository:
        return Repository(self.store, access, self.settings.timezone)


def exchange() -> Exchange:
    found: Exchange = current_app.extensions["hie"]
    return found
