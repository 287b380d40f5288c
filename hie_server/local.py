"""The database that a command works on."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import click

from hie_server import config, open_store
from hie_server.config import Settings
from hie_server.store import datadir, migrations

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, resolve_path=True),
    help="Folder of the database and keys.  [default: hie in the user's data folder]",
)


@contextmanager
def database_of(data_dir: Path | None = None, migrated: bool = True) -> Iterator[Settings]:
    """The settings of the database that a command works on.

    Of the `hie up` at work on the data directory; where none is, of its own mongod, started for
    as long as this context lasts, its schema brought up to date if it is to be `migrated`.
    Without `data_dir`, HIE_MONGODB_URI comes first.
    """
    if not data_dir and os.environ.get("HIE_MONGODB_URI"):
        yield config.load()
        return
    path = data_dir or datadir.default_path()
    settings = datadir.running(path)
    if settings:
        yield settings
        return
    base_url = os.environ.get("HIE_BASE_URL") or Settings.base_url
    with datadir.claimed(path) as lock, datadir.serving(path, lock, base_url) as (settings, mongod):
        if migrated:
            migrate(settings, alone=mongod is not None)
        yield settings


def migrate(settings: Settings, alone: bool) -> None:
    """`alone`: the database is this process's own, so a lease in it is of one that was killed."""
    store = open_store(settings)
    with store.client:
        if alone:
            store.db.migrations.delete_one({"_id": "lease"})
        migrations.run(store)
