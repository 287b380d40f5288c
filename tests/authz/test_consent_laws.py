"""What holds whatever the consents say: to deny more or to permit less never shows more."""

from __future__ import annotations

import copy
from random import Random
from typing import Callable

import pytest

from hie_server.authz.consent import Ask, Permit, compile_all, decide
from hie_server.fhir.facts import Facts
from tests.authz import consent_cases
from tests.authz.consent_cases import PERSON, PURPOSES, ZONES, Case, recipient, records, rule
from tests.authz.consent_json import Json, faults, root_type

Change = Callable[[Random, list[Json]], list[Json]]
POOL = [Facts(**vars(record)) for record in records(seed=2, count=40)]
CASES = 300


def understood(random: Random) -> Case:
    """A case in which nothing but the rules themselves can hide anything."""
    drawn = consent_cases.case(random)
    zone = drawn.question.zone
    kept = [
        consent
        for consent in drawn.consents
        if consent["status"] == "active" and "provision" in consent and not faults(consent, zone)
    ]
    return Case(kept, drawn.question)


def shown(case: Case) -> set[str]:
    asked = case.question
    ask = Ask(asked.facility, asked.practitioner, asked.role, asked.purpose)
    decision = decide(compile_all(case.consents, asked.zone), ask, asked.now, asked.person)
    if not isinstance(decision, Permit):
        return set()
    own = {PERSON} if decision.identity else set()
    return own | {each.reference for each in POOL if decision.limits.admits(each)}


def added(random: Random, kind: str) -> Json:
    """A consent that can be understood in every zone."""
    while True:
        made = rule(random, "added", kind)
        if not any(faults(made, zone) for zone in ZONES):
            return made


# Each takes a copy of the consents; it may find nothing to change in them.


def add_a_deny(random: Random, consents: list[Json]) -> list[Json]:
    more = added(random, "deny")
    more["provision"].pop("provision", None)
    return [*consents, more]


def remove_a_permit(random: Random, consents: list[Json]) -> list[Json]:
    permits = [consent for consent in consents if root_type(consent) == "permit"]
    removed = random.choice(permits) if permits else None
    return [consent for consent in consents if consent is not removed]


def add_an_exception_to_a_permit(random: Random, consents: list[Json]) -> list[Json]:
    for consent in consents:
        if root_type(consent) == "permit":
            exception = {"type": "deny", **consent_cases.parts(random, 0.2)}
            consent["provision"].setdefault("provision", []).append(exception)
    return consents


def remove_the_exceptions_of_denies(random: Random, consents: list[Json]) -> list[Json]:
    for consent in consents:
        if root_type(consent) == "deny":
            consent["provision"].pop("provision", None)
    return consents


def widen_a_deny(random: Random, consents: list[Json]) -> list[Json]:
    """Without exceptions, since those permit what they except."""
    for consent in consents:
        root = consent["provision"]
        parts = sorted(set(root) - {"type", "provision"})
        if root_type(consent) == "deny" and "provision" not in root and parts:
            del root[random.choice(parts)]
    return consents


def permits(consents: list[Json]) -> list[Json]:
    """The provisions that permit, roots and exceptions."""
    roots = [consent["provision"] for consent in consents if root_type(consent) == "permit"]
    nested = [
        exception
        for consent in consents
        if root_type(consent) == "deny"
        for exception in consent["provision"].get("provision", [])
    ]
    return roots + nested


def drop_a_value(part: str) -> Change:
    """One of several alternatives of every permit."""

    def change(random: Random, consents: list[Json]) -> list[Json]:
        for provision in permits(consents):
            if len(provision.get(part, [])) > 1:
                provision[part].pop(random.randrange(len(provision[part])))
        return consents

    return change


def drop_an_actor(role: str) -> Change:
    """One of several recipients (IRCP) or holders (CST) of every permit."""

    def change(random: Random, consents: list[Json]) -> list[Json]:
        for provision in permits(consents):
            actors = provision.get("actor", [])
            alike = [a for a in actors if consent_cases.is_recipient(a) == (role == "IRCP")]
            if len(alike) > 1:
                actors.remove(random.choice(alike))
        return consents

    return change


def add_a_part(part: str) -> Change:
    """To every permit that lets it be any."""

    def change(random: Random, consents: list[Json]) -> list[Json]:
        for provision in permits(consents):
            provision.setdefault(part, consent_cases.parts(random, 1)[part])
        return consents

    return change


def close_periods(random: Random, consents: list[Json]) -> list[Json]:
    """Every open end of every permit's periods, and those that are as good as open."""
    for provision in permits(consents):
        for given in [provision[part] for part in ("period", "dataPeriod") if part in provision]:
            given.setdefault("start", random.choice(consent_cases.EARLY))
            if given.get("end", "9999-12-31") == "9999-12-31":
                given["end"] = random.choice(consent_cases.LATE)
    return consents


NEVER_MORE: dict[str, Change] = {
    "a deny is added": add_a_deny,
    "a permit is removed": remove_a_permit,
    "a permit gets an exception": add_an_exception_to_a_permit,
    "denies lose their exceptions": remove_the_exceptions_of_denies,
    "a deny loses a part": widen_a_deny,
    "periods of permits are closed": close_periods,
    "permits lose a recipient": drop_an_actor("IRCP"),
    "permits lose a holder": drop_an_actor("CST"),
    **{
        f"permits lose a value of {part}": drop_a_value(part)
        for part in ("purpose", "class", "code", "securityLabel", "data")
    },
    **{
        f"permits get {part}": add_a_part(part)
        for part in ("period", "action", "class", "code", "dataPeriod", "securityLabel", "data")
    },
}


@pytest.mark.parametrize("situation", NEVER_MORE)
def test_never_shows_more_when(situation: str) -> None:
    random = Random(situation)
    hid = 0
    for _ in range(CASES):
        case = understood(random)
        before = shown(case)
        consents = NEVER_MORE[situation](random, copy.deepcopy(case.consents))
        after = shown(Case(consents, case.question))
        assert after <= before, f"{case}\nchanged to {consents}"
        hid += after < before
    # The change must have mattered, or nothing was tried.
    assert hid >= 3


def shuffle(random: Random, consents: list[Json]) -> list[Json]:
    random.shuffle(consents)
    for consent in consents:
        root = consent["provision"]
        for provision in (root, *root.get("provision", [])):
            for values in provision.values():
                if isinstance(values, list):
                    random.shuffle(values)
    return consents


def repeat(random: Random, consents: list[Json]) -> list[Json]:
    return consents + consents


def add_what_is_not_active(random: Random, consents: list[Json]) -> list[Json]:
    more = [added(random, kind) | {"status": "inactive"} for kind in ("permit", "deny")]
    return [*more, *consents]


def add_what_has_ended(random: Random, consents: list[Json]) -> list[Json]:
    more = [added(random, kind) for kind in ("permit", "deny")]
    for each in more:
        each["provision"]["period"] = {"end": "2023-12-30"}
    return [*more, *consents]


def add_what_is_for_others(random: Random, consents: list[Json]) -> list[Json]:
    stranger = recipient(random)
    stranger["reference"]["reference"] = "Organization/elsewhere"
    more = [added(random, kind) for kind in ("permit", "deny")]
    for each in more:
        each["provision"]["actor"] = [stranger]
    return [*more, *consents]


ALL_THE_SAME: dict[str, Change] = {
    "nothing changes": lambda random, consents: consents,
    "the order changes": shuffle,
    "each consent is there twice": repeat,
    "consents that are not active are added": add_what_is_not_active,
    "consents that have ended are added": add_what_has_ended,
    "consents for others are added": add_what_is_for_others,
}


@pytest.mark.parametrize("situation", ALL_THE_SAME)
def test_shows_the_same_when(situation: str) -> None:
    random = Random(situation)
    some = 0
    for _ in range(CASES):
        case = understood(random)
        before = shown(case)
        consents = ALL_THE_SAME[situation](random, copy.deepcopy(case.consents))
        assert shown(Case(consents, case.question)) == before, f"{case}\nchanged to {consents}"
        some += bool(before)
    assert some >= CASES // 5


def test_leaves_the_consents_as_they_are() -> None:
    random = Random(1)
    for _ in range(100):
        case = consent_cases.case(random)
        kept = copy.deepcopy(case)
        shown(case)
        assert case == kept


def test_never_permits_break_glass() -> None:
    random = Random(2)
    for _ in range(CASES):
        case = understood(random)
        if case.question.purpose == PURPOSES[-1]:
            assert shown(case) == set()
