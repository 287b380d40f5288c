"""How the oracle reads a Consent's JSON, and when it can't be understood.

From the rule's text alone, like consent_rules. https://hl7.org/fhir/R4/consent.html
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from fractions import Fraction
from typing import Any, Iterable, Iterator, Literal

Json = dict[str, Any]
# Microseconds since 1970; a Fraction where a value is finer than that.
Moment = int | Fraction

HL7 = "http://terminology.hl7.org/CodeSystem/"
ACT_CODE, ACT_REASON = HL7 + "v3-ActCode", HL7 + "v3-ActReason"
CONFIDENTIALITY, PARTICIPATION = HL7 + "v3-Confidentiality", HL7 + "v3-ParticipationType"
ACTION, SCOPE = HL7 + "consentaction", HL7 + "consentscope"
CLASSES = (
    "http://hl7.org/fhir/resource-types",
    "urn:ietf:rfc:3986",
    "https://nrces.in/ndhm/fhir/r4/CodeSystem/hi-type",
    "http://loinc.org",
    "http://snomed.info/sct",
)
ACTIONS = {"collect", "access", "use", "disclose", "correct"}
RANK = {"U": 0, "L": 1, "M": 2, "N": 3, "R": 4, "V": 5}
MEANINGS = {"instance", "related", "dependents", "authoredby"}
RECIPIENT, HOLDER = {"IRCP", "PRCP"}, {"CST"}
RECIPIENT_TYPES = {"Organization", "Practitioner", "PractitionerRole"}
HOLDER_TYPES = {"Organization", "Patient"}
MOST_PROVISIONS = 200
LITERAL = re.compile(r"([A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}")
DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")
INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000


def codings(concepts: Iterable[Json]) -> Iterator[Json]:
    for concept in concepts:
        yield from concept.get("coding", [])


def actors(provision: Json, roles: set[str]) -> set[str]:
    return {
        actor["reference"]["reference"]
        for actor in provision.get("actor", [])
        if {coding["code"] for coding in codings([actor["role"]])} & roles
    }


def root_type(consent: Json) -> Literal["permit", "deny"] | None:
    """None where the consent contradicts itself or says neither (rule 3)."""
    policies = {
        coding.get("code")
        for coding in codings([consent.get("policyRule", {})])
        if coding.get("system") == ACT_CODE
    }
    permit, deny = "OPTIN" in policies, "OPTOUT" in policies
    stated = consent.get("provision", {}).get("type")
    if stated == "permit" and not deny or stated is None and permit and not deny:
        return "permit"
    if stated == "deny" and not permit or stated is None and deny and not permit:
        return "deny"
    return None


def moment(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


def span(period: Json, zone: tzinfo) -> tuple[Moment | None, Moment | None]:
    """Half-open; None where the period is open."""
    begin = extent(period["start"], zone)[0] if "start" in period else None
    end = extent(period["end"], zone)[1] if "end" in period else None
    return begin, end


def extent(value: str, zone: tzinfo) -> tuple[Moment, Moment]:
    """From the first moment of a FHIR dateTime to the first one after it; ValueError if unreadable.

    https://hl7.org/fhir/R4/datatypes.html#dateTime
    """
    if found := INSTANT.fullmatch(value):
        digits = found[2] or ""
        second = moment(datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00")))
        begin = second + Fraction(int(digits or 0) * SECOND, 10 ** len(digits))
        return begin, begin + Fraction(SECOND, 10 ** len(digits))
    found = DATE.fullmatch(value)
    if found is None:
        raise ValueError(value)
    year, month, day = int(found[1]), int(found[2] or 1), int(found[3] or 1)
    first = date(year, month, day)
    if found[3]:
        last = first
    elif found[2]:
        last = date(year, month, monthrange(year, month)[1])
    else:
        last = date(year, 12, 31)
    return midnight(first, zone), after(last, zone)


def midnight(day: date, zone: tzinfo) -> int:
    return moment(datetime.combine(day, time(), zone))


def after(day: date, zone: tzinfo) -> int:
    if day == date.max:
        return midnight(day, zone) + 24 * 3600 * SECOND
    return midnight(day + timedelta(days=1), zone)


# What can't be understood


def faults(consent: Json, zone: tzinfo) -> list[str]:
    """The elements that can't be understood; none if the whole consent can."""
    found = [key for key in ("modifierExtension", "implicitRules") if mentions(consent, key)]
    scopes = list(codings([consent.get("scope", {})]))
    patient_privacy = {"system": SCOPE, "code": "patient-privacy"}
    if not scopes or any(pair(scope) != pair(patient_privacy) for scope in scopes):
        found.append("scope")
    if "provision" not in consent:
        return found
    root, kind = consent["provision"], root_type(consent)
    if kind is None:
        found.append("provision.type")
    nested = root.get("provision", [])
    if 1 + len(nested) > MOST_PROVISIONS:
        found.append("provision.provision")
    found += provision_faults(root, kind, [root], "provision", zone)
    for each in nested:
        if {each.get("type"), kind} != {"permit", "deny"}:
            found.append("provision.provision.type")
        if "provision" in each:
            found.append("provision.provision.provision")
        together = [root, each]
        found += provision_faults(each, each.get("type"), together, "provision.provision", zone)
    return found


def mentions(value: Any, key: str) -> bool:
    if isinstance(value, list):
        return any(mentions(each, key) for each in value)
    if isinstance(value, dict):
        return key in value or any(mentions(each, key) for each in value.values())
    return False


def pair(coding: Json) -> tuple[Any, Any]:
    return coding.get("system"), coding.get("code")


def provision_faults(
    provision: Json, kind: str | None, together: list[Json], path: str, zone: tzinfo
) -> list[str]:
    found = []
    if any(not actor_understood(actor) for actor in provision.get("actor", [])):
        found.append(f"{path}.actor")
    elif kind == "permit" and not any(names_recipient(each) for each in together):
        found.append(f"{path}.actor")
    if kind == "permit" and not any(each.get("purpose") for each in together):
        found.append(f"{path}.purpose")
    for period in ("period", "dataPeriod"):
        if period in provision and not period_understood(provision[period], zone):
            found.append(f"{path}.{period}")
    found += [f"{path}.{part}" for part in misread_codes(provision)]
    if any(not data_understood(item) for item in provision.get("data", [])):
        found.append(f"{path}.data")
    return found


def names_recipient(provision: Json) -> bool:
    return any(
        pair(coding)[1] in RECIPIENT
        for actor in provision.get("actor", [])
        for coding in codings([actor.get("role", {})])
    )


def actor_understood(actor: Json) -> bool:
    roles = list(codings([actor.get("role", {})]))
    codes = {role.get("code") for role in roles}
    if not roles or any(role.get("system") != PARTICIPATION for role in roles):
        return False
    target = LITERAL.fullmatch(actor.get("reference", {}).get("reference", ""))
    if target is None:
        return False
    if codes <= RECIPIENT:
        return target[1] in RECIPIENT_TYPES
    return codes == HOLDER and target[1] in HOLDER_TYPES


def period_understood(period: Json, zone: tzinfo) -> bool:
    if not ("start" in period or "end" in period):
        return False
    try:
        begin, end = span(period, zone)
    except ValueError:
        return False
    return begin is None or end is None or begin < end


def misread_codes(provision: Json) -> Iterator[str]:
    """The parts with a code that is missing, unknown or of another system than allowed."""
    for concept in provision.get("action", []):
        actions = concept.get("coding", [])
        if not actions or any(
            pair(each)[0] != ACTION or pair(each)[1] not in ACTIONS for each in actions
        ):
            yield "action"
    for concept in provision.get("code", []):
        if not concept.get("coding") or any(None in pair(each) for each in concept["coding"]):
            yield "code"
    systems = {"purpose": (ACT_REASON,), "class": CLASSES}
    for part, allowed in systems.items():
        for coding in provision.get(part, []):
            if coding.get("system") not in allowed or not coding.get("code"):
                yield part
    for label in provision.get("securityLabel", []):
        system, code = pair(label)
        if not (system == ACT_CODE and code or system == CONFIDENTIALITY and code in RANK):
            yield "securityLabel"


def data_understood(item: Json) -> bool:
    literal = LITERAL.fullmatch(item.get("reference", {}).get("reference", ""))
    return item.get("meaning") in MEANINGS and literal is not None
