"""Does a resource satisfy a clause? Decided on the resource itself, without its index.

The store asks it about clauses that an index answers too generously; tests hold the index against
it. https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from decimal import Decimal
from typing import Any, Callable, Iterator, Mapping

from hie_server.fhir.clauses import Clause, Moment
from hie_server.fhir.composites import components, elements
from hie_server.fhir.dates import bounds
from hie_server.fhir.definitions import SearchParameter
from hie_server.fhir.escapes import parts, split, unescape
from hie_server.fhir.index import parameters_for
from hie_server.fhir.paths import Found, compile_expression
from hie_server.fhir.quantities import half_digit, interval, read_number, units
from hie_server.fhir.references import read_target
from hie_server.fhir.resources import is_id
from hie_server.fhir.spans import split_prefix
from hie_server.fhir.strings import fold, strings_of
from hie_server.fhir.terms import DATES, NUMBERS, QUANTITIES, codings

Test = Callable[[Any, str, str], bool]


def satisfies(
    resource: Mapping[str, Any], clause: Clause, zone: tzinfo = UTC, now_ms: int = 0
) -> bool:
    """`zone` and `now_ms` as the query was parsed with; only dates need them."""
    moment = Moment(zone, now_ms)
    if clause.kind == "id":
        return resource.get("id") in clause.values
    if clause.kind == "updated":
        written = resource.get("meta", {}).get("lastUpdated")
        return any(_date(written, "instant", asked, moment) for asked in clause.values)
    parameter = parameters_for(resource["resourceType"])[clause.parameter]
    if clause.kind == "composite":
        return any(_together(resource, parameter, asked, moment) for asked in clause.values)
    found = compile_expression(parameter.expression, resource["resourceType"])(resource)
    if clause.modifier == "missing":
        return (clause.values == ("true",)) is (not found)
    test = _test(parameter, clause.modifier, moment)
    return _any(test, found, clause.values) is not clause.negated


def _together(
    resource: Mapping[str, Any], parameter: SearchParameter, asked: str, moment: Moment
) -> bool:
    """Whether some element satisfies each part of what is asked."""
    tests = [_test(each, "", moment) for each in components(parameter)]
    parts_asked = [(each,) for each in split(asked, "$")]
    return any(
        all(map(_any, tests, values, parts_asked)) for values in elements(parameter, resource)
    )


def _any(test: Test, found: list[Found], values: tuple[str, ...]) -> bool:
    return any(test(value, kind, asked) for asked in values for value, kind in found)


def _test(parameter: SearchParameter, modifier: str, moment: Moment) -> Test:
    """How a value of this FHIR type is held against one that was asked for."""
    tests: dict[str, Test] = {
        "token": _TOKEN.get(modifier, _token),
        "string": _STRING.get(modifier, _starts),
        "reference": lambda value, kind, asked: _reference(
            value, kind, asked, modifier, parameter.target
        ),
        "uri": _uri,
        "date": lambda value, kind, asked: _date(value, kind, asked, moment),
        "number": lambda value, kind, asked: kind in NUMBERS and _number(value, kind, asked),
        "quantity": _quantity,
    }
    return tests[parameter.type]


def _token(value: Any, kind: str, asked: str) -> bool:
    if isinstance(value, bool):
        pairs = [("", "true" if value else "false")]
    elif isinstance(value, (str, int, Decimal)):
        pairs = [("", str(value))]
    else:
        pairs = list(codings(value, kind))
    return any(_is_pair(system, code, parts(asked)) for system, code in pairs)


def _is_pair(system: str, code: str, asked: list[str]) -> bool:
    if len(asked) == 1:
        return code == asked[0]
    return system == asked[0] and asked[1] in ("", code)


def _of_type(value: Any, kind: str, asked: str) -> bool:
    if kind != "Identifier":
        return False
    system, code, number = parts(asked)
    types = codings(value.get("type", {}), "CodeableConcept")
    return value.get("value") == number and (system, code) in types


def _text(value: Any, kind: str, asked: str) -> bool:
    """A text matches from the start of any of its words."""
    wanted = f" {fold(unescape(asked))}"
    return any(wanted in f" {fold(text)}" for text in _texts(value, kind))


def _texts(value: Any, kind: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    concept = value.get("type", {}) if kind == "Identifier" else value
    yield from (concept[name] for name in ("text", "display") if name in concept)
    yield from (each["display"] for each in concept.get("coding", ()) if "display" in each)


def _starts(value: Any, kind: str, asked: str) -> bool:
    wanted = fold(unescape(asked))
    return any(fold(text).startswith(wanted) for text in strings_of(value, kind))


def _contains(value: Any, kind: str, asked: str) -> bool:
    wanted = fold(unescape(asked))
    return any(wanted in fold(text) for text in strings_of(value, kind))


def _equals(value: Any, kind: str, asked: str) -> bool:
    return unescape(asked) in strings_of(value, kind)


def _reference(
    value: Any, kind: str, asked: str, modifier: str, targets: tuple[str, ...]
) -> bool:
    if modifier == "identifier":
        return kind == "Reference" and _token(value.get("identifier", {}), "Identifier", asked)
    text = _literal(value, kind)
    if not text or text.startswith("#"):
        return False
    stored, wanted = read_target(text), unescape(asked)
    if is_id(wanted):
        fits = stored.type in ([modifier] if modifier else targets or [stored.type])
        return stored.is_relative and stored.id == wanted and fits
    return read_target(wanted).url in (stored.url, stored.url.partition("|")[0])


def _literal(value: Any, kind: str) -> str:
    if kind == "Resource":
        return f"{value['resourceType']}/{value['id']}" if "id" in value else ""
    if kind == "Reference":
        return str(value.get("reference", ""))
    return str(value) if kind in ("canonical", "uri") else ""


def _uri(value: Any, kind: str, asked: str) -> bool:
    wanted = unescape(asked)
    return wanted == value or kind == "canonical" and wanted == value.partition("|")[0]


def _date(value: Any, kind: str, asked: str, moment: Moment) -> bool:
    if kind not in DATES or value is None:
        return False
    prefix, text = split_prefix(unescape(asked))
    a, b = bounds(text.replace(" ", "+"), moment.zone)
    lo, hi = bounds(value, moment.zone)
    around = abs(moment.now_ms - a) // 10
    within = a <= lo and hi <= b
    return {
        "eq": within,
        "ne": not within,
        "gt": hi > b,
        "ge": hi > b or within,
        "lt": lo < a,
        "le": lo < a or within,
        "sa": lo >= b,
        "eb": hi <= a,
        "ap": lo < b + around and hi > a - around,
    }[prefix]


def _number(value: Any, kind: str, asked: str) -> bool:
    stored = interval(value, kind)
    if stored is None:
        return False
    prefix, digits = split_prefix(unescape(asked))
    number = read_number(digits)
    around = max(abs(number) / 10, half_digit(number))
    lo, hi = stored
    exact = float(number)
    above = float(number + half_digit(number))
    within = float(number - half_digit(number)) <= lo and (hi < above or hi <= exact)
    return {
        "eq": within,
        "ne": not within,
        "gt": hi > exact,
        "ge": hi >= exact,
        "lt": lo < exact,
        "le": lo <= exact,
        "sa": lo > exact,
        "eb": hi < exact,
        "ap": lo <= float(number + around) and hi >= float(number - around),
    }[prefix]


def _quantity(value: Any, kind: str, asked: str) -> bool:
    number, *unit = parts(asked)
    if kind not in QUANTITIES or unit and tuple(unit) not in set(units(value, kind)):
        return False
    return _number(value, kind, number)


_TOKEN: dict[str, Test] = {"text": _text, "of-type": _of_type}
_STRING: dict[str, Test] = {"exact": _equals, "contains": _contains}
