"""The database is gone: told once in the log, and not waited for by every request.

After a failure one request a second tries a small durable write; the others are refused at once
(503) as long as that fails. A failure of one request alone costs that write, no more.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pymongo
from pymongo.database import Database
from pymongo.errors import PyMongoError

log = logging.getLogger("hie.web")
PROBE_SECONDS = 1.0


class Outage:
    def __init__(self, db: Database[Any]):
        self._db = db
        self._lock, self._probing = threading.Lock(), threading.Lock()
        self._since: float | None = None
        self._down = False
        self._next_probe = 0.0

    def failed(self, error: BaseException) -> None:
        """A request could not be answered for this error of the database."""
        with self._lock:
            if self._since is not None:
                return
            self._since = self._next_probe = time.monotonic()
        log.error("The database fails (%s): answering 503 until it is back.", type(error).__name__)

    def refuses(self) -> bool:
        """Whether a request is to be refused without asking the database."""
        if self._since is None:
            return False
        if time.monotonic() >= self._next_probe and self._probing.acquire(blocking=not self._down):
            try:
                self._probe()
            finally:
                self._probing.release()
        return self._down

    def _probe(self) -> None:
        if time.monotonic() < self._next_probe:
            return
        self._down = not self._takes_writes()
        self._next_probe = time.monotonic() + PROBE_SECONDS
        if not self._down:
            self._end()

    def _takes_writes(self) -> bool:
        try:
            with pymongo.timeout(PROBE_SECONDS):
                now = {"$currentDate": {"at": True}}
                self._db.health.update_one({"_id": "probe"}, now, upsert=True)
        except PyMongoError:
            return False
        return True

    def _end(self) -> None:
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            seconds = time.monotonic() - since
            log.warning("The database is back; it failed for %.1f s.", seconds)
