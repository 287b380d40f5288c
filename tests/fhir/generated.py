"""Resources and searches drawn from the same small pools, so that they often meet."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from hie_server.fhir.clauses import Clause
from hie_server.fhir.index import Index, Range
from hie_server.fhir.spans import Span

Json = dict[str, Any]

SYSTEMS = ("http://loinc.org", "http://snomed.info/sct", "urn:a|b")
CODES = ("8480-6", "a|b", "c,d", "é", "0")
TEXTS = (
    "Ramesh",
    "RÁMESH kumar sharma",
    "ramesh  kumar",
    "O'Brien\\Smith",
    "क़लम",
    "कलम की दुकान में",
    "रमेश",
    "Ǿrsted",
    "\u093c",
    "Straße, 5",
)
IDS = ("a", "b-1", "8480-6")
URN = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
DATES = (
    "2020",
    "2020-02",
    "2020-02-29",
    "2020-02-29T10:00:00Z",
    "2020-02-29T15:30:00+05:30",
    "2020-02-29T10:00:00.120Z",
    "1969-12-31",
    "0001",
    "9999",
    "9999-12-31",
)
NUMBERS = ("100", "99.5", "100.00", "100.4", "1e2", "-5", "0", "0.005", "105", "6.317281804761683")
PREFIXES = ("", "eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap")


def some(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Json]:
    """Any of the fields, perhaps none."""
    return st.fixed_dictionaries({}, optional=fields)


def few(each: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(each, min_size=1, max_size=2)


systems, codes, texts = st.sampled_from(SYSTEMS), st.sampled_from(CODES), st.sampled_from(TEXTS)
dates = st.sampled_from(DATES)
decimals = st.sampled_from([Decimal(each) for each in NUMBERS])
codings = some({"system": systems, "code": codes, "display": texts})
concepts = some({"coding": few(codings), "text": texts})
identifiers = some({"system": systems, "value": codes, "type": concepts})
periods = some({"start": dates, "end": dates})
timings = some(
    {"event": few(dates), "repeat": some({"boundsPeriod": periods}), "code": concepts}
)
quantities = some(
    {
        "value": decimals,
        "comparator": st.sampled_from(["<", "<=", ">", ">="]),
        "unit": st.sampled_from(["mg", "milligram"]),
        "system": systems,
        "code": st.sampled_from(["mg", "a|b"]),
    }
)
literals = st.sampled_from(
    [
        f"{base}{kind}/{id}{version}"
        for base in ("", "https://elsewhere.example/fhir/")
        for kind in ("Patient", "Group", "Practitioner")
        for id in IDS
        for version in ("", "/_history/2")
    ]
    + ["#p1", URN]
)
references = some({"reference": literals, "identifier": identifiers, "display": texts})
names = some({"family": texts, "given": few(texts), "text": texts, "use": st.just("usual")})
addresses = some({"line": few(texts), "city": texts, "text": texts})
telecoms = some({"system": st.sampled_from(["phone", "email"]), "value": codes})
metas = some(
    {
        "profile": few(st.sampled_from(["http://p.example/A", "http://p.example/A|1.0"])),
        "tag": few(codings),
        "security": few(codings),
        "source": st.just("http://p.example/A"),
    }
)


def resource(kind: str, fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Json]:
    fixed = {"resourceType": st.just(kind), "id": st.sampled_from(IDS)}
    return st.fixed_dictionaries(fixed, optional={"meta": metas, **fields})


patients = resource(
    "Patient",
    {
        "identifier": few(identifiers),
        "active": st.booleans(),
        "name": few(names),
        "telecom": few(telecoms),
        "gender": st.sampled_from(["male", "female"]),
        "birthDate": st.sampled_from(DATES[:3]),
        "deceasedBoolean": st.booleans(),
        "deceasedDateTime": dates,
        "address": few(addresses),
        "managingOrganization": references,
        "generalPractitioner": few(references),
    },
)
observations = resource(
    "Observation",
    {
        "identifier": few(identifiers),
        "status": st.sampled_from(["final", "amended"]),
        "code": concepts,
        "subject": references,
        "performer": few(references),
        "effectiveDateTime": dates,
        "effectivePeriod": periods,
        "effectiveTiming": timings,
        "valueQuantity": quantities,
        "valueString": texts,
        "valueCodeableConcept": concepts,
        "valuePeriod": periods,
        "component": few(
            some(
                {"code": concepts, "valueQuantity": quantities, "valueCodeableConcept": concepts}
            )
        ),
    },
)
documents = resource(
    "DocumentReference",
    {
        "masterIdentifier": identifiers,
        "status": st.just("current"),
        "type": concepts,
        "subject": references,
        "date": dates,
        "description": texts,
        "author": few(references),
        "content": few(
            some({"format": codings, "attachment": some({"url": st.just("Binary/1")})})
        ),
        "context": some({"period": periods, "event": few(concepts)}),
        "relatesTo": few(
            some({"code": st.sampled_from(["appends", "signs"]), "target": references})
        ),
    },
)
risks = resource(
    "RiskAssessment",
    {
        "prediction": few(
            some(
                {
                    "probabilityDecimal": decimals,
                    "probabilityRange": some(
                        {"low": some({"value": decimals}), "high": some({"value": decimals})}
                    ),
                }
            )
        )
    },
)
bounds = some({"value": decimals, "unit": st.just("mg")})
intervals = some({"low": bounds, "high": bounds})
groups = resource(
    "Group",
    {
        "characteristic": few(
            some(
                {
                    "code": concepts,
                    "valueCodeableConcept": concepts,
                    "valueBoolean": st.booleans(),
                    "valueRange": intervals,
                }
            )
        )
    },
)
libraries = resource(
    "Library",
    {
        "useContext": few(
            some(
                {
                    "code": codings,
                    "valueQuantity": quantities,
                    "valueRange": intervals,
                    "valueCodeableConcept": concepts,
                }
            )
        )
    },
)
places = st.sampled_from([0, 5, 100, 105])
sequences = resource(
    "MolecularSequence",
    {
        "referenceSeq": some(
            {
                "chromosome": concepts,
                "referenceSeqId": concepts,
                "windowStart": places,
                "windowEnd": places,
            }
        ),
        "variant": few(some({"start": places, "end": places})),
    },
)
resources = (
    patients | observations | documents | risks | groups | libraries | sequences | observations
)


def escaped(text: str) -> str:
    for each in "\\,|$":
        text = text.replace(each, "\\" + each)
    return text


def _pairs() -> st.SearchStrategy[str]:
    system, code = systems.map(escaped), codes.map(escaped)
    both = st.builds("{}|{}".format, system, code)
    return code | both | code.map("|{}".format) | system.map("{}|".format)


_prefixes = st.sampled_from(PREFIXES)
_numbers = st.builds("{}{}".format, _prefixes, st.sampled_from(NUMBERS))
_starts = st.builds(lambda text, n: text[:n].strip(), texts, st.integers(1, 20)).filter(
    lambda text: text not in ("", "\u093c")
)
_strings = st.one_of(texts.filter(lambda text: text != "\u093c"), _starts).map(escaped)
_targets = st.sampled_from(
    [*IDS, "https://elsewhere.example/fhir/Patient/a", URN]
)
VALUES: dict[tuple[str, str], st.SearchStrategy[str]] = {
    ("token", ""): _pairs() | st.sampled_from(["true", "male", "final"]),
    ("token", "not"): _pairs(),
    ("token", "text"): _strings,
    ("token", "of-type"): st.tuples(systems, codes, codes).map(lambda t: "|".join(map(escaped, t))),
    ("string", ""): _strings,
    ("string", "exact"): _strings,
    ("string", "contains"): _strings,
    ("reference", ""): _targets,
    ("reference", "identifier"): _pairs(),
    ("uri", ""): st.sampled_from(["http://p.example/A", "http://p.example/A|1.0", "Binary/1"]),
    ("date", ""): st.builds("{}{}".format, _prefixes, dates),
    ("number", ""): _numbers,
    ("quantity", ""): _numbers
    | st.builds(
        "{}|{}|{}".format,
        _numbers,
        st.sampled_from(["", *SYSTEMS]).map(escaped),
        st.sampled_from(["mg", "a|b", "milligram"]).map(escaped),
    ),
}


def matches(found: Index, clause: Clause) -> bool:
    """What the store would answer from the index alone."""
    asked = any(
        any(meets(stored, each) for stored in found.ranges)
        if isinstance(each, Span)
        else each in found.terms
        for each in clause.any_of
    )
    return asked is not clause.negated


def meets(stored: Range, span: Span) -> bool:
    if stored.parameter != span.parameter:
        return False
    lo, hi = stored.lo, stored.hi
    tests = (
        (span.lo_gte, lambda bound: lo >= bound),
        (span.lo_gt, lambda bound: lo > bound),
        (span.lo_lte, lambda bound: lo <= bound),
        (span.lo_lt, lambda bound: lo < bound),
        (span.hi_gte, lambda bound: hi >= bound),
        (span.hi_gt, lambda bound: hi > bound),
        (span.hi_lte, lambda bound: hi <= bound),
        (span.hi_lt, lambda bound: hi < bound),
    )
    return all(bound is None or test(bound) for bound, test in tests)
