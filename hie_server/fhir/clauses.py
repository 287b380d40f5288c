"""One search parameter of a query → what it asks of an index; the mirror of terms.py.

https://hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, tzinfo
from itertools import chain
from typing import Iterator

from hie_server.fhir.composites import components, together, unlike
from hie_server.fhir.dates import bounds
from hie_server.fhir.definitions import SearchParameter
from hie_server.fhir.escapes import parts, split, unescape
from hie_server.fhir.outcomes import FhirError, bad_request
from hie_server.fhir.quantities import Unit, read_number
from hie_server.fhir.references import read_target
from hie_server.fhir.resources import is_id
from hie_server.fhir.spans import Span, date_spans, number_spans, split_prefix
from hie_server.fhir.strings import PREFIX, fold
from hie_server.fhir.terms import Term, joined, with_unit

_MODIFIERS = {
    "token": ("not", "text", "of-type"),
    "string": ("exact", "contains"),
    "reference": ("identifier",),
}
_ON_THE_BODY = ("text", "exact", "contains")


@dataclass(frozen=True)
class Clause:
    """One condition; the conditions of a query are joined by and.

    `kind`: token string reference date uri number quantity composite id updated · `modifier`: ""
    if none · `values`: the alternatives as written, escapes kept · `any_of`: a row matches if one
    of these is in its index; empty for `id` · `negated`: it matches if none is · `exact`: where it
    is False, `any_of` lets too much through, and match.satisfies has to be asked · `found`: the
    asker named no `values`; the exchange found them.
    """

    parameter: str
    kind: str
    modifier: str
    values: tuple[str, ...]
    any_of: tuple[Term | Span, ...]
    negated: bool = False
    exact: bool = True
    found: bool = False


@dataclass(frozen=True)
class Moment:
    """When and where a query is asked: the zone of its dates, and now, for `ap`."""

    zone: tzinfo = UTC
    now_ms: int = 0


def clause_of(
    parameter: SearchParameter, modifier: str, values: list[str], moment: Moment
) -> Clause:
    """FhirError 400 for a modifier that the parameter hasn't, or a value that it can't take."""
    code, kind = parameter.code, parameter.type
    allowed = modifiers_of(parameter)
    if modifier and modifier not in allowed:
        known = ", ".join(allowed) or "none"
        diagnostics = f"{code} has no modifier {modifier!r}; it has {known}."
        raise bad_request(diagnostics, f"{code}:{modifier}", "not-supported")
    present = Term(code, "present", "")
    if modifier == "missing":
        missing = _truth(code, values)
        return Clause(code, kind, modifier, tuple(values), (present,), negated=missing)
    asked = tuple(dict.fromkeys(chain(*(_asked(parameter, modifier, v, moment) for v in values))))
    exact = modifier not in _ON_THE_BODY and not any(_is_long(parameter, v) for v in values)
    return Clause(code, kind, modifier, tuple(values), asked, modifier == "not", exact)


def _is_long(parameter: SearchParameter, value: str) -> bool:
    """Whether a string goes on after what is indexed of it."""
    if parameter.type == "composite":
        return any(map(_is_long, components(parameter), split(value, "$")))
    return parameter.type == "string" and len(fold(unescape(value))) > PREFIX


def modifiers_of(parameter: SearchParameter) -> tuple[str, ...]:
    if parameter.type == "composite":
        return ()
    targets = parameter.target if parameter.type == "reference" else ()
    return ("missing", *_MODIFIERS.get(parameter.type, ()), *targets)


def updated_clause(values: list[str], moment: Moment) -> Clause:
    """`_lastUpdated`: a row's instant is the range [t, t + 1 ms)."""
    spans = chain(*(_dates("_lastUpdated", value, moment) for value in values))
    return Clause("_lastUpdated", "updated", "", tuple(values), tuple(spans))


def id_clause(values: list[str]) -> Clause:
    for value in values:
        if not is_id(value):
            raise malformed("_id", value, "an id: letters, digits, - and ., at most 64")
    return Clause("_id", "id", "", tuple(values), ())


def malformed(name: str, value: str, right: str) -> FhirError:
    return bad_request(f"{name}: {value!r} isn't {right}.", name)


def _truth(code: str, values: list[str]) -> bool:
    if values not in (["true"], ["false"]):
        raise malformed(f"{code}:missing", ",".join(values), "true or false")
    return values == ["true"]


def _asked(
    parameter: SearchParameter, modifier: str, value: str, moment: Moment
) -> Iterator[Term | Span]:
    code = parameter.code
    match parameter.type:
        case "token":
            yield _token(code, modifier, value)
        case "string":
            yield _string(code, modifier, value)
        case "reference":
            yield _reference(parameter, modifier, value)
        case "uri":
            yield Term(code, "uri", unescape(value))
        case "date":
            yield from _dates(code, value, moment)
        case "number":
            yield from _numbers(code, code, value, unescape(value))
        case "quantity":
            yield from _quantities(code, value)
        case _:
            yield from _composite(parameter, value, moment)


def _composite(
    parameter: SearchParameter, value: str, moment: Moment
) -> Iterator[Term | Span]:
    found, wanted = split(value, "$"), components(parameter)
    if len(found) != len(wanted) or not all(found):
        raise unlike(parameter, value)
    asked = [list(_asked(each, "", part, moment)) for each, part in zip(wanted, found)]
    yield from together(parameter.code, asked)


def _token(code: str, modifier: str, value: str) -> Term:
    if modifier == "text":
        return Term(code, "present", "") if fold(unescape(value)) else _no_letters(code, value)
    if modifier == "of-type":
        found = parts(value)
        if len(found) != 3 or not all(found):
            raise malformed(f"{code}:of-type", value, "system|code|value")
        return Term(code, "of-type", joined(*found))
    return _pair(code, value, "")


def _pair(code: str, value: str, prefix: str) -> Term:
    found = parts(value)
    if len(found) == 1:
        return Term(code, f"{prefix}code", found[0])
    if len(found) > 2 or not any(found):
        raise malformed(code, value, r"code, system|code, |code or system| (with \| inside a code)")
    system, token = found
    if system and token:
        return Term(code, f"{prefix}system|code", joined(system, token))
    return Term(code, f"{prefix}system|", system) if system else Term(code, f"{prefix}|code", token)


def _string(code: str, modifier: str, value: str) -> Term:
    folded = fold(unescape(value))
    if not folded:
        return _no_letters(code, value)
    if modifier == "contains":
        return Term(code, "present", "")
    if modifier == "exact":
        return Term(code, "whole", folded)
    return Term(code, "prefix", folded[:PREFIX])


def _no_letters(code: str, value: str) -> Term:
    raise malformed(code, value, "a text to search for")


def _reference(parameter: SearchParameter, modifier: str, value: str) -> Term:
    code, text = parameter.code, unescape(value)
    if modifier == "identifier":
        return _pair(code, value, "identifier ")
    if modifier:
        if not is_id(text):
            raise malformed(f"{code}:{modifier}", value, f"the id of a {modifier}")
        return Term(code, "reference", f"{modifier}/{text}")
    if is_id(text):
        return Term(code, "id", text)
    target = read_target(text)
    if not (target.is_relative or ":" in text.partition("/")[0]):
        raise malformed(code, value, "an id, Type/id or an absolute url")
    if target.is_relative and parameter.target and target.type not in parameter.target:
        raise malformed(code, value, f"a reference to {' or '.join(sorted(parameter.target))}")
    return Term(code, "reference", target.url)


def _dates(code: str, value: str, moment: Moment) -> tuple[Span, ...]:
    prefix, text = split_prefix(unescape(value))
    try:
        # In a query string an unescaped + arrives as a space.
        asked = bounds(text.replace(" ", "+"), moment.zone)
    except ValueError:
        right = "a date such as 2024, 2024-05-31 or ge2024-05-31T10:00:00+05:30"
        raise malformed(code, value, right) from None
    return date_spans(code, prefix, asked, moment.now_ms)


def _numbers(code: str, stored: str, value: str, text: str) -> tuple[Span, ...]:
    """`stored`: the name of the ranges that are asked."""
    prefix, digits = split_prefix(text)
    try:
        return number_spans(stored, prefix, read_number(digits))
    except ValueError:
        raise malformed(code, value, "a number such as 5.4, gt100 or 5.40e-3") from None


def _quantities(code: str, value: str) -> tuple[Span, ...]:
    found = parts(value)
    if len(found) == 1:
        return _numbers(code, code, value, found[0])
    if len(found) != 3 or not found[2]:
        raise malformed(code, value, "number, number|system|code or number||unit")
    return _numbers(code, with_unit(code, Unit(found[1], found[2])), value, found[0])
