"""`hie load`: records from files, in the custody of one client's facility.

It works on the database itself, so it is for the server's own machine.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from hie_server import open_store
from hie_server.authz import clients, scopes
from hie_server.authz.clients import Client
from hie_server.authz.tokens import Caller
from hie_server.config import Settings
from hie_server.fhir.outcomes import Issue
from hie_server.identity import facilities
from hie_server.loading import sources
from hie_server.loading.report import Report
from hie_server.loading.run import Load
from hie_server.local import data_dir_option, database_of
from hie_server.store.database import Store

LOADER = "loader"
SCOPE = "system/*.cruds"


class CanNotRun(click.ClickException):
    """One line, and exit code 2."""

    exit_code = 2


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH…"
)
@click.option(
    "--as", "name", default=LOADER, show_default=True, help="A client's name or id: whose records."
)
@data_dir_option
def load(paths: tuple[Path, ...], name: str, data_dir: Path | None) -> None:
    """Load Bundles and NDJSON, of files and folders; a second run updates.

    Exit code 0: all is loaded, 1: something was refused, 2: it could not run.
    """
    with database_of(data_dir) as settings:
        store = open_store(settings)
        with store.client:
            report = _loaded(store, settings, paths, name)
    if not report.is_complete:
        sys.exit(1)


def _loaded(store: Store, settings: Settings, paths: tuple[Path, ...], name: str) -> Report:
    caller, report, began = caller_of(store, name), Report(), time.monotonic()

    def fault(place: str, issue: Issue) -> None:
        report.refuse(place, "", [issue])

    try:
        found = list(sources.find(paths, report.skip, fault))
        length = 2 * sum(each.size for each in found)
        with click.progressbar(length=length, label="Loading", file=sys.stderr) as bar:
            Load(store, settings.timezone, caller, report).run(found, bar.update)
    finally:
        click.echo(f"Loaded as client {caller.client_id}, of {caller.facility}.\n")
        for line in report.lines(time.monotonic() - began):
            click.echo(line)
    return report


def caller_of(store: Store, name: str) -> Caller:
    """The client by this name or id; `loader` is made, with an Organization of its own, where
    there is none. CanNotRun where it isn't one client with one facility."""
    by_name = list(clients.clients(store)(name=name))
    found = [known for known in [clients.find(store, name)] if known] or by_name
    if not found and name == LOADER:
        found = [_make_loader(store)]
    if len(found) != 1:
        ids = ", ".join(each.client_id for each in found)
        raise CanNotRun(f"Several clients have the name {name!r}: {ids}." if ids else
                        f"No client has the name or id {name!r}.")
    client = found[0]
    if client.suspended or len(client.facilities) != 1:
        what = "is suspended" if client.suspended else "has not exactly one facility"
        raise CanNotRun(f"The client {name!r} {what}: records need one custodian.")
    return Caller(
        client_id=client.client_id,
        facility=client.facilities[0],
        citizen=None,
        practitioner=None,
        role=None,
        scopes=scopes.parse(client.scope),
        purpose=next(iter(client.purposes), "TREAT"),
        token="",
    )


def _make_loader(store: Store) -> Client:
    """Its secret is nobody's: on the server's machine, `hie token` speaks for it."""
    organization = facilities.add(store, "Loaded records")
    return clients.register(store, name=LOADER, facilities=[organization], scope=SCOPE)[0]
