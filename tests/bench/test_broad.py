"""The search that most records nearly answer."""

from __future__ import annotations

from hie_server.bench.broad import broad_queries
from hie_server.bench.records import Json, Records


def observation(category: str, code: str) -> Json:
    def concept(value: str) -> Json:
        return {"coding": [{"system": "urn:a", "code": value}]}

    resource = {"resourceType": "Observation", "status": "final", "code": concept(code)}
    return {**resource, **({"category": [concept(category)]} if category else {})}


def asked(*observations: Json) -> list[str]:
    return broad_queries(Records(tuple(((), each) for each in observations), {}))


def test_the_commonest_terms_with_the_rarest_and_with_a_foreign_one() -> None:
    labs = [observation("lab", "hb")] * 3 + [observation("lab", "rare")]
    rare, none = asked(*labs, observation("vitals", "pulse"))
    common = "Observation?status=final&category=urn%3Aa%7Clab&code=urn%3Aa%7C"
    assert (rare, none) == (f"{common}rare", f"{common}pulse")


def test_records_without_categories_are_not_asked() -> None:
    assert asked() == [] and asked(observation("", "hb")) == []
