"""Cursors: short, sealed, bound to their caller and query. They are a place, not a permission."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime, timedelta

from hie_server.authz.tokens import Caller
from hie_server.fhir.outcomes import FhirError, bad_request
from hie_server.fhir.query import Query
from hie_server.store.filters import EPOCH, moment
from hie_server.store.pages import Key
from hie_server.store.sealing import SealError
from hie_server.web.exchange import exchange


def cursor_of(query: Query, caller: Caller, after: Key) -> str:
    place = json.dumps(after, default=_milliseconds, ensure_ascii=False).encode()
    sealed = exchange().store.seal.box(place, _bound_to(query, caller))
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def read_cursor(query: Query, caller: Caller) -> Key | None:
    """Where the page starts; 400 for a cursor that isn't ours, or another caller's or query's."""
    if not query.cursor:
        return None
    try:
        padded = query.cursor + "=" * (-len(query.cursor) % 4)
        sealed = base64.b64decode(padded, b"-_", validate=True)
        place = exchange().store.seal.unbox(sealed, _bound_to(query, caller))
    except (binascii.Error, SealError, ValueError):
        raise _wrong() from None
    first, *rest = json.loads(place)
    return (moment(first) if query.by_update else first, *rest)


def _milliseconds(updated: datetime) -> int:
    return (updated - EPOCH) // timedelta(milliseconds=1)


def _bound_to(query: Query, caller: Caller) -> str:
    who = caller.citizen or caller.facility or ""
    place = query.place or query.type
    return "\x1f".join([who, caller.client_id, place, repr(sorted(query.applied))])


def _wrong() -> FhirError:
    return bad_request("_cursor is not one that this search gave you; start again.", "_cursor")
