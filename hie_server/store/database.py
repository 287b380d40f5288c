"""The database and what every part of the store needs beside it.

Write concern majority and journaled, reads from the primary: what an answer rests on is never
rolled back. https://www.mongodb.com/docs/manual/reference/write-concern/
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Callable

from bson.codec_options import CodecOptions
from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from hie_server.store.sealing import Seal

Document = dict[str, Any]


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Store:
    """A database with the seal of its records, a clock (aware UTC), a source of random bytes, the
    base URL under which its records are also known, and what one page of a search may take."""

    client: MongoClient[Document]
    db: Database[Document]
    seal: Seal
    clock: Callable[[], datetime] = now
    random: Callable[[int], bytes] = secrets.token_bytes
    base: str = ""
    search_seconds: float = 0.9
    # What has been found true of the database and stays so.
    known: set[str] = field(default_factory=set, compare=False)

    def instant(self) -> datetime:
        """Now, cut to the milliseconds that MongoDB keeps."""
        moment = self.clock()
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def connect(
    uri: str, patience: float | None = None
) -> tuple[MongoClient[Document], Database[Document]]:
    """The client and the database its URI names (`hie` where it names none).

    `patience`: seconds that one operation may take, retries and the server's work included.
    """
    client: MongoClient[Document] = MongoClient(
        uri,
        tz_aware=True,
        uuidRepresentation="standard",
        serverSelectionTimeoutMS=5000,
        connectTimeoutMS=3000,
        retryWrites=True,
        timeoutMS=None if patience is None else int(patience * 1000),
        appname="hie",
    )
    database: Database[Document] = client.get_default_database("hie").with_options(
        codec_options=CodecOptions(tz_aware=True),
        read_preference=ReadPreference.PRIMARY,
        read_concern=ReadConcern("majority"),
        write_concern=WriteConcern("majority", j=True),
    )
    return client, database
