"""`hie doctor`: a line for each thing the exchange rests on, and what to do where it is wrong.

It changes nothing but what it must start: of a stopped `hie up`, the database.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Callable, Iterator
from urllib.parse import urlsplit

import click
from pymongo.errors import OperationFailure, PyMongoError

from hie_server import config, open_store
from hie_server.audit.clock import TOLERANCE, newest_entry
from hie_server.config import ConfigError, Settings
from hie_server.local import data_dir_option, database_of
from hie_server.store import datadir, indexing, migrations
from hie_server.store.database import Document, Store, now
from hie_server.store.sealing import SealError

VERSIONS = (6, 7, 8)
OFF_SECONDS = 2.0  # that our clock and the database's may differ
PATIENCE_SECONDS = 5.0
LEAST_FREE = 1024**3
HERE = ("127.0.0.1", "localhost", "::1")


class Fault(Exception):
    """What is wrong, and what to do."""


@dataclass
class Subject:
    settings: Settings
    clock: Callable[[], datetime] = now
    _store: Store | None = None

    @property
    def store(self) -> Store:
        if self._store is None:
            self._store = open_store(self.settings, self.clock, patience=PATIENCE_SECONDS)
        return self._store

    def close(self) -> None:
        if self._store is not None:
            self._store.client.close()


def _configuration(subject: Subject) -> str:
    settings = subject.settings
    address = urlsplit(settings.base_url)
    if address.scheme == "http" and address.hostname not in HERE:
        raise Fault(f"{settings.base_url}: tokens would travel in the clear; HIE_BASE_URL must be "
                    "https, with TLS at a proxy.")
    if not settings.production and address.hostname not in HERE:
        raise Fault("HIE_ENVIRONMENT=development on an address for others: unset it.")
    return f"{settings.environment}, {settings.base_url}"


def _server_key(subject: Subject) -> str:
    config.server_key(subject.settings)
    return "well-formed, and readable by its owner only"


def _database(subject: Subject) -> str:
    client = subject.store.client
    hello = client.admin.command("hello")
    version = client.server_info()["version"]
    users = client.admin.command("connectionStatus")["authInfo"]["authenticatedUsers"]
    if int(version.partition(".")[0]) not in VERSIONS:
        raise Fault(f"MongoDB {version} is not supported: use 7 or 8.")
    if hello.get("isreplicaset"):
        raise Fault("Its replica set has no members yet: run rs.initiate() in mongosh.")
    if not hello.get("setName"):
        raise Fault("It is no replica set, hence has no transactions: start mongod with --replSet.")
    if not hello.get("isWritablePrimary"):
        raise Fault("It takes no writes: see that the replica set has a primary.")
    if not users:
        raise Fault("It asks for no password: switch its access control on.")
    return f"MongoDB {version}, replica set {hello['setName']}, takes writes, as {users[0]['user']}"


def _durability(subject: Subject) -> str:
    try:
        set_up = subject.store.client.admin.command("replSetGetConfig")["config"]
    except OperationFailure:
        return "by the majority, on disk (the set's own settings may not be seen by this user)"
    if not set_up.get("writeConcernMajorityJournalDefault", True):
        raise Fault("writeConcernMajorityJournalDefault is false: set it to true.")
    members = len(set_up["members"])
    return f"writes by the majority of {members} member{'s' * (members > 1)}, on disk"


def _schema(subject: Subject) -> str:
    pending = migrations.pending(subject.store)
    if pending:
        raise Fault(f"Pending: {', '.join(pending)}. Run `hie migrate`.")
    return f"up to date ({migrations.names()[-1]})"


def _index(subject: Subject) -> str:
    pending = sorted(indexing.pending(subject.store))
    if pending:
        some = ", ".join(pending[:3])
        raise Fault(f"{len(pending)} search parameters, {some} …. Run `hie reindex`.")
    return "every record is indexed by every search parameter"


def _sealing(subject: Subject) -> str:
    store = subject.store
    kept = store.db["keys"].find_one()
    if kept is None:
        return "nothing is sealed yet"
    try:
        store.seal.seal(kept["owner"], b"", "doctor")
    except SealError as error:
        raise Fault(f"{error} Put the right one back.") from error
    return "the server key opens the stored keys"


def _clock(subject: Subject) -> str:
    client, began = subject.store.client, time.monotonic()
    before = subject.clock()
    theirs = client.admin.command("hello")["localTime"].replace(tzinfo=UTC)
    took = time.monotonic() - began
    ahead = (theirs - before).total_seconds()
    off = max(-ahead, ahead - took)
    if off > OFF_SECONDS:
        raise Fault(f"{off:.0f} s from the database's: keep both machines in step by NTP.")
    newest = newest_entry(subject.store)
    if newest and newest - subject.clock() > TOLERANCE:
        raise Fault(f"Set back: the newest entry of the journal is of {newest:%Y-%m-%d %H:%M:%S} "
                    "UTC. Set it right; nothing is served until it has passed that.")
    return f"{before.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, in step with the database's"


def _disk(subject: Subject) -> str:
    told: Document = subject.store.db.command("dbStats")
    if "fsTotalSize" not in told:
        return "not told by this database"
    free = told["fsTotalSize"] - told["fsUsedSize"]
    if free < LEAST_FREE:
        raise Fault(f"{_size(free)} free where the database is: at 0 it stops. Make room.")
    return f"{_size(free)} free where the database is"


def _size(count: float) -> str:
    return f"{count / 1024**3:.1f} GiB"


def _time_zone(subject: Subject) -> str:
    here = subject.clock().astimezone(subject.settings.timezone)
    return f"{subject.settings.timezone.key}, where it is {here:%H:%M on %Y-%m-%d (%z)}"


CHECKS: tuple[tuple[str, Callable[[Subject], str]], ...] = (
    ("configuration", _configuration),
    ("time zone", _time_zone),
    ("server key", _server_key),
    ("database", _database),
    ("durability", _durability),
    ("schema", _schema),
    ("index", _index),
    ("sealing", _sealing),
    ("clock", _clock),
    ("disk", _disk),
)
NEEDED = ("server key", "database")  # without these there is nothing more to check


def examine(subject: Subject, tell: Callable[[str], None]) -> bool:
    """A line for each check; whether all is well."""
    with closing(subject):
        return not list(_faults(subject, tell))


def _faults(subject: Subject, tell: Callable[[str], None]) -> Iterator[str]:
    stopped = False
    for name, check in CHECKS:
        if stopped:
            tell(f"fault  {name}: not checked, see above.")
            continue
        try:
            tell(f"ok     {name}: {check(subject)}")
        except (Fault, ConfigError, PyMongoError) as error:
            tell(f"fault  {name}: {_told(error)}")
            stopped = name in NEEDED
            yield name


def _told(error: Exception) -> str:
    if not isinstance(error, PyMongoError):
        return str(error)
    text = str(error).partition(", full error")[0].partition(" (configured timeouts")[0][:200]
    return f"The database fails: {text}. See that it runs and that HIE_MONGODB_URI is right."


@click.command()
@data_dir_option
def doctor(data_dir: Path | None) -> None:
    """Check settings, keys, database, schema, clock and disk; exit code 1 where one is wrong."""
    _refuse_new_folder(data_dir)
    with database_of(data_dir, migrated=False) as settings:
        if not settings.mongodb_uri:
            raise ConfigError("HIE_MONGODB_URI must name the database, or --data-dir its folder.")
        well = examine(Subject(settings), click.echo)
    sys.exit(0 if well else 1)


def _refuse_new_folder(data_dir: Path | None) -> None:
    """A folder that isn't there would be made, and found in good order."""
    path = data_dir or datadir.default_path()
    if (data_dir or not os.environ.get("HIE_MONGODB_URI")) and not (path / "lock").exists():
        raise ConfigError(f"{path} holds no exchange: name its folder, or set HIE_MONGODB_URI.")
