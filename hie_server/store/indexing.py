"""Which search parameters are indexed, and the work of indexing what was stored before them.

`state` keeps, for each type and parameter, the fingerprint of what every row is indexed by. A
query whose parameter is not there yet is refused, never answered short; `run` goes through the
records while they are served, and goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
from datetime import tzinfo
from functools import cache
from typing import Any, Callable, Mapping

from pymongo import UpdateOne

from hie_server.fhir.definitions import resource_types
from hie_server.fhir.index import parameters_for
from hie_server.fhir.outcomes import FhirError, Issue
from hie_server.fhir.query import Query
from hie_server.fhir.resources import parse
from hie_server.store.database import Store
from hie_server.store.records import Row, open_body, row_of

# Raise it when what is written to an index changes for the same definition.
REVISION = 2
BATCH = 200
STATE = "index"
DERIVED = ("ranges", "kinds", "mentions", "when", "span", "rank", "labels", "others")
# Answered by the row itself.
COLUMNS = ("_id", "_lastUpdated")


@cache
def wanted() -> Mapping[str, str]:
    """"Type.parameter" → fingerprint, of all that this version of the exchange serves."""
    return {
        f"{kind}.{code}": _fingerprint(parameter)
        for kind in sorted(resource_types())
        for code, parameter in parameters_for(kind).items()
    }


def _fingerprint(parameter: Any) -> str:
    text = f"{REVISION}|{parameter.type}|{parameter.expression}|{parameter.component}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check(store: Store, query: Query) -> None:
    """503 where the rows are not all indexed by a parameter of the query."""
    if STATE in store.known:
        return
    missing = pending(store)
    if not missing:
        store.known.add(STATE)
    for name in (*(each.parameter for each in query.clauses), *(name for name, _ in query.sort)):
        if name not in COLUMNS and f"{query.type}.{name}" in missing:
            diagnostics = f"{name} is being indexed (hie reindex); ask again later."
            raise FhirError(503, [Issue("transient", diagnostics)], {"Retry-After": "60"})


def pending(store: Store) -> frozenset[str]:
    """"Type.parameter" of what is not indexed in every row."""
    state = store.db.state.find_one({"_id": STATE}) or {}
    built = {(each["name"], each["fingerprint"]) for each in state.get("built", ())}
    return frozenset(name for name, print_ in wanted().items() if (name, print_) not in built)


def start(store: Store) -> None:
    """An empty database is indexed by everything."""
    if store.db.resources.find_one({}, {"_id": 1}) is None:
        _finish(store)


def run(store: Store, zone: tzinfo, told: Callable[[int], None], again: bool = False) -> int:
    """The number of rows indexed; `told` hears of each batch. It goes on where it was stopped;
    `again` starts anew although nothing is pending."""
    if not pending(store) and not again:
        return 0
    state = store.db.state.find_one({"_id": STATE}) or {}
    place, done = state.get("place", ""), 0
    while batch := list(store.db.resources.find({"_id": {"$gt": place}}).sort("_id").limit(BATCH)):
        _index(store, batch, zone)
        place, done = batch[-1]["_id"], done + len(batch)
        store.db.state.update_one({"_id": STATE}, {"$set": {"place": place}}, upsert=True)
        told(len(batch))
    _finish(store)
    return done


def _index(store: Store, batch: list[Row], zone: tzinfo) -> None:
    """Rows that are written meanwhile are left alone: their writer has indexed them."""
    store.seal.preload(row["kid"] for row in batch if row["kid"])
    updates = [_update(store, row, zone) for row in batch if not row["tombstone"]]
    if updates:
        store.db.resources.bulk_write(updates, ordered=False)


def _update(store: Store, row: Row, zone: tzinfo) -> UpdateOne:
    unchanged = {"_id": row["_id"], "version": row["version"]}
    return UpdateOne(unchanged, {"$set": _fresh(store, row, zone)})


def _fresh(store: Store, row: Row, zone: tzinfo) -> dict[str, Any]:
    """What is derived from the body, as this version derives it. Whose it is never changes, nor
    who else may see it."""
    resource = parse(open_body(row, store.seal))
    fresh = row_of(resource, row["custodian"], row["updated"], store, zone)
    kept = sorted({*row["kept"], *fresh["kept"]})
    index = sorted({*fresh["index"], *kept})
    return {"index": index, "kept": kept, **{name: fresh[name] for name in DERIVED}}


def _finish(store: Store) -> None:
    built = [{"name": name, "fingerprint": each} for name, each in wanted().items()]
    store.db.state.update_one(
        {"_id": STATE}, {"$set": {"built": built}, "$unset": {"place": ""}}, upsert=True
    )
