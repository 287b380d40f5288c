"""Random consents, records and askers, drawn from pools so small that their parts really meet.

Everything follows from a `random.Random`: the same seed makes the same cases.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from random import Random
from typing import Any, Callable, Iterator
from zoneinfo import ZoneInfo

from tests.authz.consent_defects import DEFECTS, actor, coding
from tests.authz.consent_json import (
    ACT_CODE,
    ACT_REASON,
    ACTION,
    CLASSES,
    CONFIDENTIALITY,
    SCOPE,
    Json,
)
from tests.authz.consent_rules import Question, Record

TYPES, URI, HI_TYPE, LOINC, SNOMED = CLASSES
PERSON, LOCAL = "Patient/me", "Patient/me-at-a"
PERSONS = (PERSON, LOCAL)
FACILITIES = ("Organization/a", "Organization/b", "Organization/c")
CUSTODIANS = (PERSON, *FACILITIES)
PRACTITIONERS = ("Practitioner/p", "Practitioner/q")
ROLES = ("PractitionerRole/p-at-a", "PractitionerRole/q-at-b")
RECIPIENTS = (*FACILITIES, *PRACTITIONERS, *ROLES, "Organization/exchange", "Organization/exchange")
PURPOSES = ("TREAT", "HPAYMT", "BTG")
ZONES = (ZoneInfo("Asia/Kolkata"), UTC, ZoneInfo("America/New_York"))
RECORD_TYPES = ("Observation", "Condition", "DocumentReference")
CODES = (
    coding(LOINC, "718-7"),
    coding(SNOMED, "271649006"),
    coding("https://lab.example/codes", "hb"),
)
KINDS = (
    coding(TYPES, "Observation"),
    coding(TYPES, "Condition"),
    coding(URI, "https://profiles.example/StructureDefinition/report"),
    coding(HI_TYPE, "OPConsultation"),
    *CODES[:2],
)
SENSITIVE = ("HIV", "ETH", "PSY")
INSTANTS = ("2024-03-10T10:00:00Z", "2024-03-10T10:00:00.5Z", "2024-03-10T15:30:00+05:30",
            "2024-03-10T05:00:00.25-05:00", "2024-03-11T00:00:00+05:30")  # fmt: skip
EARLY = ("2023", "2024", "2024-02", "2024-03", "2024-03-10", "2024-03-11", *INSTANTS[:2])
LATE = ("2023", "2024", "2024-02", "2024-03", "2024-03-09", "2024-03-10", "9999-12-31", *INSTANTS)
# Where those begin or end; on 10 March the clocks of New York change.
DAYS = ((2024, 1, 1), (2024, 3, 1), (2024, 3, 10), (2024, 3, 11), (2024, 4, 1))
TEN = datetime(2024, 3, 10, 10, tzinfo=UTC)
STEPS = (0, 0, 0, 0, 0, -1, 1, 250, 350, 500, 600, 1000, 3_600_000)
TARGETS = ("Observation/0", "Condition/1", "DocumentReference/2", "Encounter/1")
MEANINGS = ("instance", "related", "dependents", "authoredby")


@dataclass(frozen=True)
class Case:
    consents: list[Json]
    question: Question

    def __str__(self) -> str:
        return f"{self.question}\n{json.dumps(self.consents, indent=1)}"


def cases(seed: int, count: int) -> Iterator[Case]:
    random = Random(seed)
    for _ in range(count):
        yield case(random)


def case(random: Random) -> Case:
    zone = random.choice(ZONES)
    question = Question(
        facility=random.choice((*FACILITIES, None)),
        practitioner=random.choice((*PRACTITIONERS, None)),
        role=random.choice((*ROLES, None)),
        purpose=random.choices(PURPOSES, (60, 37, 3))[0],
        now=edge(random, zone),
        zone=zone,
        person=PERSON,
    )
    count = random.choice((1, 1, 2, 2, 3, 4, 6))
    return Case([consent(random, f"c{number}") for number in range(count)], question)


def edge(random: Random, zone: tzinfo) -> datetime:
    """At, just before or just after the end of something."""
    midnights = [datetime(*day, tzinfo=zone).astimezone(UTC) for day in DAYS]
    return random.choice((*midnights, TEN, TEN)) + timedelta(milliseconds=random.choice(STEPS))


# Records

# What is carried reaches as much further than the record's own date: nothing, a day, a year.
WIDER = (0, 0, 86_400_000, 31_536_000_000)


def records(seed: int, count: int) -> list[Record]:
    random = Random(seed)
    made = [record(random, number) for number in range(count)]
    special = zip(("Consent", "AuditEvent", "RelatedPerson", "Patient"), made)
    return made + [
        replace(each, reference=f"{kind}/x", type=kind, custodian=FACILITIES[0])
        for kind, each in special
    ]


def record(random: Random, number: int) -> Record:
    kind = RECORD_TYPES[number % len(RECORD_TYPES)]
    codings = [coding(TYPES, kind), *some(random, (*KINDS[2:4], *CODES), 0, 3)]
    zone = random.choice(ZONES)
    first, last = sorted((edge(random, zone), edge(random, zone)))
    when = (milliseconds(first), milliseconds(last)) if first < last else None
    more = [coding(TYPES, random.choice(RECORD_TYPES)), *some(random, CODES, 0, 2)]
    authors = some(random, (*PRACTITIONERS, *FACILITIES), 0, 2)
    others = some(random, (*PRACTITIONERS, *FACILITIES), 0, 1)
    return Record(
        reference=f"{kind}/{number}",
        type=kind,
        custodian=random.choice(CUSTODIANS),
        rank=random.randrange(6),
        labels=frozenset(some(random, SENSITIVE, 0, 2)),
        kinds=kinds_of(codings),
        when=when if random.random() < 0.9 else None,
        refs=frozenset(some(random, (*TARGETS, PERSON), 0, 2)),
        authors=frozenset(authors),
        mentions=kinds_of([*codings, *more]),
        span=when and (when[0] - random.choice(WIDER), when[1] + random.choice(WIDER)),
        any_authors=frozenset([*authors, *others]),
    )


def kinds_of(codings: list[Json]) -> frozenset[str]:
    return frozenset(f"{each['system']}|{each['code']}" for each in codings)


def milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


# Consents


def consent(random: Random, identity: str) -> Json:
    """Now and then one that is inactive, says nothing or can't be understood."""
    made = rule(random, identity, random.choices(("permit", "deny"), (75, 25))[0])
    if random.random() < 0.05:
        made["status"] = "inactive"
    if random.random() < 0.03:
        del made["provision"]
    if random.random() < 0.03:
        # A copy: parts are shared with the pools.
        return random.choice(DEFECTS).spoil(copy.deepcopy(made))
    return made


def rule(random: Random, identity: str, kind: str) -> Json:
    made: Json = {
        "resourceType": "Consent",
        "id": identity,
        "meta": {"versionId": "1"},
        "status": "active",
        "scope": {"coding": [coding(SCOPE, "patient-privacy")]},
        "patient": {"reference": PERSON},
        "provision": root(random, kind),
    }
    state_type(random, made, kind)
    return made


def state_type(random: Random, made: Json, kind: str) -> None:
    """By provision.type, by policyRule, or by both."""
    how = random.randrange(3)
    if how < 2:
        policy = "OPTIN" if kind == "permit" else "OPTOUT"
        made["policyRule"] = {"coding": [coding(ACT_CODE, policy)]}
    if how > 0:
        made["provision"]["type"] = kind


def root(random: Random, kind: str) -> Json:
    # A deny that says little vetoes nearly everything: let most of them say more.
    made = parts(random, 0.25 if kind == "permit" else 0.4)
    if kind == "permit":
        made.setdefault("actor", []).append(recipient(random))
        made.setdefault("purpose", purposes(random))
    if random.random() < 0.4:
        nested = [exception(random, kind, made) for _ in range(random.choice((1, 1, 2)))]
        made["provision"] = nested
    return made


def exception(random: Random, kind: str, parent: Json) -> Json:
    made = {"type": "deny" if kind == "permit" else "permit", **parts(random, 0.25)}
    if kind == "deny":
        if not any(is_recipient(actor) for actor in parent.get("actor", [])):
            made.setdefault("actor", []).append(recipient(random))
        if "purpose" not in parent:
            made.setdefault("purpose", purposes(random))
    return made


def parts(random: Random, often: float) -> Json:
    """Each part of a provision, as often as told."""
    makers: dict[str, Callable[[Random], Any]] = {
        "actor": actors,
        "purpose": purposes,
        "period": period,
        "action": actions,
        "class": lambda r: some(r, KINDS, 1, 3),
        "code": lambda r: [{"coding": some(r, CODES, 1, 2)} for _ in range(r.choice((1, 2)))],
        "dataPeriod": period,
        "securityLabel": security_labels,
        "data": data,
    }
    return {part: make(random) for part, make in makers.items() if random.random() < often}


def actors(random: Random) -> list[Json]:
    holders = [actor("CST", each) for each in some(random, CUSTODIANS, 0, 3)]
    return holders + [recipient(random) for _ in range(random.choice((0, 1, 2)))] or [
        recipient(random)
    ]


def recipient(random: Random) -> Json:
    return actor(random.choice(("IRCP", "PRCP")), random.choice(RECIPIENTS))


def is_recipient(actor: Json) -> bool:
    return actor["role"]["coding"][0]["code"] != "CST"


def purposes(random: Random) -> list[Json]:
    return [coding(ACT_REASON, code) for code in some(random, PURPOSES, 1, 3)]


def actions(random: Random) -> list[Json]:
    codes = some(random, ("access", "access", "correct", "use"), 1, 2)
    return [{"coding": [coding(ACTION, code)]} for code in codes]


def period(random: Random) -> Json:
    """Around the instants that cases ask at; seldom one that ends before it begins."""
    ends = random.choice((("start",), ("end",), ("start", "end")))
    values = {"start": random.choice(EARLY), "end": random.choice(LATE)}
    if len(ends) == 2 and values["end"] < values["start"]:
        values["end"] = "2024-04"
    return {end: values[end] for end in ends}


def security_labels(random: Random) -> list[Json]:
    ranks = [coding(CONFIDENTIALITY, code) for code in some(random, "ULMNRV", 0, 2)]
    labels = [coding(ACT_CODE, code) for code in some(random, SENSITIVE, 0, 2)]
    return ranks + labels or [coding(CONFIDENTIALITY, "N")]


def data(random: Random) -> list[Json]:
    targets = (*TARGETS, *PRACTITIONERS, *FACILITIES)
    return [
        {"meaning": random.choice(MEANINGS), "reference": {"reference": target}}
        for target in some(random, targets, 1, 4)
    ]


def some(random: Random, pool: Any, least: int, most: int) -> list[Any]:
    return random.sample(list(pool), random.randint(least, most))
