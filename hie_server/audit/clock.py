"""A clock that never goes back: where it is set before what is written already, nothing is.

The order of the journal, the end of a consent and the life of a token all rest on it.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from bson.binary import Binary

from hie_server.audit.journal import unavailable
from hie_server.store.database import Store
from hie_server.store.records import type_terms

log = logging.getLogger(__name__)
TOLERANCE = timedelta(seconds=5)  # what the clocks of several machines may differ


def newest_entry(store: Store) -> datetime | None:
    """When the journal's newest entry was written."""
    term = Binary(store.seal.term(*type_terms("AuditEvent")[0]))
    newest = store.db.journal.find_one(
        {"index": term}, {"updated": 1}, sort=[("updated", -1), ("_id", -1)]
    )
    return newest["updated"] if newest else None


class Steady:
    """The store's clock, held against the newest moment that it gave.

    At the first use that is the journal's newest entry: later ones cost a comparison. FhirError
    503 while the clock is more than TOLERANCE behind; one line in the log when that begins.
    """

    def __init__(self, store: Store):
        self._store, self._clock = store, store.clock
        self._newest: datetime | None = None
        self._behind = False

    def __call__(self) -> datetime:
        moment = self._clock()
        newest = self._newest or newest_entry(self._store) or moment
        if newest - moment > TOLERANCE:
            self._tell(f"The clock is {(newest - moment).total_seconds():.0f} s behind what was "
                       "written already: nothing is served until it is right.")
            self._newest = newest
            raise unavailable()
        self._newest = max(newest, moment)
        self._behind = False
        return moment

    def _tell(self, line: str) -> None:
        if not self._behind:
            self._behind = True
            log.error(line)
