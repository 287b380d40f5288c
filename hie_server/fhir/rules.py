"""The invariants of everyday types, written out.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
Hundreds of them are met in one bundle, and evaluating FHIRPath costs a hundred times as much.
A test holds each against its own FHIRPath expression.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping

from hie_server.fhir.dates import bounds

Json = dict[str, Any]
Rule = Callable[[Any, Json], bool]
UCUM = "http://unitsofmeasure.org"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"


def has(node: Json, name: str) -> bool:
    """FHIRPath's exists(): a value, or only an extension in its place. `value*`: any value[x]."""
    if name in node or "_" + name in node:
        return True
    stem = name[:-1]
    return name[-1] == "*" and any(key.lstrip("_").startswith(stem) for key in node)


def _any(*names: str) -> Rule:
    return lambda node, _: any(has(node, name) for name in names)


def _one(first: str, second: str) -> Rule:
    return lambda node, _: has(node, first) != has(node, second)


def _not_both(first: str, second: str) -> Rule:
    return lambda node, _: not (has(node, first) and has(node, second))


def _needs(first: str, second: str) -> Rule:
    return lambda node, _: not has(node, first) or has(node, second)


def _none(*names: str) -> Rule:
    return lambda node, _: not any(has(node, name) for name in names)


def _either(first: Rule, second: Rule) -> Rule:
    return lambda node, resource: first(node, resource) or second(node, resource)


def _coded(node: Json, name: str, system: str, *codes: str) -> bool:
    """Whether the CodeableConcept `name` has one of `codes`."""
    codings = node.get(name, {}).get("coding", ())
    return any(each.get("system") == system and each.get("code") in codes for each in codings)


def _has_code(name: str, system: str, *codes: str) -> Rule:
    return lambda node, _: _coded(node, name, f"{TERMINOLOGY}/{system}", *codes)


def _observation_code(node: Json, _: Json) -> bool:
    """obs-7: no component repeats the observation's own code where that has a value."""
    if not has(node, "value*"):
        return True
    own = _codings(node)
    return all(own.isdisjoint(_codings(each)) for each in node.get("component", ()))


def _codings(node: Json) -> set[tuple[tuple[str, str], ...]]:
    codings = node.get("code", {}).get("coding", ())
    return {tuple(sorted((key, repr(each[key])) for key in each)) for each in codings}


def _quantity(node: Json, _: Json) -> bool:
    """A value has a code, the code is UCUM's."""
    return _needs("value", "code")(node, _) and (not has(node, "system") or _is_ucum(node))


def _is_ucum(node: Json) -> bool:
    return bool(node.get("system") == UCUM)


def _age(node: Json, _: Json) -> bool:
    return _quantity(node, _) and ("value" not in node or node["value"] > 0)


def _count(node: Json, _: Json) -> bool:
    unit = not has(node, "code") or node.get("code") == "1"
    return _quantity(node, _) and unit and "." not in str(node.get("value", 0))


def _duration(node: Json, _: Json) -> bool:
    return not has(node, "code") or (_is_ucum(node) and has(node, "value"))


def _period(node: Json, _: Json) -> bool:
    start, end = node.get("start"), node.get("end")
    return start is None or end is None or not _is_later(start, end)


def _is_later(first: str, second: str) -> bool:
    """As moments where both have a time, else as far as both are precise."""
    if "T" in first and "T" in second:
        return bounds(first)[0] > bounds(second)[0]
    shared = min(len(first), len(second), len("YYYY-MM-DD"))
    return first[:shared] > second[:shared]


def _ordered(earlier: str, later: str) -> Rule:
    def holds(node: Json, _: Json) -> bool:
        first, second = node.get(earlier), node.get(later)
        return first is None or second is None or not _is_later(first, second)

    return holds


def _range(node: Json, _: Json) -> bool:
    """Quantities of different units aren't compared."""
    low, high = node.get("low", {}), node.get("high", {})
    if any(low.get(key) != high.get(key) for key in ("system", "code", "unit")):
        return True
    return "value" not in low or "value" not in high or bool(low["value"] <= high["value"])


def _ratio(node: Json, _: Json) -> bool:
    """Both parts, or an extension instead of both."""
    parts = has(node, "numerator"), has(node, "denominator")
    return all(parts) or not any(parts) and has(node, "extension")


def _percentages(value: Any, _: Json) -> bool:
    """ras-1: a range of probabilities is in %; a decimal isn't asked."""
    ends = [value[end] for end in ("low", "high") if end in value] if type(value) is dict else []
    return all(each.get("code") == "%" and _is_ucum(each) for each in ends)


def _not_negative(name: str) -> Rule:
    return lambda node, _: node.get(name, 0) >= 0


def _offset(node: Json, _: Json) -> bool:
    """tim-9: an offset needs an event that isn't simply a meal."""
    when = node.get("when", ())
    return not has(node, "offset") or bool(when) and not {"C", "CM", "CD", "CV"} & set(when)


def _not_home(node: Json, _: Json) -> bool:
    return node.get("use") != "home"


def _entries(bundle: Json) -> list[Json]:
    return [each for each in bundle.get("entry", ()) if isinstance(each, dict)]


def _type_of_first(bundle: Json) -> str:
    return str(next(iter(_entries(bundle)), {}).get("resource", {}).get("resourceType", ""))


def _entries_with(name: str, *types: str) -> Rule:
    """Every entry has it in a Bundle of these types; in others none has."""
    return lambda node, _: all(
        has(each, name) == (node.get("type") in types) for each in _entries(node)
    )


def _bundle_distinct(node: Json, _: Json) -> bool:
    """bdl-7: but in a history no resource is there twice in the same version."""
    if node.get("type") == "history":
        return True
    keys = [
        (each["fullUrl"], each.get("resource", {}).get("meta", {}).get("versionId"))
        for each in _entries(node)
        if "fullUrl" in each
    ]
    return len(set(keys)) == len(keys)


def _bundle_identified(node: Json, _: Json) -> bool:
    identifier = node.get("identifier", {})
    return node.get("type") != "document" or "system" in identifier and "value" in identifier


def _starts_with(bundle_type: str, resource_type: str) -> Rule:
    return lambda node, _: (
        node.get("type") != bundle_type or _type_of_first(node) == resource_type
    )


def _type_is(*types: str) -> Rule:
    return lambda node, _: node.get("type") in types


def _distinct_codes(node: Json, _: Json) -> bool:
    """csd-1: no code is defined twice, at any level."""
    found: list[str] = []
    waiting = [node]
    while waiting:
        concepts = waiting.pop().get("concept", ())
        found += [each["code"] for each in concepts if "code" in each]
        waiting += concepts
    return len(set(found)) == len(found)


def _element_max(value: Any, _: Json) -> bool:
    return value == "*" or str(value).isdecimal()


_AIT_WRONG = _has_code(
    "verificationStatus", "allergyintolerance-verification", "entered-in-error"
)
_CON_WRONG = _has_code("verificationStatus", "condition-ver-status", "entered-in-error")
_CON_OVER = _has_code("clinicalStatus", "condition-clinical", "resolved", "remission", "inactive")
_SEARCHSET = _type_is("searchset")

NATIVE: Mapping[str, Rule] = {
    "age-1": _age,
    "ait-1": _either(_AIT_WRONG, _any("clinicalStatus")),
    "ait-2": lambda node, _: not _AIT_WRONG(node, _) or not has(node, "clinicalStatus"),
    "app-1": _any("type", "actor"),
    "app-2": lambda node, _: has(node, "start") == has(node, "end"),
    "apr-1": _any("participantType", "actor"),
    "att-1": _needs("data", "contentType"),
    "bdl-1": _either(_none("total"), _type_is("searchset", "history")),
    "bdl-2": lambda node, _: _SEARCHSET(node, _) or not any("search" in e for e in _entries(node)),
    "bdl-3": _entries_with("request", "batch", "transaction", "history"),
    "bdl-4": _entries_with("response", "batch-response", "transaction-response", "history"),
    "bdl-5": _any("resource", "request", "response"),
    "bdl-7": _bundle_distinct,
    "bdl-8": lambda node, _: "/_history/" not in node.get("fullUrl", ""),
    "bdl-9": _bundle_identified,
    "bdl-10": lambda node, _: node.get("type") != "document" or "timestamp" in node,
    "bdl-11": _starts_with("document", "Composition"),
    "bdl-12": _starts_with("message", "MessageHeader"),
    "cmp-1": _any("text", "entry", "section"),
    "cmp-2": _not_both("emptyReason", "entry"),
    "cnt-3": _count,
    "con-1": _any("summary", "assessment"),
    "con-2": _any("code", "detail"),
    "con-4": _either(_none("abatement*"), _CON_OVER),
    "con-5": lambda node, _: not _CON_WRONG(node, _) or not has(node, "clinicalStatus"),
    "cpl-3": _not_both("detail", "reference"),
    "cpt-2": _needs("value", "system"),
    "csd-1": _distinct_codes,
    "dis-1": _quantity,
    "drt-1": _duration,
    "eld-3": _element_max,
    "exp-1": _any("expression", "reference"),
    "ext-1": _one("extension", "value*"),
    "fhs-1": _not_both("age*", "born*"),
    "fhs-2": _needs("estimatedAge", "age*"),
    "imm-1": _any("documentType", "reference"),
    "imr-1": _any("vaccineCode", "targetDisease"),
    "lst-1": _not_both("emptyReason", "entry"),
    "md-1": lambda node, _: node.get("max", "*") == "*" or int(node["max"]) > 0,
    "mad-1": _any("dose", "rate*"),
    "mdd-1": _ordered("whenPrepared", "whenHandedOver"),
    "obs-3": _any("low", "high", "text"),
    "obs-6": _not_both("dataAbsentReason", "value*"),
    "obs-7": _observation_code,
    "org-1": _any("identifier", "name"),
    "org-2": _not_home,
    "org-3": _not_home,
    "pat-1": _any("name", "telecom", "address", "organization"),
    "per-1": _period,
    "ppc-1": _any("policy", "policyRule"),
    "prr-1": _needs("orderDetail", "code"),
    "que-7": lambda node, _: node.get("operator") != "exists" or "answerBoolean" in node,
    "qrs-1": _not_both("answer", "item"),
    "qty-3": _needs("code", "system"),
    "rat-1": _ratio,
    "ras-1": _percentages,
    "ras-2": lambda node, _: node.get("probabilityDecimal", 0) <= 100,
    "rng-2": _range,
    "sev-1": _not_both("name", "query"),
    "sqty-1": _none("comparator"),
    "tim-1": _needs("duration", "durationUnit"),
    "tim-2": _needs("period", "periodUnit"),
    "tim-4": _not_negative("duration"),
    "tim-5": _not_negative("period"),
    "tim-6": _needs("periodMax", "period"),
    "tim-7": _needs("durationMax", "duration"),
    "tim-8": _needs("countMax", "count"),
    "tim-9": _offset,
    "tim-10": _not_both("timeOfDay", "when"),
    "vsd-6": _any("code", "display"),
    "vsd-9": lambda node, _: has(node, "code") or node.get("abstract") is True,
    "vsd-10": _needs("code", "system"),
}
