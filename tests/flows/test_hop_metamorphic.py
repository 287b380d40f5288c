"""Over real records: a chain is its two steps, `_has` its reverse, a compartment its parameters."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Iterator
from urllib.parse import urlencode

import pytest

from hie_server.config import Settings
from hie_server.fhir.definitions import compartment
from hie_server.fhir.hops import referred
from hie_server.fhir.index import parameters_for
from hie_server.fhir.resources import parse
from hie_server.store import migrations
from tests.flows.world_values import values
from tests.support import Api, Json, body_of, open_district

MOST_ENTRIES = 400
Pair = tuple[str, str]


@dataclass
class Loaded:
    """`records`: "Type/id" → the resource · `values`: of each, what finds it · `references`:
    (type, parameter, type it leads to) → (what refers, the id it refers to)."""

    api: Api
    records: dict[str, Json]
    values: dict[str, list[Pair]]
    references: dict[tuple[str, str, str], list[tuple[str, str]]]

    def find(self, path: str, *pairs: Pair) -> set[str]:
        found: set[str] = set()
        path = f"{path}?{urlencode([*pairs, ('_count', '1000')])}"
        while path:
            page = body_of(self.api.get(path))
            found |= {each["fullUrl"].partition("/fhir/")[2] for each in page.get("entry", ())}
            after = [each["url"] for each in page["link"] if each["relation"] == "next"]
            path = after[0].partition("/fhir/")[2] if after else ""
        return found

    def sample(self) -> Iterator[tuple[tuple[str, str, str], str, str]]:
        """(type, parameter, type it leads to), and one that so refers to another."""
        for key, pairs in sorted(self.references.items()):
            reference, identity = random.Random(repr(key)).choice(pairs)
            yield key, reference, f"{key[2]}/{identity}"


@pytest.fixture(scope="module")
def loaded(settings: Settings) -> Iterator[Loaded]:
    bundle = _smallest(os.environ.get("HIE_TEST_DATA"))
    uri = settings.mongodb_uri.replace("?", "_hops?")
    for district in open_district(replace(settings, mongodb_uri=uri)):
        migrations.run(district.records)
        api = district.api(district.facility())
        answer = api.post("", bundle)
        assert answer.status_code == 200, answer.text[:500]
        places = [each["response"]["location"] for each in body_of(answer)["entry"]]
        names = {each.partition("/fhir/")[2].partition("/_history")[0] for each in places}
        yield _loaded(api, {each: body_of(api.get(each)) for each in sorted(names)})
        district.records.client.drop_database(district.records.db.name)


def _smallest(folder: str | None) -> Json:
    """The first entries of a patient's transaction, with all that they refer to."""
    if not folder:
        pytest.skip("HIE_TEST_DATA doesn't name the folder with real records")
    for path in sorted(Path(folder).rglob("*.json"), key=lambda each: each.stat().st_size):
        bundle = parse(path.read_bytes())
        if bundle.get("type") == "transaction" and len(bundle["entry"]) > 100:
            return {**bundle, "entry": bundle["entry"][:MOST_ENTRIES]}
    raise AssertionError(f"{folder} has no transaction Bundle")


def _loaded(api: Api, records: dict[str, Json]) -> Loaded:
    found: dict[tuple[str, str, str], list[tuple[str, str]]] = defaultdict(list)
    known = {}
    for reference, resource in records.items():
        kind = resource["resourceType"]
        known[reference] = [
            pair
            for name, pairs in values(resource).items()
            for pair in pairs
            if name not in ("_id", "_profile") and "inf" not in pair[1] and ":text" not in pair[0]
        ]
        for parameter in parameters_for(kind).values():
            targets = {each.partition("/")[0] for each in records}
            if parameter.type == "reference":
                for target in targets & {*parameter.target}:
                    ids = referred(resource, parameter.code, target)
                    found[kind, parameter.code, target] += [(reference, each) for each in ids]
    return Loaded(api, records, known, {key: pairs for key, pairs in found.items() if pairs})


def test_a_chain_is_its_two_steps(loaded: Loaded) -> None:
    tried = 0
    for (kind, code, target), _, leads_to in loaded.sample():
        if leads_to not in loaded.records:
            continue
        pairs = loaded.values[leads_to]
        name, value = random.Random(leads_to + kind).choice(pairs)
        meant = loaded.find(target, (name, value))
        two_steps = {
            referrer
            for referrer, identity in loaded.references[kind, code, target]
            if f"{target}/{identity}" in meant
        }
        chained = loaded.find(kind, (f"{code}:{target}.{name}", value))
        assert chained == two_steps, (kind, code, target, name, value)
        tried += bool(chained)
    assert tried > 10


def test_has_is_a_chain_reversed(loaded: Loaded) -> None:
    tried = 0
    for (kind, code, target), referrer, _ in loaded.sample():
        name, value = random.Random(referrer + code).choice(loaded.values[referrer])
        those = loaded.find(kind, (name, value))
        two_steps = {
            f"{target}/{identity}"
            for each, identity in loaded.references[kind, code, target]
            if each in those and f"{target}/{identity}" in loaded.records
        }
        found = loaded.find(target, (f"_has:{kind}:{code}:{name}", value))
        assert found == two_steps, (kind, code, target, name, value)
        tried += bool(found)
    assert tried > 10


@pytest.mark.parametrize("owner", ["Patient", "Encounter", "Practitioner"])
def test_a_compartment_is_what_its_parameters_find(loaded: Loaded, owner: str) -> None:
    chosen = min(each for each in loaded.records if each.startswith(f"{owner}/"))
    everything: set[str] = set()
    for kind, codes in compartment(owner).items():
        if kind == "AuditEvent":
            continue
        itself = ("_id", chosen.partition("/")[2])
        asked = [itself if code == "{def}" else (code, chosen) for code in codes]
        members = set().union(*(loaded.find(kind, pair) for pair in asked))
        assert loaded.find(f"{chosen}/{kind}") == members, kind
        everything |= members
    assert loaded.find(f"{chosen}/*") == everything != set()
    some = {each for each in everything if each.partition("/")[0] in ("Observation", "Procedure")}
    assert loaded.find(f"{chosen}/*", ("_type", "Observation,Procedure")) == some


def test_all_types_together_are_all_there_is(loaded: Loaded) -> None:
    """And what the directory tells of the exchange and its facility."""
    others = {each for each in loaded.find("") if each not in loaded.records}
    assert {each.partition("/")[0] for each in others} == {"Organization"} and len(others) == 2
    assert loaded.find("") - others == set(loaded.records)
    newest = max(each["meta"]["lastUpdated"] for each in loaded.records.values())
    assert loaded.find("", ("_lastUpdated", f"gt{newest}")) == set()
