"""The published consent rule, a second time: the oracle that the tests compare with.

Written from the rule's text alone, straight over Consent JSON, with nothing but the standard
library, so that it shares no mistake with hie_server. Slow and plain on purpose.
https://hl7.org/fhir/R4/consent.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Iterable, Literal

from tests.authz.consent_json import (
    ACT_CODE,
    CONFIDENTIALITY,
    HOLDER,
    RANK,
    RECIPIENT,
    Json,
    actors,
    codings,
    faults,
    moment,
    root_type,
    span,
)

EXCHANGE = "Organization/exchange"
NEVER_SHARED = {"Consent", "AuditEvent"}
MOST_CONSENTS = 1000


@dataclass(frozen=True)
class Record:
    """What the rule asks about one record; `when` is half-open milliseconds. Denies ask of all
    that it carries: `mentions` for `kinds`, `span` for `when`, `any_authors` for `authors`."""

    reference: str
    type: str
    custodian: str
    rank: int
    labels: frozenset[str]
    kinds: frozenset[str]
    when: tuple[int, int] | None
    refs: frozenset[str]
    authors: frozenset[str]
    mentions: frozenset[str]
    span: tuple[int, int] | None
    any_authors: frozenset[str]


@dataclass(frozen=True)
class Question:
    """Who asks, for what and when, about whom; `zone` is where days begin and end."""

    facility: str | None
    practitioner: str | None
    role: str | None
    purpose: str
    now: datetime
    zone: tzinfo
    person: str


@dataclass(frozen=True)
class Rule:
    """A root provision whose ask-parts match, and those of its exceptions whose do."""

    type: Literal["permit", "deny"]
    root: Json
    exceptions: tuple[Json, ...]


# Rules 1, 2, 6, 7 and 8: what many consents amount to


def visible(consents: list[Json], question: Question, records: Iterable[Record]) -> set[str]:
    """The references of the records that the consents show (rule 6)."""
    if refused(consents, question):
        return set()
    rules = live_rules(consents, question)
    return {record.reference for record in records if shows(rules, record, question.zone)}


def identity(consents: list[Json], question: Question) -> bool:
    """Is the person's own Patient visible (rule 7)?"""
    if refused(consents, question):
        return False
    rules = live_rules(consents, question)
    return any_permit(rules) and not any(bars_identity(rule, question.person) for rule in rules)


def decides_permit(consents: list[Json], question: Question) -> bool:
    """Permit with limits, rather than Deny (rule 8)."""
    if refused(consents, question):
        return False
    rules = live_rules(consents, question)
    vetoes_all = any(
        rule.type == "deny" and not rule.exceptions and not has_record_parts(rule.root)
        for rule in rules
    )
    return any_permit(rules) and not vetoes_all


def active(consents: list[Json]) -> list[Json]:
    return [consent for consent in consents if consent.get("status") == "active"]


def refused(consents: list[Json], question: Question) -> bool:
    ours = active(consents)
    if question.purpose == "BTG" or len(ours) > MOST_CONSENTS:
        return True
    return any(faults(consent, question.zone) for consent in ours)


def live_rules(consents: list[Json], question: Question) -> list[Rule]:
    rules = []
    for consent in active(consents):
        kind = root_type(consent)
        root = consent.get("provision")
        if root is not None and kind is not None and asked(root, kind, question):
            nested = root.get("provision", [])
            live = tuple(each for each in nested if asked(each, each["type"], question))
            rules.append(Rule(kind, root, live))
    return rules


def any_permit(rules: list[Rule]) -> bool:
    """A permit from which this asker is wholly excepted is none."""
    return any(permits_something(rule) for rule in rules)


def permits_something(rule: Rule) -> bool:
    if rule.type == "deny":
        return bool(rule.exceptions)
    return all(has_record_parts(each) for each in rule.exceptions)


def bars_identity(rule: Rule, person: str) -> bool:
    if rule.type == "permit" or "class" in rule.root or "code" in rule.root:
        return False
    holders = actors(rule.root, HOLDER)
    return not holders or person in holders


def shows(rules: list[Rule], record: Record, zone: tzinfo) -> bool:
    if record.type in NEVER_SHARED:
        return False
    permitted = False
    for rule in rules:
        if not holds(rule.root, rule.type, record, zone):
            continue
        excepted = any(holds(each, each["type"], record, zone) for each in rule.exceptions)
        if rule.type == "deny" and not excepted:
            return False
        if rule.type == "deny" and excepted or rule.type == "permit" and not excepted:
            permitted = True
    return permitted


# Rule 4: does one provision match?


def asked(provision: Json, kind: str, question: Question) -> bool:
    """The ask-parts."""
    recipients = actors(provision, RECIPIENT)
    askers = {question.facility, question.practitioner, question.role} - {None}
    if recipients and not recipients & askers:
        if EXCHANGE not in recipients or question.facility is None:
            return False
    purposes = {coding["code"] for coding in provision.get("purpose", [])}
    if purposes and question.purpose not in purposes:
        return False
    actions = {coding["code"] for coding in codings(provision.get("action", []))}
    if kind == "permit" and actions and "access" not in actions:
        return False
    if kind == "deny" and actions == {"correct"}:
        return False
    begin, end = span(provision.get("period", {}), question.zone)
    now = moment(question.now)
    return (begin is None or begin <= now) and (end is None or now < end)


def holds(provision: Json, kind: str, record: Record, zone: tzinfo) -> bool:
    """The record-parts."""
    holders = actors(provision, HOLDER)
    if holders and record.custodian not in holders:
        return False
    held = record.kinds if kind == "permit" else record.mentions
    classes = {f"{each['system']}|{each['code']}" for each in provision.get("class", [])}
    if classes and not classes & held:
        return False
    concepts = provision.get("code", [])
    codes = {f"{each['system']}|{each['code']}" for each in codings(concepts)}
    if codes and not codes & held:
        return False
    return (
        dated(provision, kind, record, zone)
        and labelled(provision, kind, record)
        and related(provision, kind, record)
    )


def dated(provision: Json, kind: str, record: Record, zone: tzinfo) -> bool:
    if "dataPeriod" not in provision:
        return True
    held = record.when if kind == "permit" else record.span
    if held is None:
        return kind == "deny"
    begin, end = span(provision["dataPeriod"], zone)
    first, last = held[0] * 1000, held[1] * 1000
    if kind == "permit":
        return (begin is None or begin <= first) and (end is None or last <= end)
    return (begin is None or begin < last) and (end is None or first < end)


def labelled(provision: Json, kind: str, record: Record) -> bool:
    labels = provision.get("securityLabel", [])
    ranks = [RANK[label["code"]] for label in labels if label["system"] == CONFIDENTIALITY]
    named = {label["code"] for label in labels if label["system"] == ACT_CODE}
    if not labels:
        return True
    if kind == "permit":
        covered = bool(record.labels) and record.labels <= named
        return covered or bool(ranks) and record.rank <= max(ranks)
    return bool(record.labels & named) or bool(ranks) and record.rank >= min(ranks)


def related(provision: Json, kind: str, record: Record) -> bool:
    authors = record.authors if kind == "permit" else record.any_authors
    for item in provision.get("data", []):
        target, meaning = item["reference"]["reference"], item["meaning"]
        if meaning == "authoredby" and target in authors:
            return True
        if meaning != "authoredby" and target == record.reference:
            return True
        if meaning in ("related", "dependents") and target in record.refs:
            return True
    return "data" not in provision


def has_record_parts(provision: Json) -> bool:
    parts = ("class", "code", "dataPeriod", "securityLabel", "data")
    return bool(actors(provision, HOLDER)) or any(part in provision for part in parts)
