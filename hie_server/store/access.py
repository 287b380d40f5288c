"""Access: what one request may see, as a value that compiles into the query.

It is a filter, not a yes or no: totals, pages, order and history are right by construction.
An Access that permits nothing compiles to a filter that matches nothing.
`Rule`, `Limits` and their `covers` say the same thing of one record's facts that
`Access.branches` says to MongoDB; tests hold the two against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from hie_server.fhir.facts import Facts

EXCHANGE = "exchange"
EXCHANGE_ORGANIZATION = "Organization/exchange"
DIRECTORY = (
    "Organization",
    "Location",
    "HealthcareService",
    "Endpoint",
    "Practitioner",
    "PractitionerRole",
    "StructureDefinition",
    "ValueSet",
    "CodeSystem",
    "SearchParameter",
    "CapabilityStatement",
)
IDENTITY = ("Patient", "RelatedPerson", "Person")
# Consents and journal entries follow rules of their own; no provision shares them.
UNSHARED = ("Consent", "AuditEvent")
NOTHING: dict[str, Any] = {"_id": {"$in": []}}

Filter = dict[str, Any]
Hash = Callable[..., bytes]


@dataclass(frozen=True)
class Rule:
    """The record-parts of one provision that concerns the asker. None means any.

    `when`: half-open milliseconds · `rank`: highest (permit) or lowest (deny) confidentiality
    covered, `labels`: sensitivity codes; either alternative suffices · `instances`, `related`,
    `authors`: the alternatives of `data` · `exceptions`: rules of the opposite kind that take
    away · `within`: the rule it is an exception of, which must match, too.
    """

    permit: bool
    holders: frozenset[str] | None = None
    classes: frozenset[str] | None = None
    codes: frozenset[str] | None = None
    when: tuple[int, int] | None = None
    labelled: bool = False
    rank: int | None = None
    labels: frozenset[str] = frozenset()
    data: bool = False
    instances: frozenset[str] = frozenset()
    related: frozenset[str] = frozenset()
    authors: frozenset[str] = frozenset()
    exceptions: tuple[Rule, ...] = ()
    within: Rule | None = None

    def covers(self, facts: Facts) -> bool:
        return (
            facts.type not in UNSHARED
            and (self.holders is None or facts.custodian in self.holders)
            and self._covers_kinds(facts.kinds if self.permit else facts.mentions)
            and self._covers_when(facts.when if self.permit else facts.span)
            and self._covers_label(facts)
            and self._covers_data(facts)
            and (self.within is None or self.within.covers(facts))
            and not any(exception.covers(facts) for exception in self.exceptions)
        )

    def _covers_kinds(self, kinds: frozenset[str]) -> bool:
        return (self.classes is None or bool(self.classes & kinds)) and (
            self.codes is None or bool(self.codes & kinds)
        )

    def _covers_when(self, when: tuple[int, int] | None) -> bool:
        if self.when is None:
            return True
        if when is None:
            return not self.permit
        if self.permit:
            return self.when[0] <= when[0] and when[1] <= self.when[1]
        return when[0] < self.when[1] and self.when[0] < when[1]

    def _covers_label(self, facts: Facts) -> bool:
        if not self.labelled:
            return True
        if self.permit:
            by_rank = self.rank is not None and facts.rank <= self.rank
            return by_rank or bool(facts.labels) and facts.labels <= self.labels
        by_rank = self.rank is not None and facts.rank >= self.rank
        return by_rank or bool(facts.labels & self.labels)

    def _covers_data(self, facts: Facts) -> bool:
        if not self.data:
            return True
        return (
            facts.reference in self.instances | self.related
            or bool(facts.refs & self.related)
            or bool((facts.authors if self.permit else facts.any_authors) & self.authors)
        )

    def size(self) -> int:
        """How many values it and its exceptions bring into a query."""
        parts = (self.holders, self.classes, self.codes, self.labels)
        data = (self.instances, self.related, self.authors)
        own = 1 + sum(len(part) for part in (*parts, *data) if part)
        within = self.within.size() if self.within is not None else 0
        return own + within + sum(each.size() for each in self.exceptions)

    def unlimited(self) -> bool:
        """Whether it covers every record that can be shared at all."""
        parts = (self.holders, self.classes, self.codes, self.when, self.within)
        limited = any(part is not None for part in parts) or self.labelled or self.data
        return not limited and not self.exceptions


@dataclass(frozen=True)
class Limits:
    """What consents leave visible: some permit covers it and no veto does."""

    permits: tuple[Rule, ...]
    vetoes: tuple[Rule, ...] = ()

    def admits(self, facts: Facts) -> bool:
        return any(rule.covers(facts) for rule in self.permits) and not any(
            rule.covers(facts) for rule in self.vetoes
        )


@dataclass(frozen=True)
class Share:
    """One person's record, as far as the caller may see it.

    `patients`: the person's Patients · `custodians`: who holds records of the life record ·
    `limits`: None for the person's own view · `identity`: whether their own Patient shows ·
    `consents`: the versions of the consents relied on, for the journal.
    """

    person: str
    patients: frozenset[str]
    custodians: frozenset[str]
    limits: Limits | None
    identity: bool
    consents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Access:
    """What may be seen. Everything absent is not permitted.

    `custodian`: sees all that it answers for · `directory`: the registries' entries ·
    `shares`: persons' records · `grantee`: Consents that name this facility alone ·
    `instances`: single records about nobody, reached through a visible one that refers to them.
    """

    custodian: str | None = None
    directory: bool = False
    shares: tuple[Share, ...] = ()
    grantee: str | None = None
    instances: frozenset[str] = frozenset()

    def branches(self, kind: str, term: Hash, key: str = "_id") -> list[Filter]:
        """The alternatives under which a row of this resource type is visible; none: nothing is.

        `term` is the seal's keyed hash, `key` the field that holds "Type/id".
        """
        found: list[Filter] = []
        if self.custodian is not None:
            found.append({"custodian": self.custodian})
        if self.directory and kind in DIRECTORY:
            found.append({"custodian": EXCHANGE})
        if kind == "Consent" and self.grantee is not None:
            found.append({"index": term("Consent", "-grantee", "", self.grantee)})
        if self.instances:
            found.append({key: {"$in": sorted(self.instances)}, "patient": None})
        for share in self.shares:
            found.extend(_shared(share, kind, term, key))
        return found


def _shared(share: Share, kind: str, term: Hash, key: str) -> list[Filter]:
    patients: Filter = {"patient": {"$in": sorted(share.patients)}}
    alone: Filter = {"others": {"$not": {"$elemMatch": {"$nin": sorted(share.patients)}}}}
    held: Filter = {"custodian": {"$in": sorted(share.custodians)}}
    if share.limits is None:
        if kind == "Consent":
            return [{**patients, **alone}]
        return [{**patients, **held, **alone}]
    branches: list[Filter] = []
    if share.identity and kind in IDENTITY:
        own = {key: share.person} if kind == "Patient" else {}
        branches.append({**patients, "custodian": share.person, **alone, **own})
    if share.limits.permits and kind not in UNSHARED:
        conditions = [_any(_rule(rule, term, key) for rule in share.limits.permits)]
        if kind == "Patient":
            conditions.append({key: {"$ne": share.person}})
        vetoes = [_rule(rule, term, key) for rule in share.limits.vetoes]
        if vetoes:
            conditions.append({"$nor": vetoes})
        branches.append({**patients, **held, **alone, "$and": conditions})
    return branches


def _rule(rule: Rule, term: Hash, key: str) -> Filter:
    """The conditions under which a row is covered, the mirror of `Rule.covers`."""
    conditions: list[Filter] = []
    if rule.holders is not None:
        conditions.append({"custodian": {"$in": sorted(rule.holders)}})
    held = "kinds" if rule.permit else "mentions"
    for kinds in (rule.classes, rule.codes):
        if kinds is not None:
            conditions.append({held: {"$in": [term("kind", each) for each in sorted(kinds)]}})
    if rule.when is not None:
        conditions.append(_when(rule.permit, *rule.when))
    if rule.labelled:
        conditions.append(_labels(rule, term))
    if rule.data:
        conditions.append(_data(rule, term, key))
    if rule.within is not None:
        conditions.append(_rule(rule.within, term, key))
    if rule.exceptions:
        conditions.append({"$nor": [_rule(each, term, key) for each in rule.exceptions]})
    return {"$and": conditions} if conditions else {}


def _when(permit: bool, lo: int, hi: int) -> Filter:
    if permit:
        return {"when.lo": {"$gte": lo}, "when.hi": {"$lte": hi}}
    return {"$or": [{"span": None}, {"span.lo": {"$lt": hi}, "span.hi": {"$gt": lo}}]}


def _labels(rule: Rule, term: Hash) -> Filter:
    named = [term("label", each) for each in sorted(rule.labels)]
    alternatives: list[Filter] = []
    if rule.rank is not None:
        alternatives.append({"rank": {"$lte" if rule.permit else "$gte": rule.rank}})
    if rule.permit:
        only = {"labels": {"$not": {"$elemMatch": {"$nin": named}}}}
        alternatives.append({"$and": [{"labels": {"$ne": []}}, only]})
    else:
        alternatives.append({"labels": {"$in": named}})
    return _any(alternatives)


def _data(rule: Rule, term: Hash, key: str) -> Filter:
    itself = sorted(rule.instances | rule.related)
    linked = [term("*", "-ref", "", each) for each in sorted(rule.related)]
    author = "-author" if rule.permit else "-any-author"
    authored = [term("*", author, "", each) for each in sorted(rule.authors)]
    return _any([{key: {"$in": itself}}, {"index": {"$in": linked + authored}}])


def _any(alternatives: Any) -> Filter:
    return {"$or": list(alternatives)}
