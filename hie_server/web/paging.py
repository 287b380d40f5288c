"""Cursors: short, sealed, bound to their caller and query. They are a place, not a permission."""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta

from hie_server.authz.tokens import Caller
from hie_server.fhir.outcomes import FhirError, bad_request
from hie_server.fhir.query import Query
from hie_server.store.filters import EPOCH, moment
from hie_server.store.pages import Key
from hie_server.store.sealing import SealError
from hie_server.web.exchange import exchange


def cursor_of(query: Query, caller: Caller, after: Key) -> str:
    updated, identity = after
    milliseconds = (updated - EPOCH) // timedelta(milliseconds=1)
    place = f"{milliseconds}|{identity}".encode()
    sealed = exchange().store.seal.box(place, _bound_to(query, caller))
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def read_cursor(query: Query, caller: Caller) -> Key | None:
    """Where the page starts; 400 for a cursor that isn't ours, or another caller's or query's."""
    if not query.cursor:
        return None
    try:
        sealed = base64.b64decode(query.cursor + "==", b"-_", validate=True)
        place = exchange().store.seal.unbox(sealed, _bound_to(query, caller)).decode()
    except (binascii.Error, SealError, ValueError):
        raise _wrong() from None
    milliseconds, _, identity = place.partition("|")
    return moment(int(milliseconds)), identity


def _bound_to(query: Query, caller: Caller) -> str:
    who = caller.citizen or caller.facility or ""
    return "\x1f".join([who, caller.client_id, query.type, repr(sorted(query.applied))])


def _wrong() -> FhirError:
    return bad_request("_cursor is not one that this search gave you; start again.", "_cursor")
