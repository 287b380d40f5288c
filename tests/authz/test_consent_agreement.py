"""What the server decides, in memory and as a MongoDB filter, is what the oracle decides."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from random import Random
from typing import Any, Callable, Iterable, Iterator

import pytest

from hie_server.authz.consent import Ask, Deny, Permit, compile_all, decide
from hie_server.fhir.facts import Facts
from hie_server.store.access import Access, Share
from hie_server.store.database import Store
from tests.authz import consent_rules as oracle
from tests.authz.consent_cases import CUSTODIANS, PERSON, PERSONS, Case, cases, records
from tests.authz.consent_rules import Record

POOL = records(seed=1, count=40)
OWN_PATIENT = replace(POOL[0], reference=PERSON, type="Patient", custodian=PERSON)
TYPES = sorted({record.type for record in (*POOL, OWN_PATIENT)})
# None of these is of this person's life record: (patient, others, custodian).
STRANGERS = (
    ("Patient/other", [], CUSTODIANS[1]),
    (PERSON, ["Patient/other"], CUSTODIANS[1]),
    (PERSON, [], "Organization/unlinked"),
    (None, [], CUSTODIANS[1]),
)


@pytest.fixture(params=[2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def drawn(request: pytest.FixtureRequest) -> Iterator[Case]:
    """Cases of a new seed in every run; a failing run prints it."""
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    return cases(seed, request.param)


def answer(case: Case) -> Permit | Deny:
    asked = case.question
    ask = Ask(asked.facility, asked.practitioner, asked.role, asked.purpose)
    return decide(compile_all(case.consents, asked.zone), ask, asked.now, asked.person)


def seen(decision: Permit | Deny, pool: Iterable[Record]) -> set[str]:
    if not isinstance(decision, Permit):
        return set()
    return {each.reference for each in pool if decision.limits.admits(Facts(**asdict(each)))}


def outcome(decision: Permit | Deny, expected: set[str]) -> str:
    if not decision:
        return "deny"
    return "permit, some" if expected - {PERSON} else "permit, nothing"


def assert_balanced(counts: Counter[str]) -> None:
    """No answer is so rare that the comparison says nothing about it."""
    print(dict(counts))
    fifth = counts.total() / 5
    assert counts["deny"] >= fifth
    assert counts["permit, nothing"] + counts["permit, some"] >= fifth
    assert counts["permit, some"] >= fifth


def test_decides_as_the_oracle(drawn: Iterator[Case]) -> None:
    counts: Counter[str] = Counter()
    for case in drawn:
        decision = answer(case)
        expected = oracle.visible(case.consents, case.question, POOL)
        identity = oracle.identity(case.consents, case.question)
        assert bool(decision) == oracle.decides_permit(case.consents, case.question), case
        assert seen(decision, POOL) == expected, case
        assert (isinstance(decision, Permit) and decision.identity) == identity, case
        counts[outcome(decision, expected)] += 1
    assert_balanced(counts)


def test_filters_as_the_oracle(drawn: Iterator[Case], store: Store) -> None:
    rows = store.db["agreement"]
    rows.insert_many(pool_rows(store.seal.term))
    counts: Counter[str] = Counter()
    for case in drawn:
        decision = answer(case)
        expected = oracle.visible(case.consents, case.question, POOL)
        if oracle.identity(case.consents, case.question):
            expected.add(PERSON)
        if isinstance(decision, Permit):
            query = {"$or": alternatives(decision, store.seal.term)}
            found = {row["_id"] for row in rows.find(query, {"_id": 1})}
        else:
            found = set()
        assert found == expected, case
        counts[outcome(decision, expected)] += 1
    assert_balanced(counts)


def alternatives(decision: Permit, term: Callable[..., bytes]) -> list[dict[str, Any]]:
    share = Share(
        PERSON, frozenset(PERSONS), frozenset(CUSTODIANS), decision.limits, decision.identity
    )
    access = Access(shares=(share,))
    found = [
        {"$and": [{"type": kind}, branch]}
        for kind in TYPES
        for branch in access.branches(kind, term)
    ]
    return found or [{"_id": {"$in": []}}]


def pool_rows(term: Callable[..., bytes]) -> list[dict[str, Any]]:
    rows = [row(record, PERSONS[number % 2], term) for number, record in enumerate(POOL)]
    rows.append(row(OWN_PATIENT, PERSON, term))
    rows[0]["others"] = [PERSONS[1]]
    for number, (patient, others, custodian) in enumerate(STRANGERS):
        for record in POOL[:10]:
            moved = replace(record, reference=f"{record.reference}-{number}", custodian=custodian)
            rows.append(row(moved, patient, term) | {"others": others})
    return rows


def row(record: Record, patient: str | None, term: Callable[..., bytes]) -> dict[str, Any]:
    """As the store writes it: what is said of the record in the clear, the rest as hashes."""
    references = [term("*", "-ref", "", each) for each in sorted(record.refs)]
    authors = [term("*", "-author", "", each) for each in sorted(record.authors)]
    authors += [term("*", "-any-author", "", each) for each in sorted(record.any_authors)]
    return {
        "_id": record.reference,
        "type": record.type,
        "custodian": record.custodian,
        "patient": patient,
        "others": [],
        "rank": record.rank,
        "labels": [term("label", each) for each in sorted(record.labels)],
        "kinds": [term("kind", each) for each in sorted(record.kinds)],
        "mentions": [term("kind", each) for each in sorted(record.mentions)],
        "when": record.when and dict(zip(("lo", "hi"), record.when)),
        "span": record.span and dict(zip(("lo", "hi"), record.span)),
        "index": references + authors,
    }
