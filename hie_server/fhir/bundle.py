"""Bundles of answers: stored bytes go in as they are, no model is built.

https://hl7.org/fhir/R4/bundle.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable

import orjson


@dataclass(frozen=True)
class Entry:
    """`reference`: "Type/id" · `body`: the resource's bytes, None for a deletion · `request`:
    (method, url) and `status` only in a history."""

    reference: str
    body: bytes | None
    request: tuple[str, str] | None = None
    status: str = ""
    etag: str = ""
    updated: str = ""


def searchset(
    base: str, entries: Iterable[Entry], links: dict[str, str], total: int | None
) -> bytes:
    """`links`: relation → url."""
    return _bundle("searchset", base, entries, links, total)


def history(base: str, entries: Iterable[Entry], links: dict[str, str]) -> bytes:
    return _bundle("history", base, entries, links, None)


def _bundle(
    kind: str, base: str, entries: Iterable[Entry], links: dict[str, str], total: int | None
) -> bytes:
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": kind}
    if total is not None:
        bundle["total"] = total
    bundle["link"] = [{"relation": name, "url": url} for name, url in links.items()]
    found = [_entry(kind, base, each) for each in entries]
    if found:
        bundle["entry"] = found
    return orjson.dumps(bundle)


def _entry(kind: str, base: str, entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {"fullUrl": f"{base}/{entry.reference}"}
    if entry.body is not None:
        found["resource"] = orjson.Fragment(entry.body)
    if kind == "searchset":
        found["search"] = {"mode": "match"}
    if entry.request is not None:
        found["request"] = {"method": entry.request[0], "url": entry.request[1]}
        found["response"] = {
            "status": entry.status,
            "etag": entry.etag,
            "lastModified": entry.updated,
        }
    return found
