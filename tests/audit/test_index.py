"""What the journal finds, held against what its AuditEvents say."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator

import pytest
from bson.binary import Binary

from hie_server.audit.events import INTERACTIONS, SEARCHABLE, Event, render
from hie_server.audit.index import narrowed, terms
from hie_server.audit.journal import Journal
from hie_server.fhir.index import index
from hie_server.fhir.match import satisfies
from hie_server.fhir.outcomes import FhirError
from hie_server.fhir.query import Query, parse_query
from hie_server.fhir.terms import Term
from hie_server.store.database import Store
from hie_server.store.pages import find_page
from tests.audit.test_events import BARE, EVENTS, FULL

NUMBERED = {
    str(number): replace(event, id=str(number))
    for number, event in enumerate(
        [
            *(each for name, each in EVENTS.items() if name != "the largest page"),
            *(replace(BARE, interaction=each) for each in INTERACTIONS),
            replace(FULL, status=304, recorded="2026-02-01T00:00:00.000Z"),
        ]
    )
}


def asked_by(term: Term) -> tuple[str, str]:
    """The query that a term answers."""
    form = term.form.removeprefix("identifier ")
    modifier = ":identifier" if form != term.form else ""
    value = {"system|": f"{term.value}|", "|code": f"|{term.value}"}.get(form, term.value)
    return f"{term.parameter}{modifier}", value


def queries() -> Iterator[tuple[str, str]]:
    found = {
        asked_by(term)
        for event in NUMBERED.values()
        for term in index(render(event), only=frozenset(SEARCHABLE)).terms
        if term.form != "present"
    }
    yield from sorted(found)
    for code in SEARCHABLE:
        yield f"{code}:missing", "true"
        yield f"{code}:missing", "false"
    yield from [
        ("action:not", "R"),
        ("subtype:not", "read,vread"),
        ("subtype:text", "read"),
        ("outcome:not", "0"),
        ("outcome", "0,8"),
        ("action", "X"),
        ("agent", "Organization/none-such"),
        ("agent", "1,none-such"),
        ("agent:Practitioner", "1"),
        ("entity:identifier", "system|r-1"),
        ("date", "2026-01-15"),
        ("date", "ne2026-01-15"),
        ("date", "gt2026-01-15T06:30:00Z"),
        ("date", "le2026-01-15T06:30:00.000Z"),
        ("_id", "1,2"),
    ]


def matches(event: Event, query: Query) -> bool:
    return all(satisfies(render(event), clause) for clause in query.clauses)


@pytest.fixture
def journal(store: Store) -> Journal:
    kept = Journal(store)
    for event in NUMBERED.values():
        kept.append(event)
    return kept


def test_each_value_finds_the_events_that_have_it_and_no_other(journal: Journal) -> None:
    everything = [{"custodian": "exchange"}]
    wrong = {}
    for pair in queries():
        query = parse_query("AuditEvent", [pair, ("_count", "1000")])
        page = find_page(journal.store, "journal", everything, narrowed(query), None)
        named = {row["_id"].partition("/")[2] for row in page.rows}
        found = sorted(named & NUMBERED.keys())  # beside those of what the exchange wrote itself
        events = NUMBERED.items()
        expected = sorted(number for number, event in events if matches(event, query))
        if found != expected:
            wrong[pair] = found, expected
    assert wrong == {}


def test_an_entry_has_few_terms(journal: Journal) -> None:
    """Each costs every request."""
    assert len(list(terms(BARE))) <= 6
    assert len(list(terms(FULL))) <= 18
    row = journal.store.db.journal.find_one({"_id": "AuditEvent/0"})
    assert row is not None
    kept = {bytes(each) for each in row["index"]}
    assert kept == {journal.store.seal.term(*each) for each in terms(BARE)}
    assert all(isinstance(each, Binary | bytes) for each in row["index"])


@pytest.mark.parametrize(
    "pair",
    [("site", "x"), ("agent-name", "x"), ("policy", "urn:x"), ("_sort", "agent"), ("_tag", "x")],
)
def test_what_the_journal_isnt_found_by_is_400(pair: tuple[str, str]) -> None:
    with pytest.raises(FhirError) as error:
        narrowed(parse_query("AuditEvent", [pair]))
    assert error.value.status == 400


def test_an_interaction_that_is_not_listed_is_a_fault(store: Store) -> None:
    with pytest.raises(ValueError, match="INTERACTIONS"):
        Journal(store).append(replace(BARE, interaction="unheard-of"))
