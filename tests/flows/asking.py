"""Requests drawn from what is served, with values that the hidden records really have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable
from urllib.parse import urlencode

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from hie_server.fhir.index import parameters_for
from hie_server.fhir.resources import dump, parse
from tests.flows.world_records import Json
from tests.flows.world_values import values
from tests.flows.worlds import Asked

FHIR = (("Content-Type", "application/fhir+json"),)
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
ABSENT = "3d1f4bd5-6a1e-4b3c-9a55-0d4f3b1c2e77"
MATCHES = ((), (), (("If-Match", 'W/"1"'),), (("If-Match", 'W/"2"'),), (("If-Match", "3"),))
WEIGHTS = {
    "search-type": 10, "read": 6, "vread": 3, "history-instance": 3, "create": 1, "update": 1,
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
    ("patient.name", "Gita"), ("subject:Patient.identifier", "MRN-1-Asha"),
    ("encounter.class", "AMB"),
    ("patient.identifier", "https://healthid.ndhm.gov.in|91-1234-5678-9012"),
    ("_has:Condition:patient:code", "73211009"), ("_has:Observation:subject:patient.name", "Asha"),
    ("_has:Encounter:patient:status", "finished"), ("_has:Consent:patient:status", "active"),
)
CONDITIONAL = ("Patient?name=Asha", "Patient?identifier=MRN-1-Asha", "Patient?name=Gita")
PERSONAL = {"patient", "subject", "beneficiary"}
ANYTHING = (
    "1", "true", "final", "active", "2025", "ge2025-03-01", "le2025-03-31", "A", "Devi", ABSENT,
    f"Patient/{ABSENT}", "7", "gt1", "https://example.org/profile/lab", "http://loinc.org|",
    "73211009", "|", "a,b", "%", "\\", "", "gt", "0",
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


@dataclass(frozen=True, repr=False)
class Material:
    """`served`: type → (interactions, parameters) as /fhir/metadata has them · `pools`: what to
    ask for, each of them as often as the others · `own`: resources that the asker holds ·
    `aliases`: a Patient's id → the ids of the same citizen's Patients."""

    served: dict[str, tuple[list[str], list[str]]]
    pools: list[list[Json]]
    own: list[Json]
    aliases: dict[str, list[str]]


def served(statement: Json) -> dict[str, tuple[list[str], list[str]]]:
    return {
        each["type"]: (
            [interaction["code"] for interaction in each["interaction"]],
            [parameter["name"] for parameter in each["searchParam"]],
        )
        for each in statement["rest"][0]["resource"]
    }


def requests(found: Material, seed_: int, number: int) -> list[Asked]:
    """The same ones for the same seed, no two alike."""
    drawn: dict[Asked, None] = {}
    while len(drawn) < number:
        drawn |= dict.fromkeys(_drawn(found, seed_, number))
        seed_ += 1
    return list(drawn)[:number]


def _drawn(found: Material, seed_: int, number: int) -> list[Asked]:
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
    one = draw(st.sampled_from(draw(st.sampled_from(found.pools))))
    interactions, _ = found.served[one["resourceType"]]
    weights = WEIGHTS if _personal(found, one) else {**WEIGHTS, "search-type": 3}
    codes = [code for code in interactions for _ in range(weights[code])]
    made: Asked = draw(MAKERS[draw(st.sampled_from(codes))](found, one))
    wrap = draw(st.sampled_from([None] * 16 + [_bundle, _bundle, _of_types, _hop, _hop]))
    if wrap is not None:
        return draw(wrap(found, one, made))
    if made.method == "GET" and draw(st.sampled_from([False] * 11 + [True])):
        path = made.path.partition("?")[0]
        made = Asked("GET", draw(st.sampled_from(ODD))(path))
    if made.method == "GET" and draw(st.sampled_from([False] * 19 + [True])):
        made = Asked("HEAD", made.path)
    return made


@st.composite
def _path(draw: st.DrawFn, found: Material, one: Json) -> str:
    """Mostly of this very record; else of one of our own, of none, or of another type."""
    chosen = draw(st.sampled_from([one] * 9 + [draw(st.sampled_from(found.own))]))
    identity = draw(st.sampled_from([chosen["id"]] * 11 + [ABSENT]))
    kind = draw(st.sampled_from([chosen["resourceType"]] * 11 + ["Observation"]))
    return f"/fhir/{kind}/{identity}"


def _read(found: Material, one: Json) -> st.SearchStrategy[Asked]:
    return _path(found, one).map(lambda path: Asked("GET", path))


def _vread(found: Material, one: Json) -> st.SearchStrategy[Asked]:
    versions = st.sampled_from(["1"] * 7 + ["2", "3", "01", "9999999999", "x"])
    parts = st.tuples(_path(found, one), versions)
    return parts.map(lambda each: Asked("GET", f"{each[0]}/_history/{each[1]}"))


def _history(found: Material, one: Json) -> st.SearchStrategy[Asked]:
    more = st.sampled_from([""] * 4 + ["?_count=1", "?_before=2", "?_count=0"])
    parts = st.tuples(_path(found, one), more)
    return parts.map(lambda each: Asked("GET", f"{each[0]}/_history{each[1]}"))


@st.composite
def _search(draw: st.DrawFn, found: Material, one: Json) -> Asked:
    """This record's own values, and what they are asked with; sometimes anything at all."""
    kind = one["resourceType"]
    pairs = draw(_pairs(found, one))
    pairs += draw(st.lists(st.sampled_from(CONTROLS), max_size=2, unique_by=lambda each: each[0]))
    parameters = st.sampled_from(found.served[kind][1])
    if "_sort" not in dict(pairs) and draw(st.sampled_from([False] * 4 + [True])):
        pairs.append(("_sort", draw(st.sampled_from(["", "-"])) + draw(parameters)))
    anything = st.tuples(parameters, st.sampled_from(ANYTHING))
    if draw(st.sampled_from([False] * 7 + [True])):
        pairs.append(draw(st.one_of(anything, st.sampled_from(WILD))))
    query = urlencode(draw(st.permutations(pairs)))
    lenient = draw(st.sampled_from([()] * 5 + [(("Prefer", "handling=lenient"),)]))
    if draw(st.sampled_from([True, False, False])):
        return Asked("POST", f"/fhir/{kind}/_search", query.encode(), (*FORM, *lenient))
    return Asked("GET", f"/fhir/{kind}?{query}", None, lenient)


def _personal(found: Material, one: Json) -> list[str]:
    """The parameters by which it is found of a person who shares it."""
    if one["resourceType"] == "Patient":
        return ["_id"]
    known = values(one).keys() & PERSONAL
    return [name for name in found.served[one["resourceType"]][1] if name in known]


@st.composite
def _pairs(draw: st.DrawFn, found: Material, one: Json) -> list[tuple[str, str]]:
    """Whom it is about, by any Patient of theirs, and up to two more of its values."""
    known = values(one)
    names = [name for name in found.served[one["resourceType"]][1] if name in known]
    personal = [] if draw(st.sampled_from([False] * 11 + [True])) else _personal(found, one)[:1]
    others = draw(st.lists(st.sampled_from(names), min_size=not personal, max_size=2, unique=True))
    pairs = [draw(st.sampled_from(known[name])) for name in others if name not in personal]
    for name in personal:
        value = draw(st.sampled_from([value for each, value in known[name] if each == name]))
        kind, slash, identity = value.rpartition("/")
        meant = draw(st.sampled_from([identity, *found.aliases.get(identity, ())]))
        also = draw(st.sampled_from([""] * 7 + [f",{each}" for each in found.aliases]))
        pairs.append((name, f"{kind}{slash}{meant}{also}"))
    return pairs


@st.composite
def _create(draw: st.DrawFn, found: Material, one: Json) -> Asked:
    """A copy, with all that it refers to; or too little for its type."""
    kind = one["resourceType"]
    template = draw(st.sampled_from([one, {"resourceType": kind}]))
    copy = {name: value for name, value in template.items() if name != "meta"}
    if kind == "Consent":
        copy["status"] = "proposed"
    return Asked("POST", f"/fhir/{kind}", dump(copy), FHIR)


@st.composite
def _update(draw: st.DrawFn, found: Material, one: Json) -> Asked:
    path = draw(_path(found, one))
    _, _, kind, identity = path.split("/")
    whole = dump({**one, "resourceType": kind, "id": identity, "language": "hi"})
    other = dump({"resourceType": "Basic", "id": identity})
    body = draw(st.sampled_from([whole, whole, other, b"{"]))
    return Asked("PUT", path, body, FHIR + draw(st.sampled_from(MATCHES)))


@st.composite
def _delete(draw: st.DrawFn, found: Material, one: Json) -> Asked:
    return Asked("DELETE", draw(_path(found, one)), None, draw(st.sampled_from(MATCHES)))


@st.composite
def _bundle(draw: st.DrawFn, found: Material, one: Json, made: Asked) -> Asked:
    """The same, as the one entry of a batch or a transaction."""
    kind = draw(st.sampled_from(["batch", "batch", "transaction"]))
    url = made.path.removeprefix("/fhir/")
    request = {"method": made.method, "url": url}
    entry: Json = {"request": request}
    if url.endswith("/_search"):
        request |= {"method": "GET", "url": f"{one['resourceType']}?{(made.body or b'').decode()}"}
    elif made.body not in (None, b"{"):
        entry["resource"] = parse(made.body or b"")
    if made.method == "POST" and "resource" in entry:
        pairs = [pair for pairs in values(one).values() for pair in pairs]
        if draw(st.booleans()):
            request["ifNoneExist"] = urlencode([draw(st.sampled_from(pairs))])
        if "subject" in entry["resource"]:
            entry["resource"]["subject"] = {"reference": draw(st.sampled_from(CONDITIONAL))}
    request |= {"ifMatch": value for name, value in made.headers if name == "If-Match"}
    body = {"resourceType": "Bundle", "type": kind, "entry": [entry]}
    return Asked("POST", "/fhir", dump(body), FHIR)


@st.composite
def _of_types(draw: st.DrawFn, found: Material, one: Json, made: Asked) -> Asked:
    """The same search, of another type as well; a write stays as it is."""
    kinds = f"{one['resourceType']},{draw(st.sampled_from([*found.served]))}"
    path, _, query = made.path.partition("?")
    if path.endswith("/_search"):
        typed = urlencode({"_type": kinds}).encode() + b"&" + (made.body or b"")
        return Asked("POST", "/fhir/_search", typed, made.headers)
    query = query or f"_id={one['id']}"
    return Asked("GET", f"/fhir?_type={kinds}&{query}") if made.method == "GET" else made


@st.composite
def _hop(draw: st.DrawFn, found: Material, one: Json, made: Asked) -> Asked:
    """A value of the record, asked of what it refers to, or through that, or in its compartment."""
    kind, known = one["resourceType"], values(one)
    references = {each.code for each in parameters_for(kind).values() if each.type == "reference"}
    leads = [
        (name, value)
        for pairs in known.values()
        for name, value in pairs
        if name in references and value.count("/") == 1
    ]
    if not leads or kind == "AuditEvent":
        return made
    (code, reference), pairs = draw(st.sampled_from(leads)), sorted(set(sum(known.values(), [])))
    (name, value), (target, _, identity) = draw(st.sampled_from(pairs)), reference.partition("/")
    also = next((each for pool in found.pools for each in pool if each["id"] == identity), one)
    inner = draw(st.sampled_from(sorted(set(sum(values(also).values(), [])))))
    more = draw(st.sampled_from([[(name, value)], [], [("_total", "accurate")]]))
    path, asked = draw(
        st.sampled_from(
            [
                (target, [(f"_has:{kind}:{code}:{name}", value)]),
                (kind, [(f"{code}:{target}.{inner[0]}", inner[1])]),
                (kind, [(f"{code}:{target}._id", identity)]),
                (f"{reference}/{kind}", []),
                (f"{reference}/*", []),
            ]
        )
    )
    return Asked("GET", f"/fhir/{path}?{urlencode([*asked, *more])}")


MAKERS: dict[str, Callable[[Material, Json], st.SearchStrategy[Asked]]] = {
    "read": _read, "vread": _vread, "history-instance": _history, "search-type": _search,
    "create": _create, "update": _update, "delete": _delete,
}
