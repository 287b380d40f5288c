"""Every request under /fhir is journaled before its answer leaves; a write with its record.

What carries no valid token is counted by address and minute instead: a flood must not fill the
journal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from flask import Response, g, request
from pymongo.client_session import ClientSession

from hie_server.audit.events import Entity, Event
from hie_server.authz.tokens import Caller
from hie_server.store.access import Access
from hie_server.store.database import Store
from hie_server.store.records import Version, instant_text
from hie_server.store.repository import Also, new_id
from hie_server.web.exchange import exchange

REQUEST_ID = re.compile(r"[A-Za-z0-9\-._]{1,64}")
REFUSED = (
    "read",
    "vread",
    "history-instance",
    "search-type",
    "search-system",
    "update",
    "delete",
)


@dataclass
class Record:
    """What the journal is to say of this request."""

    request: str
    interaction: str = ""
    asked: str = ""
    entities: tuple[Entity, ...] = ()
    named: tuple[str, ...] = ()
    written: bool = False


def begin() -> None:
    """The request's id: the caller's, or one of ours."""
    given = request.headers.get("X-Request-Id", "")
    known = REQUEST_ID.fullmatch(given)
    g.record = Record(given if known else new_id(exchange().store))
    g.caller = None
    note("", request.path.removeprefix("/fhir/"))


def note(interaction: str, asked: str) -> None:
    """`asked` as it stands in a URL: what no text may hold must not make the entry unreadable."""
    g.record.interaction, g.record.asked = interaction, quote(asked, safe="/?&=%+")


def note_entities(entities: list[Entity]) -> None:
    g.record.entities = tuple(entities)


def event(status: int) -> Event:
    caller: Caller | None = g.caller
    record: Record = g.record
    store = exchange().store
    return Event(
        new_id(store),
        instant_text(store.instant()),
        record.interaction,
        status,
        client=caller.client_id if caller else None,
        facility=caller.facility if caller else None,
        citizen=caller.citizen if caller else None,
        practitioner=caller.practitioner if caller else None,
        purpose=caller.purpose if caller else None,
        token=caller.token if caller else None,
        request=record.request,
        asked=record.asked,
        entities=record.entities,
        named=record.named,
    )


def with_write() -> Also:
    """The journal's entry of a write, part of its transaction. MongoDB may run it again, and it
    counts as written only when the handler has its answer."""
    journal = exchange().journal

    def append(session: ClientSession, version: Version) -> None:
        g.record.entities = (entity(version),)
        status = 204 if version.body is None else 201 if version.created else 200
        journal.append_with(session, event(status))

    return append


def entity(version: Version, consents: tuple[str, ...] = ()) -> Entity:
    reference = f"{version.reference}/_history/{version.version}"
    return Entity(shown(version.patient), reference, consents)


def shown(patient: str | None) -> str | None:
    """A patient whose reference is not of our making is not repeated."""
    return None if patient is None or "~" in patient else patient


def consents_of(access: Access, patient: str | None, custodian: str) -> tuple[str, ...]:
    """The consents that a record of another custodian was returned by."""
    if custodian == access.custodian:
        return ()
    return next((each.consents for each in access.shares if patient in each.patients), ())


def finish(response: Response) -> Response:
    """Appends the entry of a request that wrote nothing, and only then lets the answer go."""
    response.headers["X-Request-Id"] = g.record.request
    if g.caller is None:
        if response.status_code == 401:
            _count(exchange().store)
        return response
    append(response.status_code)
    return response


def append(status: int) -> None:
    """The entry of what was asked, unless a transaction has written it with its records."""
    if g.record.written:
        return
    said = event(status)
    exchange().journal.append(said)
    if g.caller.facility and said.interaction in REFUSED and (status >= 400 or said.named):
        exchange().refusals.put(said)


def _count(store: Store) -> None:
    minute = store.instant().replace(second=0, microsecond=0)
    address = store.seal.term("address", request.remote_addr or "").hex()
    store.db.refused.update_one(
        {"_id": f"{address}|{instant_text(minute)}"},
        {"$inc": {"count": 1}, "$set": {"until": minute + timedelta(days=400)}},
        upsert=True,
    )


def token_event(said: dict[str, Any]) -> None:
    """The journal's entry of what the authorisation server did."""
    store = exchange().store
    if said["client_id"] is None:
        _count(store)
        return
    exchange().journal.append(
        Event(
            new_id(store),
            instant_text(store.instant()),
            said["event"],
            said["status"],
            client=said["client_id"],
            facility=said["facility"],
            purpose=said["purpose"],
            request=new_id(store),
            asked=said["scope"] or "",
        )
    )
