"""Searches of real records held against each other: what must be equal, and what must split.

Every search parameter of the ten commonest types in the folder that HIE_TEST_DATA names.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Callable, Iterator
from urllib.parse import urlencode

import pytest

from hie_server.config import Settings
from hie_server.fhir.index import index, parameters_for
from hie_server.fhir.query import parse_query
from hie_server.fhir.resources import parse
from hie_server.fhir.sorting import LONGEST
from hie_server.fhir.spans import split_prefix
from hie_server.store import migrations
from hie_server.store.access import Access
from hie_server.store.repository import Repository
from tests.flows.asking import values
from tests.support import Api, District, Json, body_of, open_district

TYPES, EACH, MOST_VALUES = 10, 30, 6
FORM = "application/x-www-form-urlencoded"
RANGED = ("date", "number", "quantity")
TEXTS = ("code", "whole", "reference", "uri")
Pair = tuple[str, str]


def real_records() -> Iterator[Json]:
    folder = os.environ.get("HIE_TEST_DATA")
    if not folder:
        pytest.skip("HIE_TEST_DATA doesn't name the folder with real records")
    for path in sorted(Path(folder).rglob("*json")):
        lines = path.read_bytes().splitlines() if path.suffix == ".ndjson" else [path.read_bytes()]
        for resource in (parse(line) for line in lines if b'"resourceType"' in line):
            entries = resource.get("entry", []) if resource.get("type") == "transaction" else []
            yield from (each["resource"] for each in entries)
            if not entries and resource.get("resourceType") in RESOURCES:
                yield resource


RESOURCES = {
    "AllergyIntolerance", "CarePlan", "CareTeam", "Claim", "Condition", "Device",
    "DiagnosticReport", "DocumentReference", "Encounter", "ExplanationOfBenefit",
    "ImagingStudy", "Immunization", "MedicationRequest", "Observation", "Organization",
    "Patient", "Practitioner", "Procedure",
}


def chosen() -> Iterator[Json]:
    """Of each of the commonest types some, from all over the folder."""
    by_kind: dict[str, list[Json]] = defaultdict(list)
    for each in real_records():
        by_kind[each["resourceType"]].append(each)
    counts = Counter({kind: len(found) for kind, found in by_kind.items()})
    for kind, number in counts.most_common(TYPES):
        yield from by_kind[kind][:: max(1, number // EACH)][:EACH]


@dataclass
class Loaded:
    """`records`: "Type/id" → the resource as it is stored."""

    repository: Repository
    api: Api
    records: dict[str, Json]

    @cached_property
    def parameters(self) -> list[tuple[str, str, str]]:
        """(type, code, the parameter's type) of all that may be asked."""
        kinds = sorted({each.partition("/")[0] for each in self.records})
        return [(kind, p.code, p.type) for kind in kinds for p in parameters_for(kind).values()]

    @cached_property
    def values(self) -> dict[tuple[str, str], dict[Pair, str]]:
        """(type, code) → what is asked → a resource that it must find."""
        found: dict[tuple[str, str], dict[Pair, str]] = defaultdict(dict)
        for reference, resource in self.records.items():
            for code, pairs in values(resource).items():
                for pair in pairs:
                    if "inf" not in pair[1] and "?" not in pair[1]:
                        found[resource["resourceType"], code].setdefault(pair, reference)
        return {key: dict(_spread(list(pairs.items()))) for key, pairs in found.items()}

    def of(self, kind: str) -> set[str]:
        return {each for each in self.records if each.startswith(f"{kind}/")}

    def search(self, kind: str, *pairs: Pair) -> list[str]:
        query = parse_query(kind, [*pairs, ("_count", "1000")])
        return [row["_id"] for row in self.repository.search(query).rows]

    def asked(self, wanted: Callable[[Pair], bool] = lambda pair: True) -> Iterator[Any]:
        """(type, code, pair) of one value of each parameter that has any."""
        for (kind, code), pairs in sorted(self.values.items()):
            yield from ((kind, code, pair) for pair in [*filter(wanted, pairs)][:1])


def _spread(found: list[Any]) -> list[Any]:
    return found[:: max(1, len(found) // MOST_VALUES)][:MOST_VALUES]


@pytest.fixture(scope="module")
def loaded(settings: Settings) -> Iterator[Loaded]:
    records = list(chosen())
    uri = settings.mongodb_uri.replace("?", "_metamorphic?")
    for district in open_district(replace(settings, mongodb_uri=uri)):
        migrations.run(district.records)
        yield _loaded(district, records)
        district.records.client.drop_database(district.records.db.name)


def _loaded(district: District, records: list[Json]) -> Loaded:
    facility = district.facility()
    repository = Repository(district.records, Access(custodian=facility))
    stored = [repository.create(each) for each in records]
    found = {each.reference: parse(each.body or b"") for each in stored}
    return Loaded(repository, district.api(facility), found)


def test_there_are_ten_types_and_most_of_their_parameters_are_met(loaded: Loaded) -> None:
    kinds = {each.partition("/")[0] for each in loaded.records}
    assert len(kinds) == TYPES and len(loaded.records) > TYPES * EACH // 2
    assert len(loaded.values) > 100


def test_each_value_of_a_resource_finds_it(loaded: Loaded) -> None:
    missed = [
        (reference, pair)
        for (kind, _), pairs in loaded.values.items()
        for pair, reference in pairs.items()
        if reference not in loaded.search(kind, pair)
    ]
    assert missed == []


def test_what_is_missing_and_what_is_not_are_everything(loaded: Loaded) -> None:
    for kind, code, of in loaded.parameters:
        if of != "composite":
            without = loaded.search(kind, (f"{code}:missing", "true"))
            with_it = loaded.search(kind, (f"{code}:missing", "false"))
            assert sorted(without + with_it) == sorted(loaded.of(kind)), (kind, code)


def test_what_has_a_token_and_what_has_not_are_everything(loaded: Loaded) -> None:
    def is_plain(pair: Pair) -> bool:
        return ":" not in pair[0]

    for kind, code, (name, value) in loaded.asked(is_plain):
        if code != "_id" and parameters_for(kind)[code].type == "token":
            both = loaded.search(kind, (name, value)) + loaded.search(kind, (f"{name}:not", value))
            assert sorted(both) == sorted(loaded.of(kind)), (kind, code)


def test_pages_joined_are_the_whole_and_counted(loaded: Loaded) -> None:
    for kind, _, pair in loaded.asked():
        for sort in ("-_lastUpdated", "_id"):
            asked = [pair, ("_sort", sort)]
            whole, after, joined = loaded.search(kind, *asked), None, []
            query = parse_query(kind, [*asked, ("_count", "7"), ("_total", "accurate")])
            for _ in range(len(whole) // 7 + 1):
                page = loaded.repository.search(query, after)
                joined += [row["_id"] for row in page.rows]
                after = page.after
                assert page.total == len(whole), (kind, pair)
                if after is None:
                    break
            assert (joined, after) == (whole, None), (kind, pair)


def test_a_search_by_post_answers_as_by_get(loaded: Loaded) -> None:
    for kind, _, pair in loaded.asked():
        query = urlencode([pair, ("_count", "5"), ("_total", "accurate"), ("_sort", "_id")])
        by_get = body_of(loaded.api.get(f"{kind}?{query}"))
        posted = loaded.api("POST", f"{kind}/_search", query.encode(), content_type=FORM)
        by_post = body_of(posted)
        assert posted.status_code == 200 and by_get["total"] == by_post["total"], (kind, pair)
        assert by_get.get("entry") == by_post.get("entry"), (kind, pair)


def test_sorted_is_sorted_whatever_it_is_sorted_by(loaded: Loaded) -> None:
    keys = {reference: _keys(resource) for reference, resource in loaded.records.items()}
    for kind, code, of in loaded.parameters:
        if of == "composite":
            continue
        for name, pick in ((code, min), (f"-{code}", max)):
            found = loaded.search(kind, ("_sort", name))
            assert sorted(found) == sorted(loaded.of(kind)), (kind, name)
            known = [pick(keys[each][code]) for each in found if keys[each].get(code)]
            assert known == sorted(known, reverse=pick is max), (kind, name)
            has = [bool(keys[each].get(code)) for each in found]
            assert has == sorted(has, reverse=True), (kind, name)


def _keys(resource: Json) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    indexed = index(resource)
    for term in indexed.terms:
        if term.form in TEXTS:
            found[term.parameter].append(term.value[:LONGEST])
    for each in indexed.ranges:
        found[each.parameter] += [each.lo, each.hi]
    return found


def test_from_a_value_on_and_before_it_are_all_that_have_one(loaded: Loaded) -> None:
    def is_ranged(pair: Pair) -> bool:
        return ":" not in pair[0]

    for kind, code, (name, value) in loaded.asked(is_ranged):
        if code == "_id" or parameters_for(kind)[code].type not in RANGED:
            continue
        value = split_prefix(value)[1]
        from_it = set(loaded.search(kind, (name, f"ge{value}")))
        before = set(loaded.search(kind, (name, f"lt{value}")))
        parameter = _stored_as(code, value)
        ranges = {
            each: [r for r in index(loaded.records[each]).ranges if r.parameter == parameter]
            for each in loaded.of(kind)
        }
        assert from_it | before == {each for each, found in ranges.items() if found}, (kind, name)
        for each in from_it & before:
            assert any(r.lo < r.hi for r in ranges[each]) or len(ranges[each]) > 1, (kind, name)


def _stored_as(code: str, value: str) -> str:
    unit = value.partition("|")[2]
    return f"{code}|{unit}" if unit else code
