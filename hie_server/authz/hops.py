"""Where chains and `_has` lead: each hop is a search of its own, as if the caller had made it.

What a hop finds is what the caller may see; so is what its bound counts. A citizen's health ID is
the one condition that names a person: it stands for their own Patient.
https://hl7.org/fhir/R4/search.html#chaining
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Sequence

from hie_server.fhir.clauses import Clause
from hie_server.fhir.hops import Hop, by_ids, by_references, referred, with_hops
from hie_server.fhir.outcomes import FhirError, Issue
from hie_server.fhir.query import Query
from hie_server.fhir.resources import parse
from hie_server.identity import health_id, people
from hie_server.store.database import Store
from hie_server.store.records import Version

MOST_FOUND = 1_000
OLDEST_FIRST = (("_lastUpdated", False),)
Find = Callable[[Query], Sequence[Version]]


def led(store: Store, query: Query, find: Find) -> Query:
    """The query with what its hops lead to instead of them; `find` searches as the caller.

    FhirError 403 `too-costly` where one finds more than MOST_FOUND.
    """
    if not query.hops:
        return query
    return with_hops(query, [_clause(store, query.type, hop, find) for hop in query.hops])


def _clause(store: Store, kind: str, hop: Hop, find: Find) -> Clause:
    if hop.back:
        found = _all(hop.queries[0], find)
        ids = (each for one in found for each in referred(parse(one.body or b""), hop.back, kind))
        return by_ids(sorted(set(ids)))
    persons = _persons(store, hop)
    if persons is not None:
        return replace(by_references(hop.parameter, persons), found=False)
    references = [each.reference for query in hop.queries for each in _all(query, find)]
    return by_references(hop.parameter, references)


def _all(query: Query, find: Find) -> Sequence[Version]:
    found = find(replace(query, count=MOST_FOUND + 1, sort=OLDEST_FIRST))
    if len(found) > MOST_FOUND:
        diagnostics = f"Over {MOST_FOUND:,} {query.type} are found on the way: narrow the chain."
        raise FhirError(403, [Issue("too-costly", diagnostics)])
    return found


def _persons(store: Store, hop: Hop) -> list[str] | None:
    """The own Patients of the citizens whose health IDs are chained to; None for other chains."""
    query = next((each for each in hop.queries if each.type == "Patient"), None)
    if query is None or len(query.clauses) != 1:
        return None
    clause, prefix = query.clauses[0], f"{health_id.SYSTEM}|"
    plain = clause.parameter == "identifier" and not clause.modifier
    if not plain or not all(each.startswith(prefix) for each in clause.values):
        return None
    numbers = (each.removeprefix(prefix) for each in clause.values)
    found = (people.by_health_id(store, number) for number in numbers)
    return [person.id for person in found if person is not None]
