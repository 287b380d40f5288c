"""The consent rule: may this asker see records of this person that others hold?

Pure, and the published rule of the exchange, over FHIR R4 Consents as IHE PCF profiles them.
https://hl7.org/fhir/R4/consent.html · https://profiles.ihe.net/ITI/PCF/

1. Deny unless permitted. Only `active` Consents count; one without `provision` is no rule.
2. Parts of a provision are ANDed, values within a part are alternatives, an absent part means any.
   Recipients (IRCP, PRCP), purpose, period and action are held against the asker here; holders
   (CST), class, code, dataPeriod, securityLabel and data become `Rule`s over the record.
3. A nested provision (one level, the opposite type) is an exception inside its parent; a permit
   excepted from a deny permits that part.
4. Among all consents a matching deny is a veto.
5. What can't be understood denies: `read` refuses it when written, `decide` when met.
6. Breaking the glass (BTG) is a purpose of its own: Deny until it is built.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any, Iterable, Iterator, Mapping

from hie_server.authz.provisions import Grant, Provision, read_consent
from hie_server.fhir.outcomes import FhirError
from hie_server.store.access import EXCHANGE_ORGANIZATION, Limits, Rule

BREAK_GLASS = "BTG"
MOST_CONSENTS = 1_000
# Values of all the rules that concern one asker: they become part of the query.
MOST_VALUES = 20_000


@dataclass(frozen=True)
class Ask:
    """Who asks, and why: references, and one v3-ActReason code."""

    facility: str | None
    practitioner: str | None
    role: str | None
    purpose: str

    def is_one_of(self, recipients: frozenset[str]) -> bool:
        if self.facility is not None and EXCHANGE_ORGANIZATION in recipients:
            return True
        return bool({self.facility, self.practitioner, self.role} & recipients)


@dataclass(frozen=True)
class Permit:
    """What is left visible, whether the person's own Patient is, and the consents relied on."""

    limits: Limits
    identity: bool
    consents: tuple[str, ...]
    reason: str = "permitted"


@dataclass(frozen=True)
class Deny:
    reason: str

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True)
class Unreadable:
    """An active consent that can't be understood: while it stands, nothing is shared."""

    reference: str


def read(consent: Mapping[str, Any], zone: tzinfo) -> Grant:
    """The consent as rules; FhirError 422 with every fault where it can't be understood."""
    return read_consent(consent, zone)


def compile_all(
    consents: Iterable[Mapping[str, Any]], zone: tzinfo
) -> tuple[Grant | Unreadable, ...]:
    """Of the active ones: only they count."""
    return tuple(_compile(each, zone) for each in consents if each.get("status") == "active")


def _compile(consent: Mapping[str, Any], zone: tzinfo) -> Grant | Unreadable:
    """Whatever goes wrong with it, it denies."""
    try:
        return read(consent, zone)
    except (FhirError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return Unreadable(f"Consent/{consent.get('id')}")


def decide(
    grants: tuple[Grant | Unreadable, ...], ask: Ask, now: datetime, person: str
) -> Permit | Deny:
    """`grants`: the active consents of `person` ("Patient/…"), from `compile_all`."""
    if ask.purpose == BREAK_GLASS:
        return Deny("breaking the glass is not available")
    if len(grants) > MOST_CONSENTS:
        return Deny(f"more than {MOST_CONSENTS} consents")
    unreadable = [each.reference for each in grants if isinstance(each, Unreadable)]
    if unreadable:
        return Deny(f"{unreadable[0]} can't be understood")
    refusing = refusal(grants, ask, now)
    if refusing is not None:
        return Deny(f"{refusing} refuses")
    return _weigh(list(_live(grants, ask, now)), person)


def refusal(grants: tuple[Grant | Unreadable, ...], ask: Ask, now: datetime) -> str | None:
    """The consent that refuses this asker everything, if one does."""
    for grant, rule in _live(grants, ask, now):
        if not rule.permit and rule.unlimited():
            return grant.reference
    return None


def voided(
    grants: tuple[Grant | Unreadable, ...],
    recipients: frozenset[str],
    purposes: frozenset[str],
    now: datetime,
) -> str | None:
    """The consent that refuses everything to one of these recipients for one of these purposes:
    `refusal` for each pair, at the cost of comparing sets."""
    instant = int(now.timestamp() * 1000)
    for grant in grants:
        if isinstance(grant, Grant) and grant.root is not None:
            if _voids(grant.root, recipients, purposes, instant):
                return grant.reference
    return None


def _voids(
    root: Provision, recipients: frozenset[str], purposes: frozenset[str], now: int
) -> bool:
    if root.rule.permit or not root.rule.unlimited() or not _counts(root, now):
        return False
    refused = _named(root, recipients)
    excepted: dict[str, frozenset[str]] = {
        purpose: frozenset()
        for purpose in purposes
        if root.purposes is None or purpose in root.purposes
    }
    for each in root.nested:
        if not _counts(each, now):
            continue
        if each.purposes is None:
            refused -= _named(each, refused)
        else:
            for purpose in each.purposes & excepted.keys():
                excepted[purpose] |= _named(each, refused)
    return any(refused - each for each in excepted.values())


def _named(provision: Provision, recipients: frozenset[str]) -> frozenset[str]:
    """Those of the recipients that the provision names, as `Ask.is_one_of` has it."""
    named = provision.recipients
    if named is None:
        return recipients
    if EXCHANGE_ORGANIZATION not in named:
        return recipients & named
    return frozenset(r for r in recipients if r in named or r.startswith("Organization/"))


def _live(
    grants: tuple[Grant | Unreadable, ...], ask: Ask, now: datetime
) -> Iterator[tuple[Grant, Rule]]:
    instant = int(now.timestamp() * 1000)
    for grant in grants:
        if isinstance(grant, Grant):
            for rule in _live_rules(grant, ask, instant):
                yield grant, rule


def _weigh(live: list[tuple[Grant, Rule]], person: str) -> Permit | Deny:
    if sum(rule.size() for _, rule in live) > MOST_VALUES:
        return Deny(f"more than {MOST_VALUES} values to decide by")
    permits = tuple(rule for _, rule in live if rule.permit)
    vetoes = tuple(rule for _, rule in live if not rule.permit)
    if not permits:
        return Deny("no consent permits")
    relied_on = tuple(dict.fromkeys(grant.version for grant, rule in live if rule.permit))
    identity = not any(_hides_identity(rule, person) for rule in vetoes)
    return Permit(Limits(permits, vetoes), identity, relied_on)


def _hides_identity(veto: Rule, person: str) -> bool:
    """A veto that names no kind of record refuses the person's own Patient, too."""
    of_any_kind = veto.classes is None and veto.codes is None
    return of_any_kind and (veto.holders is None or person in veto.holders)


def _live_rules(grant: Grant, ask: Ask, now: int) -> Iterator[Rule]:
    """The rules of one consent that concern this asker now; a permit that is wholly excepted is
    none."""
    root = grant.root
    if root is None or not _concerns(root, ask, now):
        return
    exceptions = tuple(each.rule for each in root.nested if _concerns(each, ask, now))
    if not (root.rule.permit and any(each.unlimited() for each in exceptions)):
        yield replace(root.rule, exceptions=exceptions)
    if not root.rule.permit:
        for exception in exceptions:
            yield replace(exception, within=root.rule)


def _concerns(provision: Provision, ask: Ask, now: int) -> bool:
    return (
        (provision.recipients is None or ask.is_one_of(provision.recipients))
        and (provision.purposes is None or ask.purpose in provision.purposes)
        and _counts(provision, now)
    )


def _counts(provision: Provision, now: int) -> bool:
    """Whether it is in force now, and about reading."""
    in_force = provision.period is None or provision.period[0] <= now < provision.period[1]
    return in_force and _concerns_reading(provision)


def _concerns_reading(provision: Provision) -> bool:
    if provision.actions is None:
        return True
    if provision.rule.permit:
        return "access" in provision.actions
    return provision.actions != {"correct"}
