"""What a new grant would give in vain: compared with asking for each recipient and purpose."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hie_server.authz import consent
from hie_server.authz.consent import Ask, Deny, decide, refusal, voided
from hie_server.authz.provisions import Grant, Provision
from hie_server.store.access import EXCHANGE_ORGANIZATION, Rule

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
INSTANT = int(NOW.timestamp() * 1000)
RECIPIENTS = ("Organization/1", "Practitioner/1", "PractitionerRole/1", EXCHANGE_ORGANIZATION)
PURPOSES = ("TREAT", "HRESCH", "PUBHLTH")
FIELDS = {"Organization": "facility", "Practitioner": "practitioner", "PractitionerRole": "role"}

recipients = st.frozensets(st.sampled_from(RECIPIENTS), min_size=1)
purposes = st.frozensets(st.sampled_from(PURPOSES), min_size=1)
periods = st.sampled_from([None, (INSTANT, INSTANT + 1), (INSTANT - 1, INSTANT)])
actions = st.sampled_from([None, frozenset({"access"}), frozenset({"correct"})])


def provisions(permit: bool, nested: st.SearchStrategy[Provision] | None) -> st.SearchStrategy[
    Provision
]:
    return st.builds(
        Provision,
        st.sampled_from([Rule(permit), Rule(permit, classes=frozenset({"s|Patient"}))]),
        st.none() | recipients,
        st.none() | purposes,
        periods,
        actions,
        st.lists(nested, max_size=4).map(tuple) if nested is not None else st.just(()),
    )


denies = provisions(False, provisions(True, None))
permits = provisions(True, provisions(False, None))


def ask(recipient: str, purpose: str) -> Ask:
    named = {field: None for field in FIELDS.values()}
    return Ask(**{**named, FIELDS[recipient.partition("/")[0]]: recipient}, purpose=purpose)


@given(denies | permits, recipients, purposes)
def test_a_grant_is_voided_where_one_of_its_askers_is_refused(
    root: Provision, to: frozenset[str], why: frozenset[str]
) -> None:
    standing = (Grant("Consent/1", "v", root),)
    each = [refusal(standing, ask(*pair), NOW) for pair in product(to, why)]
    assert voided(standing, to, why, NOW) == ("Consent/1" if any(each) else None)


def test_what_is_no_rule_voids_nothing() -> None:
    standing = (consent.Unreadable("Consent/1"), Grant("Consent/2", "v", None))
    assert voided(standing, frozenset(RECIPIENTS), frozenset(PURPOSES), NOW) is None


def test_the_largest_grant_is_compared_at_once() -> None:
    to = frozenset(f"Organization/{n}" for n in range(500))
    why = frozenset(f"P{n}" for n in range(500))
    excepted = tuple(
        Provision(Rule(True), frozenset({EXCHANGE_ORGANIZATION}), frozenset({each}), None, None)
        for each in why
    )
    root = Provision(Rule(False), None, None, None, None, excepted)
    begun = time.process_time()
    assert voided((Grant("Consent/1", "v", root),), to, why, NOW) is None
    # The product would take seconds.
    assert time.process_time() - begun < 0.5


def test_more_values_than_a_query_holds_deny(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = frozenset({"s|a", "s|b", "s|c"})
    rule = Rule(True, classes=classes)
    standing = (Grant("Consent/1", "v", Provision(rule, None, None, None, None)),)
    asked = ask("Organization/1", "TREAT")
    monkeypatch.setattr(consent, "MOST_VALUES", rule.size())
    assert decide(standing, asked, NOW, "Patient/1")
    monkeypatch.setattr(consent, "MOST_VALUES", rule.size() - 1)
    refused = decide(standing, asked, NOW, "Patient/1")
    assert isinstance(refused, Deny) and "values" in refused.reason
