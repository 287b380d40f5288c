"""Commands that look after an exchange: schema, clients, tokens, links.

They work on the database itself, so they are for the server's own machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Iterator

import click

from hie_server import open_store
from hie_server.authz import clients, scopes, tokens
from hie_server.bench.command import bench
from hie_server.doctor import doctor
from hie_server.fhir.outcomes import FhirError
from hie_server.identity import health_id, people
from hie_server.identity.people import Person
from hie_server.loading.command import load
from hie_server.local import data_dir_option, database_of
from hie_server.store import indexing, migrations
from hie_server.store.database import Store

TOKEN_SECONDS = 300
CITIZEN_SCOPE = "patient/*.cruds"
FACILITY_SCOPE = "system/*.cruds"


class Refused(click.ClickException):
    """What was asked can't be done: one line for each fault, exit code 2."""

    exit_code = 2

    def __init__(self, error: FhirError):
        super().__init__("\n".join(issue.diagnostics for issue in error.issues))


def _store(data_dir: Path | None) -> Iterator[Store]:
    with database_of(data_dir) as settings:
        store = open_store(settings)
        with store.client:
            yield store


@click.command()
@data_dir_option
def migrate(data_dir: Path | None) -> None:
    """Bring the schema up to date; prints each migration that ran."""
    for store in _store(data_dir):
        for name in migrations.run(store):
            click.echo(name)


@click.command()
@click.option("--again", is_flag=True, help="Index everything anew, although nothing is pending.")
@data_dir_option
def reindex(again: bool, data_dir: Path | None) -> None:
    """Index what was stored before a search parameter; goes on where it was stopped."""
    with database_of(data_dir) as settings:
        store = open_store(settings)
        with store.client:
            number = store.db.resources.estimated_document_count()
            with click.progressbar(length=number, label="Indexing", file=sys.stderr) as bar:
                done = indexing.run(store, settings.timezone, bar.update, again)
            click.echo(f"{done} resources indexed; nothing is pending.")


@click.command()
@click.option("--client", "client_id", help="A registered client's id.")
@click.option("--citizen", help="A citizen's health ID.")
@click.option("--scope", help="SMART scopes.  [default: all that it may have]")
@click.option("--purpose", help="A v3-ActReason code.  [default: TREAT; PATRQT for a citizen]")
@click.option("--organization", help="Organization/…, where the client has several.")
@data_dir_option
def token(
    client_id: str | None,
    citizen: str | None,
    scope: str | None,
    purpose: str | None,
    organization: str | None,
    data_dir: Path | None,
) -> None:
    """Print a bearer token, and nothing else."""
    if (client_id is None) == (citizen is None):
        raise click.UsageError("Name one: --client ID or --citizen HEALTH_ID.")
    for store in _store(data_dir):
        if citizen is not None:
            click.echo(_citizen_token(store, citizen, scope, purpose or "PATRQT"))
        else:
            click.echo(_client_token(store, str(client_id), scope, purpose, organization))


def _citizen_token(store: Store, number: str, scope: str | None, purpose: str) -> str:
    person = _person(store, number)
    granted = _narrowed(CITIZEN_SCOPE, scope)
    return tokens.issue(
        store,
        client_id="hie",
        facility=None,
        citizen=person.id,
        scope=granted,
        purpose=purpose,
        seconds=TOKEN_SECONDS,
    )


def _client_token(
    store: Store, client_id: str, scope: str | None, purpose: str | None, organization: str | None
) -> str:
    client = clients.find(store, client_id)
    if client is None or client.suspended:
        raise click.UsageError(f"No client {client_id!r}, or it is suspended.")
    purpose = purpose or next(iter(client.purposes), "")
    facility = organization or next(iter(client.facilities), "")
    if purpose not in client.purposes:
        raise click.UsageError(f"Its purposes are {', '.join(client.purposes)}.")
    if facility not in client.facilities:
        raise click.UsageError(f"Its facilities are {', '.join(client.facilities)}.")
    return tokens.issue(
        store,
        client_id=client_id,
        facility=facility,
        scope=_narrowed(client.scope, scope),
        purpose=purpose,
        seconds=TOKEN_SECONDS,
    )


def _narrowed(registered: str, asked: str | None) -> scopes.Scopes:
    wanted = scopes.parse(asked).whole() if asked is not None else None
    granted = scopes.narrow(scopes.parse(registered), wanted)
    if not granted:
        raise click.UsageError(f"Nothing of this scope is among {registered}.")
    return granted


def _person(store: Store, number: str) -> Person:
    digits = health_id.read(number)
    person = people.by_health_id(store, digits) if digits else None
    if person is None:
        raise click.UsageError("No citizen has this health ID (14 digits).")
    return person


@click.group()
def client() -> None:
    """Clients: the systems that may ask for tokens."""


@client.command("add")
@click.option("--name", required=True)
@click.option("--facility", "facilities", multiple=True, required=True, help="Organization/…")
@click.option("--scope", default=FACILITY_SCOPE, show_default=True)
@click.option("--purpose", "purposes", multiple=True, default=["TREAT"], show_default=True)
@click.option(
    "--jwks",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public keys of a client that signs (private_key_jwt).",
)
@data_dir_option
def add(
    name: str,
    facilities: tuple[str, ...],
    scope: str,
    purposes: tuple[str, ...],
    jwks: Path | None,
    data_dir: Path | None,
) -> None:
    """Register a client; prints its id and secret as JSON, this once."""
    signs: dict[str, Any] = {}
    if jwks is not None:
        signs = {"token_endpoint_auth_method": "private_key_jwt", "jwks": _keys(jwks)}
    for store in _store(data_dir):
        try:
            made, secret = clients.register(
                store,
                name=name,
                scope=scope,
                facilities=facilities,
                purposes=purposes,
                **signs,
            )
        except FhirError as error:
            raise Refused(error) from error
        told = {"client_id": made.client_id, "client_secret": secret}
        click.echo(json.dumps({key: value for key, value in told.items() if value}))


@client.command()
@click.argument("client_id")
@data_dir_option
def suspend(client_id: str, data_dir: Path | None) -> None:
    """Suspend a client; its tokens end at once."""
    for store in _store(data_dir):
        if not clients.suspend(store, client_id):
            raise click.UsageError(f"No client {client_id!r}.")


def _keys(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise click.UsageError(f"{path} is not JSON.") from error


def _linking(command: Any) -> Any:
    for option in (
        data_dir_option,
        click.option("--patient", help="The facility's local Patient/…"),
        click.option("--facility", required=True, help="Organization/…"),
        click.option("--citizen", required=True, help="The citizen's health ID."),
    ):
        command = option(command)
    return command


@click.command()
@_linking
def link(citizen: str, facility: str, patient: str | None, data_dir: Path | None) -> None:
    """Say that a facility writes to a citizen's life record."""
    for store in _store(data_dir):
        _change(people.link, store, citizen, facility, patient)


@click.command()
@_linking
def unlink(citizen: str, facility: str, patient: str | None, data_dir: Path | None) -> None:
    """Undo a link; no record changes."""
    for store in _store(data_dir):
        _change(people.unlink, store, citizen, facility, patient)


def _change(
    how: Any, store: Store, citizen: str, facility: str, patient: str | None
) -> None:
    try:
        how(store, _person(store, citizen).id, facility, patient)
    except FhirError as error:
        raise Refused(error) from error


COMMANDS = (migrate, doctor, reindex, token, client, link, unlink, load, bench)
