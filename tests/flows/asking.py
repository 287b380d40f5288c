"""Requests drawn from what is served, with values that the hidden records really have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Callable, Iterator
from urllib.parse import urlencode

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from hie_server.fhir.index import Range, Term, index, parameters_for
from hie_server.fhir.resources import dump
from hie_server.store.filters import EPOCH
from tests.flows.world_records import Json
from tests.flows.worlds import Asked

FHIR = (("Content-Type", "application/fhir+json"),)
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
ABSENT = "3d1f4bd5-6a1e-4b3c-9a55-0d4f3b1c2e77"
MATCHES = ((), (), (("If-Match", 'W/"1"'),), (("If-Match", 'W/"2"'),), (("If-Match", "3"),))
WEIGHTS = {
    "search-type": 10, "read": 5, "vread": 3, "history-instance": 3, "create": 1, "update": 2,
    "delete": 1,
}
CONTROLS = (
    ("_count", "1"), ("_count", "2"), ("_count", "3"), ("_total", "accurate"),
    ("_total", "estimate"), ("_summary", "count"), ("_sort", "_lastUpdated"),
    ("_sort", "-_lastUpdated"), ("_lastUpdated", "gt2026-01-14"), ("_format", "json"),
)
WILD = (
    ("_include", "*"), ("_revinclude", "Provenance:target"), ("_elements", "code"),
    ("_summary", "text"), ("_sort", "date"), ("_has:Observation:patient:code", "4548-4"),
    ("patient.name", "Asha"), ("code[$ne]", "x"), ("_filter", "code eq 4548-4"),
    ("_content", "Devi"), ("_cursor", "AAAA"), ("_count", "0"), ("_id", "*"), ("_list", ABSENT),
)
# Ways to write the same path, and paths that other servers have.
ODD: tuple[Callable[[str], str], ...] = (
    lambda path: f"{path}/",
    lambda path: path.replace("/fhir/", "/fhir//", 1),
    lambda path: path.replace("/fhir/", "//fhir/", 1),
    lambda path: path.upper(),
    lambda path: path.lower().replace("/fhir/", "/fhir/./"),
    lambda path: "/fhir/" + path[6:].replace("-", "%2D").replace("a", "%61"),
    lambda path: f"{path}%00",
    lambda path: f"{path}%2F_history",
    lambda path: f"{path}/$everything",
    lambda path: f"{path}/Observation",
    lambda path: f"{path}/_history?_since=2020",
    lambda path: f"{path}/_history/1/",
    lambda path: f"{path}/_history/0",
    lambda path: f"{path}?_format=xml",
    lambda path: f"{path}?_elements=id",
    lambda path: f"{path}|1",
)


@dataclass(frozen=True)
class Material:
    """`served`: type → (interactions, parameters) as /fhir/metadata has them · `hidden` and `own`
    (the asker's): the resources · `versions`: how many each hidden one has had."""

    served: dict[str, tuple[list[str], list[str]]]
    hidden: list[Json]
    own: list[Json]

    def of(self, kind: str) -> list[Json]:
        return [each for each in self.hidden if each["resourceType"] == kind]


def material(statement: Json, hidden: list[Json], own: list[Json]) -> Material:
    served = {
        each["type"]: (
            [interaction["code"] for interaction in each["interaction"]],
            [parameter["name"] for parameter in each["searchParam"]],
        )
        for each in statement["rest"][0]["resource"]
    }
    return Material(served, hidden, own)


def requests(found: Material, seed_: int, number: int) -> list[Asked]:
    """The same ones for the same seed."""
    drawn: list[Asked] = []

    @seed(seed_)
    @settings(
        max_examples=number, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(asked(found))
    def draw(each: Asked) -> None:
        drawn.append(each)

    draw()
    return drawn


@st.composite
def asked(draw: st.DrawFn, found: Material) -> Asked:
    likely = sorted({each["resourceType"] for each in found.hidden})
    kinds = st.sampled_from([likely] * 5 + [[*found.served]]).flatmap(st.sampled_from)
    kind = draw(kinds)
    codes = [code for code in found.served[kind][0] for _ in range(WEIGHTS[code])]
    made: Asked = draw(MAKERS[draw(st.sampled_from(codes))](found, kind))
    if made.method == "GET" and draw(st.sampled_from([False] * 7 + [True])):
        path = made.path.partition("?")[0]
        made = Asked("GET", draw(st.sampled_from(ODD))(path))
    if made.method == "GET" and draw(st.sampled_from([False] * 11 + [True])):
        made = Asked("HEAD", made.path)
    return made


@st.composite
def _path(draw: st.DrawFn, found: Material, kind: str) -> str:
    """Mostly of a hidden record of this type; else one of another type, our own, or none."""
    pools = [found.of(kind)] * 6 + [found.hidden, found.own]
    chosen = draw(st.sampled_from([each for each in pools if each]))
    one = draw(st.sampled_from(chosen))
    identity = draw(st.sampled_from([one["id"]] * 11 + [ABSENT]))
    shown = draw(st.sampled_from([kind] + [one["resourceType"]] * 3))
    return f"/fhir/{shown}/{identity}"


def _read(found: Material, kind: str) -> st.SearchStrategy[Asked]:
    return _path(found, kind).map(lambda path: Asked("GET", path))


def _vread(found: Material, kind: str) -> st.SearchStrategy[Asked]:
    versions = st.sampled_from(["1", "1", "1", "2", "3", "01", "9999999999", "x"])
    parts = st.tuples(_path(found, kind), versions)
    return parts.map(lambda each: Asked("GET", f"{each[0]}/_history/{each[1]}"))


def _history(found: Material, kind: str) -> st.SearchStrategy[Asked]:
    more = st.sampled_from(["", "", "", "?_count=1", "?_before=2", "?_count=0"])
    parts = st.tuples(_path(found, kind), more)
    return parts.map(lambda each: Asked("GET", f"{each[0]}/_history{each[1]}"))


@st.composite
def _search(draw: st.DrawFn, found: Material, kind: str) -> Asked:
    """One hidden record's own values, and what it is asked with; sometimes anything at all."""
    one = draw(st.sampled_from(found.of(kind) or [{"resourceType": kind, "id": ABSENT}]))
    known = values(one)
    names = [name for name in found.served[kind][1] if name in known]
    pairs = [draw(st.sampled_from(known[name])) for name in names if name in PERSONAL][:1]
    if not pairs or draw(st.sampled_from([True, True, False])):
        for name in draw(st.lists(st.sampled_from(names), max_size=2, unique=True)):
            pairs.append(draw(st.sampled_from(known[name])))
    pairs += draw(st.lists(st.sampled_from(CONTROLS), max_size=2, unique_by=lambda each: each[0]))
    other = st.tuples(st.sampled_from(found.served[kind][1]), st.sampled_from(_ANY))
    extra = draw(st.sampled_from([None] * 8 + [other, st.sampled_from(WILD)]))
    if extra is not None:
        pairs.append(draw(extra))
    query = urlencode(draw(st.permutations(pairs)))
    lenient = draw(st.sampled_from([()] * 5 + [(("Prefer", "handling=lenient"),)]))
    if draw(st.sampled_from([True, False, False])):
        return Asked("POST", f"/fhir/{kind}/_search", query.encode(), (*FORM, *lenient))
    return Asked("GET", f"/fhir/{kind}?{query}", None, lenient)


@st.composite
def _create(draw: st.DrawFn, found: Material, kind: str) -> Asked:
    """A copy of a hidden record, with all that it refers to; or too little for its type."""
    template = draw(st.sampled_from([*found.of(kind), {"resourceType": kind}]))
    copy = {name: value for name, value in template.items() if name != "meta"}
    if kind == "Consent":
        copy["status"] = "proposed"
    return Asked("POST", f"/fhir/{kind}", dump(copy), FHIR)


@st.composite
def _update(draw: st.DrawFn, found: Material, kind: str) -> Asked:
    path = draw(_path(found, kind))
    _, _, shown, identity = path.split("/")
    bodies = [dump({"resourceType": shown, "id": identity}), b"{", dump({"resourceType": "Basic"})]
    known = [each for each in found.hidden if each["id"] == identity]
    bodies += [dump({**each, "language": "hi"}) for each in known] * 4
    return Asked("PUT", path, draw(st.sampled_from(bodies)), FHIR + draw(st.sampled_from(MATCHES)))


@st.composite
def _delete(draw: st.DrawFn, found: Material, kind: str) -> Asked:
    return Asked("DELETE", draw(_path(found, kind)), None, draw(st.sampled_from(MATCHES)))


MAKERS: dict[str, Callable[[Material, str], st.SearchStrategy[Asked]]] = {
    "read": _read, "vread": _vread, "history-instance": _history, "search-type": _search,
    "create": _create, "update": _update, "delete": _delete,
}
PERSONAL = ("patient", "subject", "beneficiary")
_ANY = (
    "1", "true", "final", "active", "2025", "ge2025-03-01", "le2025-03-31", "A", "Devi", ABSENT,
    f"Patient/{ABSENT}", "7", "gt1", "https://example.org/profile/lab", "http://loinc.org|",
    "73211009", "|", "a,b", "%", "\\", "", "gt", "0",
)


def values(resource: Json) -> dict[str, list[tuple[str, str]]]:
    """Parameter → (name with modifier, value) by which a search finds this resource."""
    found: dict[str, list[tuple[str, str]]] = {"_id": [("_id", resource["id"])]}
    indexed = index(resource)
    for term in sorted(indexed.terms):
        found.setdefault(term.parameter, []).extend(_of_term(term))
    for each in indexed.ranges:
        name, _, unit = each.parameter.partition("|")
        kind = parameters_for(resource["resourceType"])[name].type
        found.setdefault(name, []).extend(_of_range(each, name, unit, kind))
    return found


def _of_term(term: Term) -> Iterator[tuple[str, str]]:
    name, form = term.parameter, term.form
    base, _, plain = form.rpartition("identifier ")
    asked_as = f"{name}:identifier" if form.startswith("identifier ") else name
    value = _escaped(term.value)
    written = {
        "present": (f"{name}:missing", "false"),
        "code": (asked_as, value.replace("|", "\\|")),
        "system|code": (asked_as, value),
        "|code": (asked_as, f"|{value}"),
        "system|": (asked_as, f"{value}|"),
        "of-type": (f"{name}:of-type", value),
        "prefix": (name, value),
        "whole": (f"{name}:contains", value),
        "id": (name, value),
        "reference": (name, value),
        "uri": (name, value),
    }
    yield written[plain or form]


def _escaped(text: str) -> str:
    return text.replace(",", "\\,").replace("$", "\\$")


def _of_range(each: Range, name: str, unit: str, kind: str) -> Iterator[tuple[str, str]]:
    lo, hi = each.lo, each.hi
    if kind != "date":
        parts = f"|{unit}" if unit else ""
        yield from ((name, f"ge{lo}{parts}"), (name, f"le{hi}{parts}"), (name, f"{lo}{parts}"))
        return
    for prefix, moment in (("ge", lo), ("lt", hi), ("gt", lo - 1), ("ap", lo)):
        if 0 < moment < 4e12:
            instant = (EPOCH + timedelta(milliseconds=moment)).isoformat()
            yield name, f"{prefix}{instant}"
