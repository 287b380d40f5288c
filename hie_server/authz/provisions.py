"""Consent.provision read into rules, or refused with every fault in it.

What is refused here denies when it is met in the store: nothing is guessed.
https://hl7.org/fhir/R4/consent-definitions.html#Consent.provision
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Iterable, Iterator, Mapping

from hie_server.fhir.dates import FOREVER, NEVER, bounds
from hie_server.fhir.facts import (
    CONFIDENTIALITY,
    HI_TYPE,
    RANKS,
    RESOURCE_TYPES,
    SENSITIVITY,
    URI,
)
from hie_server.fhir.outcomes import Issue, unprocessable
from hie_server.fhir.primitives import CHECKS
from hie_server.fhir.resources import read_reference
from hie_server.store.access import Rule

TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
SCOPE = TERMINOLOGY + "consentscope"
PURPOSE = TERMINOLOGY + "v3-ActReason"
ACTION = TERMINOLOGY + "consentaction"
ROLE = TERMINOLOGY + "v3-ParticipationType"
POLICY = {"OPTIN": "permit", "OPTOUT": "deny"}
RECIPIENT, HOLDER = ("IRCP", "PRCP"), ("CST",)
RECIPIENT_TYPES = ("Organization", "Practitioner", "PractitionerRole")
HOLDER_TYPES = ("Organization", "Patient")
ACTIONS = ("collect", "access", "use", "disclose", "correct")
CLASSES = (RESOURCE_TYPES, URI, HI_TYPE, "http://loinc.org", "http://snomed.info/sct")
MEANINGS = ("instance", "related", "dependents", "authoredby")
MOST_PROVISIONS = 200
# Values of all parts together: beyond it a decision would cost too much.
MOST_VALUES = 1_000
PARTS = ("actor", "action", "securityLabel", "purpose", "class", "code", "data")
is_date_time = CHECKS["dateTime"]

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Provision:
    """`rule`: its record-parts; the rest, its ask-parts (None: any). `period`: milliseconds."""

    rule: Rule
    recipients: frozenset[str] | None
    purposes: frozenset[str] | None
    period: tuple[int, int] | None
    actions: frozenset[str] | None
    nested: tuple[Provision, ...] = ()


@dataclass(frozen=True)
class Grant:
    """A Consent as rules. `root` is None where it has no provision, and so is no rule."""

    reference: str
    version: str
    root: Provision | None

    def grantee(self) -> str | None:
        """The facility that a permit names alone, without exceptions: it may read the grant."""
        if self.root is None or not self.root.rule.permit or self.root.nested:
            return None
        recipients = self.root.recipients or frozenset()
        only = next(iter(recipients)) if len(recipients) == 1 else ""
        return only if only.startswith("Organization/") else None


class _Reader:
    """Collects the faults of one Consent while its parts are read."""

    def __init__(self, zone: tzinfo):
        self.zone = zone
        self.issues: list[Issue] = []

    def fault(self, path: str, diagnostics: str, code: str = "business-rule") -> None:
        self.issues.append(Issue(code, diagnostics, path))

    def root(self, consent: Json) -> Provision | None:
        path = "Consent.provision"
        provision = consent.get("provision")
        if not isinstance(provision, dict):
            return None
        if 1 + len(provision.get("provision", ())) > MOST_PROVISIONS:
            self.fault(path, f"More than {MOST_PROVISIONS} provisions.", "too-costly")
            return None
        if _values(provision) > MOST_VALUES:
            self.fault(path, f"More than {MOST_VALUES} values.", "too-costly")
            return None
        permit = self.root_type(consent, provision) == "permit"
        nested = tuple(
            self.nested(each, f"{path}.provision[{n}]", provision, permit)
            for n, each in enumerate(provision.get("provision", ()))
        )
        if permit:
            self.must_name(provision, {}, path)
        return self.provision(provision, path, permit, nested)

    def root_type(self, consent: Json, provision: Json) -> str:
        policies = {
            POLICY[coding.get("code")]
            for coding in consent.get("policyRule", {}).get("coding", ())
            if coding.get("system") == SENSITIVITY and coding.get("code") in POLICY
        }
        named = provision.get("type")
        kinds = policies | ({named} if named else set())
        if kinds not in ({"permit"}, {"deny"}):
            self.fault(
                "Consent.provision.type",
                "The type must be permit or deny, and agree with policyRule (OPTIN, OPTOUT).",
            )
            return "deny"
        return str(kinds.pop())

    def nested(self, provision: Json, path: str, parent: Json, parent_permits: bool) -> Provision:
        permit = provision.get("type") == "permit"
        expected = "deny" if parent_permits else "permit"
        if provision.get("type") != expected:
            self.fault(f"{path}.type", f"An exception to its parent must be of type {expected}.")
        if provision.get("provision"):
            self.fault(f"{path}.provision", "Provisions nest one level deep only.")
        if permit:
            self.must_name(provision, parent, path)
        return self.provision(provision, path, permit, ())

    def must_name(self, provision: Json, parent: Json, path: str) -> None:
        actors = [*provision.get("actor", ()), *parent.get("actor", ())]
        if not any(_role(actor) in RECIPIENT for actor in actors):
            self.fault(f"{path}.actor", "A permit must name its recipients (IRCP or PRCP).")
        if not provision.get("purpose") and not parent.get("purpose"):
            self.fault(f"{path}.purpose", "A permit must name its purpose (v3-ActReason).")

    def provision(
        self, provision: Json, path: str, permit: bool, nested: tuple[Provision, ...]
    ) -> Provision:
        recipients, holders = self.actors(provision.get("actor", ()), f"{path}.actor")
        purposes = self.codes(provision.get("purpose", ()), f"{path}.purpose", (PURPOSE,))
        classes = self.codes(provision.get("class", ()), f"{path}.class", CLASSES)
        actions = self.concepts(provision.get("action", ()), f"{path}.action", (ACTION,))
        for action in _codes(actions) - set(ACTIONS):
            self.fault(f"{path}.action", f"{action[:40]!r} is not one of {', '.join(ACTIONS)}.")
        rule = Rule(
            permit,
            holders=holders or None,
            classes=classes or None,
            codes=self.concepts(provision.get("code", ()), f"{path}.code", None) or None,
            when=self.period(provision.get("dataPeriod"), f"{path}.dataPeriod"),
            **self.labels(provision.get("securityLabel", ()), f"{path}.securityLabel", permit),
            **self.data(provision.get("data", ()), f"{path}.data"),
        )
        return Provision(
            rule,
            recipients or None,
            _codes(purposes) or None,
            self.period(provision.get("period"), f"{path}.period"),
            _codes(actions) or None,
            nested,
        )

    def actors(self, actors: Iterable[Json], path: str) -> tuple[frozenset[str], frozenset[str]]:
        recipients: set[str] = set()
        holders: set[str] = set()
        for n, actor in enumerate(actors):
            role = _role(actor)
            found = holders if role in HOLDER else recipients
            types = HOLDER_TYPES if role in HOLDER else RECIPIENT_TYPES
            if role not in RECIPIENT + HOLDER:
                self.fault(f"{path}[{n}].role", "The role must be IRCP, PRCP or CST.")
            else:
                at = f"{path}[{n}].reference"
                found.add(self.reference(actor.get("reference"), at, types))
        return frozenset(recipients), frozenset(holders)

    def reference(self, value: Any, path: str, types: tuple[str, ...] = ()) -> str:
        text = value.get("reference", "") if isinstance(value, dict) else ""
        found = read_reference(text) if isinstance(text, str) else None
        if found is None or not found.type or not found.id or types and found.type not in types:
            wanted = " or ".join(types) or "a resource"
            self.fault(path, f"It must be a literal reference, Type/id, to {wanted}.")
            return ""
        return f"{found.type}/{found.id}"

    def codes(
        self, codings: Iterable[Json], path: str, systems: tuple[str, ...] | None
    ) -> frozenset[str]:
        found = set()
        for n, coding in enumerate(codings):
            system, code = coding.get("system"), coding.get("code")
            if not system or not code or systems is not None and system not in systems:
                wanted = " or ".join(systems) if systems else "any"
                self.fault(f"{path}[{n}]", f"A coding needs a code and a system: {wanted}.")
            found.add(f"{system}|{code}")
        return frozenset(found)

    def concepts(
        self, concepts: Iterable[Json], path: str, systems: tuple[str, ...] | None
    ) -> frozenset[str]:
        found: set[str] = set()
        for n, concept in enumerate(concepts):
            if not concept.get("coding"):
                self.fault(f"{path}[{n}].coding", "A text alone can't be matched: give a coding.")
            found |= self.codes(concept.get("coding", ()), f"{path}[{n}].coding", systems)
        return frozenset(found)

    def labels(self, labels: Iterable[Json], path: str, permit: bool) -> dict[str, Any]:
        codes = self.codes(labels, path, (CONFIDENTIALITY, SENSITIVITY))
        split = [each.rpartition("|")[::2] for each in codes]
        ranks = [code for system, code in split if system == CONFIDENTIALITY]
        for code in set(ranks) - RANKS.keys():
            self.fault(path, f"{code[:40]!r} is no confidentiality of {', '.join(RANKS)}.")
        known = [RANKS[code] for code in ranks if code in RANKS]
        return {
            "labelled": bool(codes),
            "rank": (max(known) if permit else min(known)) if known else None,
            "labels": frozenset(code for system, code in split if system == SENSITIVITY),
        }

    def data(self, data: Iterable[Json], path: str) -> dict[str, Any]:
        found: dict[str, set[str]] = {meaning: set() for meaning in MEANINGS}
        for n, each in enumerate(data):
            if each.get("meaning") not in MEANINGS:
                self.fault(f"{path}[{n}].meaning", f"It must be one of {', '.join(MEANINGS)}.")
            else:
                reference = self.reference(each.get("reference"), f"{path}[{n}].reference")
                found[each["meaning"]].add(reference)
        return {
            "data": any(found.values()),
            "instances": frozenset(found["instance"]),
            "related": frozenset(found["related"] | found["dependents"]),
            "authors": frozenset(found["authoredby"]),
        }

    def period(self, period: Any, path: str) -> tuple[int, int] | None:
        if period is None:
            return None
        ends = [period[name] for name in ("start", "end") if name in period]
        if not ends or not all(is_date_time(each) for each in ends):
            self.fault(path, "It must have a start or an end, and they must be dates.", "value")
            return NEVER, NEVER
        lo = bounds(period["start"], self.zone)[0] if "start" in period else NEVER
        hi = bounds(period["end"], self.zone)[1] if "end" in period else FOREVER
        if hi <= lo:
            self.fault(path, "It ends before it begins.", "value")
        return lo, hi


def read_consent(consent: Json, zone: tzinfo) -> Grant:
    reader = _Reader(zone)
    scopes = consent.get("scope", {}).get("coding", ())
    if not any(c.get("system") == SCOPE and c.get("code") == "patient-privacy" for c in scopes):
        reader.fault("Consent.scope", f"The scope must be {SCOPE}|patient-privacy.")
    for path in _modifiers(consent, "Consent"):
        reader.fault(path, "Nothing that changes the meaning of the rest is understood here.")
    root = reader.root(consent)
    if reader.issues:
        raise unprocessable(reader.issues)
    reference = f"Consent/{consent.get('id', '')}"
    version = consent.get("meta", {}).get("versionId", "")
    return Grant(reference, f"{reference}/_history/{version}", root)


def _modifiers(node: Any, path: str) -> Iterator[str]:
    """Where the Consent says that it can't be read by its known elements alone."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name in ("modifierExtension", "implicitRules", "_implicitRules"):
                yield f"{path}.{name}"
            else:
                yield from _modifiers(value, f"{path}.{name}")
    elif isinstance(node, list):
        for n, each in enumerate(node):
            yield from _modifiers(each, f"{path}[{n}]")


def _values(provision: Json) -> int:
    """How many values the parts of a provision and its exceptions have."""
    own = sum(len(provision.get(part, ())) for part in PARTS)
    codings = sum(len(each.get("coding", ())) for each in provision.get("code", ()))
    return own + codings + sum(map(_values, provision.get("provision", ())))


def _role(actor: Json) -> str:
    codings = [c for c in actor.get("role", {}).get("coding", ()) if c.get("system") == ROLE]
    return str(codings[0].get("code", "")) if len(codings) == 1 else ""


def _codes(values: frozenset[str]) -> frozenset[str]:
    return frozenset(value.rpartition("|")[2] for value in values)
