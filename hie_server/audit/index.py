"""What an entry of the journal is found by: few terms, since every request pays for them.

`date` is the instant of writing. What follows from the interaction or from the status has one term
each: a clause about it is asked of the AuditEvent of each that there is.
https://hl7.org/fhir/R4/auditevent.html#search
"""

from __future__ import annotations

from dataclasses import replace
from typing import Iterable, Iterator

from hie_server.audit.events import INTERACTIONS, SEARCHABLE, UNAUTHENTICATED, Event, render
from hie_server.fhir.clauses import Clause
from hie_server.fhir.match import satisfies
from hie_server.fhir.outcomes import bad_request
from hie_server.fhir.query import Query
from hie_server.fhir.references import read_target
from hie_server.fhir.terms import Term
from hie_server.store.records import type_terms

KIND = "AuditEvent"
_SAMPLE = Event("0", "2000-01-01T00:00:00.000Z", "", 200)
_OUTCOMES = {"0": 200, "4": 400, "8": 500}
_NOTHING = Term("-nothing", "", "")
# What an entry is sorted by without being opened.
_SORTS = ("_id", "_lastUpdated", "date")
_AGENTS = ("Organization", "Practitioner", "Patient")


def terms(event: Event) -> Iterator[tuple[str, ...]]:
    yield type_terms(KIND)[0]
    for term in {*_facts(event), *_agents(event), *_patients(event), *_entities(event)}:
        yield KIND, *term


def _facts(event: Event) -> Iterator[Term]:
    yield Term("-interaction", "", event.interaction)
    yield Term("outcome", "", event.outcome)


def _agents(event: Event) -> Iterator[Term]:
    yield Term("agent", "identifier", event.client or UNAUTHENTICATED)
    for reference in (event.facility, event.practitioner, event.citizen):
        if reference:
            yield Term("agent", "reference", reference)


def _patients(event: Event) -> Iterator[Term]:
    for reference in event.patients():
        yield Term("patient", "present", "")
        yield Term("patient", "reference", reference)


def _entities(event: Event) -> Iterator[Term]:
    yield Term("entity", "identifier", event.request)
    named = {event.refusal_of and f"{KIND}/{event.refusal_of}"}
    for each in event.entities:
        named.update((each.patient, each.reference, *each.consents))
    for reference in named - {None}:
        target = read_target(str(reference))
        yield Term("entity", "reference", target.url)
        yield Term("entity", "id", target.id)


def narrowed(query: Query) -> Query:
    """The query in the terms of the journal. FhirError 400 for what it isn't found by."""
    clauses = tuple(each for clause in query.clauses for each in _narrowed(clause))
    if query.hops:
        raise bad_request(f"{KIND} can't be chained.", code="not-supported")
    for code, _ in query.sort:
        if code not in _SORTS:
            diagnostics = f"_sort: {KIND} is sorted by {', '.join(_SORTS)}."
            raise bad_request(diagnostics, "_sort", "not-supported")
    sort = tuple(("_lastUpdated" if code == "date" else code, falls) for code, falls in query.sort)
    return replace(query, clauses=clauses, sort=sort)


def _narrowed(clause: Clause) -> Iterable[Clause]:
    """No clause for what every entry meets."""
    name = clause.parameter
    if name in ("_id", "_lastUpdated"):
        return (clause,)
    if name not in SEARCHABLE or not clause.exact and name not in _VALUES:
        modified = f"{name}:{clause.modifier}" if clause.modifier else name
        diagnostics = f"{modified} is not served for {KIND}; {', '.join(SEARCHABLE)} are."
        raise bad_request(diagnostics, name, "not-supported")
    if name in _VALUES:
        return (_any_of(clause, _VALUES[name](clause)),)
    if clause.modifier == "missing" and name != "patient":
        return (_any_of(clause, ()),) if clause.negated else ()
    if name == "date":
        return (replace(clause, kind="updated"),)
    asked = [each for each in clause.any_of if isinstance(each, Term)]
    found = (each for term in asked for each in _named(term))
    return (replace(clause, any_of=tuple(found) or (_NOTHING,)),)


def _any_of(clause: Clause, found: Iterable[Term]) -> Clause:
    return replace(clause, any_of=tuple(found) or (_NOTHING,), negated=False, exact=True)


def _interactions(clause: Clause) -> Iterator[Term]:
    for each in INTERACTIONS:
        if satisfies(render(replace(_SAMPLE, interaction=each)), clause):
            yield Term("-interaction", "", each)


def _outcomes(clause: Clause) -> Iterator[Term]:
    for outcome, status in _OUTCOMES.items():
        if satisfies(render(replace(_SAMPLE, status=status)), clause):
            yield Term("outcome", "", outcome)


def _named(term: Term) -> Iterator[Term]:
    """References are kept whole, identifiers without a system: theirs have none."""
    if term.form == "id" and term.parameter == "entity":
        yield term
    elif term.form == "id":
        for kind in _AGENTS if term.parameter == "agent" else ("Patient",):
            yield Term(term.parameter, "reference", f"{kind}/{term.value}")
    elif term.form in ("identifier code", "identifier |code"):
        yield Term(term.parameter, "identifier", term.value)
    elif term.form in ("reference", "present"):
        yield term


_VALUES = {
    "action": _interactions,
    "subtype": _interactions,
    "type": _interactions,
    "outcome": _outcomes,
}
