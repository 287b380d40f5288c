"""A search that most records of a type nearly answer: what an index can do least about."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import quote

from hie_server.bench.records import Json, Records


def broad_queries(source: Records) -> list[str]:
    """(rare, none): Observations of the commonest status and category, with the rarest code that
    such have, and with one that only others have; [] where there are none."""
    tallied: dict[str, Counter[str]] = {"status": Counter(), "category": Counter()}
    observations = [each for _, each in source.named if each["resourceType"] == "Observation"]
    for each in observations:
        tallied["status"][each["status"]] += 1
        tallied["category"].update(_tokens(each.get("category", [])))
    if not tallied["category"]:
        return []
    common = {name: each.most_common(1)[0][0] for name, each in tallied.items()}
    those, others = Counter[str](), Counter[str]()
    for each in observations:
        alike = common["category"] in _tokens(each.get("category", []))
        (those if alike else others).update(_tokens([each["code"]]))
    codes = [those.most_common()[-1][0], next(iter(others.keys() - those.keys()), "none")]
    return [_query({**common, "code": code}) for code in codes]


def _tokens(concepts: list[dict[str, Any]]) -> list[str]:
    return [_token(coding) for each in concepts for coding in each.get("coding", [])]


def _token(coding: Json) -> str:
    return f"{coding.get('system', '')}|{coding.get('code', '')}"


def _query(pairs: dict[str, str]) -> str:
    return "Observation?" + "&".join(f"{name}={quote(text)}" for name, text in pairs.items())
