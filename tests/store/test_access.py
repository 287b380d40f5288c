"""An Access as a filter shows the rows that its limits admit, and no others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hie_server.fhir.facts import Facts, read_facts
from hie_server.store.access import Access, Limits, Rule, Share
from hie_server.store.database import Store
from hie_server.store.repository import Repository
from tests.support import Json, concept, observation

PERSON = "Patient/00000000-0000-4000-8000-00000000000a"
LOCAL = "Patient/00000000-0000-4000-8000-00000000000b"
STRANGER = "Patient/00000000-0000-4000-8000-00000000000c"
HOME, LINKED, UNLINKED, ASKER = (f"Organization/{n}" for n in ("home", "linked", "not", "asker"))
LABORATORY = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
HEMOGLOBIN = "http://loinc.org|718-7"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
SENSITIVITY = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
YEAR_2024 = (1704067200000, 1735689600000)
SHARE = Share(PERSON, frozenset({PERSON, LOCAL}), frozenset({HOME, LINKED, PERSON}), None, True)
EVERYTHING = Limits((Rule(True),))


def labelled(rank: str | None, *sensitivities: str) -> Json:
    codings = [{"system": SENSITIVITY, "code": each} for each in sensitivities]
    if rank:
        codings.append({"system": CONFIDENTIALITY, "code": rank})
    return {"meta": {"security": codings}} if codings else {}


WORLD: list[tuple[str, Json]] = [
    (HOME, observation(PERSON)),
    (HOME, observation(LOCAL, "718-7", category=[concept("observation-category", "laboratory")])),
    (LINKED, observation(PERSON, effectiveDateTime="2024-06", **labelled("N"))),
    (LINKED, observation(LOCAL, effectiveDateTime="2023-12-31T23:59:59Z", **labelled("V", "HIV"))),
    (LINKED, observation(PERSON, "718-7", effectivePeriod={"start": "2024-03"},
                         **labelled("L", "ETH", "PSY"))),
    (HOME, observation(PERSON, focus=[{"reference": "Device/7"}],
                       performer=[{"reference": "Practitioner/9"}])),
    (HOME, observation(PERSON, focus=[{"reference": STRANGER}])),
    (HOME, observation(LOCAL, focus=[{"reference": PERSON}])),
    (UNLINKED, observation(PERSON)),
    (HOME, observation(STRANGER)),
    (HOME, observation()),
    (PERSON, observation(PERSON)),
    (ASKER, observation(STRANGER)),
]


@pytest.fixture
def world(store: Store) -> dict[str, Facts]:
    """What is stored, and of each record what decisions are made by."""
    found = {}
    for custodian, resource in WORLD:
        made = Repository(store, Access(custodian=custodian)).create(resource)
        identity = made.reference.partition("/")[2]
        found[made.reference] = read_facts({**resource, "id": identity}, custodian)
    return found


def seen(store: Store, access: Access, kind: str = "Observation") -> set[str]:
    branches = access.branches(kind, store.seal.term)
    if not branches:
        return set()
    return {row["_id"] for row in store.db.resources.find({"type": kind, "$or": branches})}


def belongs(facts: Facts) -> bool:
    """To the person's life record, and to nobody else's."""
    named = facts.others | {facts.patient}
    return named <= SHARE.patients and facts.custodian in SHARE.custodians


def test_an_access_that_permits_nothing_has_no_branches(store: Store) -> None:
    assert Access().branches("Observation", store.seal.term) == []
    nothing = replace(SHARE, limits=Limits(()), identity=False)
    assert Access(shares=(nothing,)).branches("Observation", store.seal.term) == []
    assert seen(store, Access(directory=True)) == set()


def test_a_custodian_sees_its_own_and_nothing_else(
    store: Store, world: dict[str, Facts]
) -> None:
    for custodian in (HOME, LINKED, UNLINKED, ASKER, PERSON):
        own = {each for each, facts in world.items() if facts.custodian == custodian}
        assert seen(store, Access(custodian=custodian)) == own


def test_a_citizen_sees_their_whole_record_and_nobody_elses(
    store: Store, world: dict[str, Facts]
) -> None:
    whole = {each for each, facts in world.items() if belongs(facts)}
    assert seen(store, Access(shares=(SHARE,))) == whole
    assert len(whole) == 8


RULES = st.builds(
    Rule,
    permit=st.booleans(),
    holders=st.none() | st.frozensets(st.sampled_from([HOME, LINKED, PERSON])),
    classes=st.none() | st.frozensets(st.sampled_from([LABORATORY, "urn:x|no"]), min_size=1),
    codes=st.none() | st.frozensets(st.sampled_from([HEMOGLOBIN, "urn:x|no"]), min_size=1),
    when=st.none() | st.just(YEAR_2024),
    labelled=st.booleans(),
    rank=st.none() | st.integers(0, 5),
    labels=st.frozensets(st.sampled_from(["HIV", "ETH", "PSY"])),
    data=st.booleans(),
    instances=st.frozensets(st.sampled_from(["Observation/none"])),
    related=st.frozensets(st.sampled_from(["Device/7", "Device/8"])),
    authors=st.frozensets(st.sampled_from(["Practitioner/9"])),
)
NESTED = st.builds(
    lambda rule, exceptions: replace(
        rule, exceptions=tuple(replace(e, permit=not rule.permit) for e in exceptions)
    ),
    RULES,
    st.lists(RULES, max_size=2),
)
LIMITS = st.builds(
    Limits,
    st.lists(st.builds(lambda r: replace(r, permit=True), NESTED), max_size=3).map(tuple),
    st.lists(st.builds(lambda r: replace(r, permit=False), NESTED), max_size=2).map(tuple),
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(limits=LIMITS)
def test_the_filter_shows_what_the_limits_admit(
    store: Store, world: dict[str, Facts], limits: Limits
) -> None:
    access = Access(custodian=ASKER, shares=(replace(SHARE, limits=limits),))
    expected = {
        each
        for each, facts in world.items()
        if facts.custodian == ASKER or belongs(facts) and limits.admits(facts)
    }
    assert seen(store, access) == expected


def test_the_rules_drawn_reach_every_part(store: Store, world: dict[str, Facts]) -> None:
    """What the agreement above rests on: each part takes something away and leaves something."""
    parts: list[dict[str, Any]] = [
        {"holders": frozenset({LINKED})},
        {"classes": frozenset({LABORATORY})},
        {"codes": frozenset({HEMOGLOBIN})},
        {"when": YEAR_2024},
        {"labelled": True, "rank": 2},
        {"labelled": True, "labels": frozenset({"HIV"})},
        {"data": True, "related": frozenset({"Device/7"})},
        {"data": True, "authors": frozenset({"Practitioner/9"})},
    ]
    whole = seen(store, Access(shares=(replace(SHARE, limits=EVERYTHING),)))
    for part in parts:
        limits = Limits((Rule(True, **part),))
        some = seen(store, Access(shares=(replace(SHARE, limits=limits),)))
        assert set() < some < whole, part
        rest = Limits((Rule(True),), (Rule(False, **part),))
        left = seen(store, Access(shares=(replace(SHARE, limits=rest),)))
        assert set() < left < whole, part


def test_a_single_record_shows_where_it_is_nobodys(
    store: Store, world: dict[str, Facts]
) -> None:
    """By way of a referrer: only a record without a patient, whatever its type."""
    reached = Access(instances=frozenset(world))
    without = {each for each, facts in world.items() if facts.patient is None}
    assert seen(store, reached) == without


def test_consents_and_journal_entries_are_never_shared_by_a_permit(store: Store) -> None:
    sharing = replace(SHARE, limits=EVERYTHING, identity=True)
    for kind in ("Consent", "AuditEvent"):
        assert Access(shares=(sharing,)).branches(kind, store.seal.term) == []
