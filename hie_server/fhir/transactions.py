"""Batch and transaction Bundles as they come in: entries, their order, their references.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping

from hie_server.fhir.definitions import resource_types
from hie_server.fhir.outcomes import FhirError, Issue, bad_request, unprocessable
from hie_server.fhir.resources import is_id

MOST_ENTRIES = 1_000
ORDER = ("DELETE", "POST", "PUT", "GET", "HEAD")
TEXTS = ("method", "url", "ifMatch", "ifNoneExist")
ETAG = re.compile(r'W/"([1-9][0-9]{0,8})"')
CONDITIONAL = re.compile(r"([A-Z][A-Za-z]+)\?(.+)")
# Elements whose value may name another entry of the Bundle.
LINKS = ("reference", "url", "uri")


@dataclass(frozen=True)
class Request:
    """One entry: `place` its FHIRPath · `identity` "" where the URL names a type alone · `rest`:
    "_history/2" or "" · `query`: behind the "?"."""

    place: str
    method: str
    kind: str
    identity: str
    rest: str
    query: str
    resource: dict[str, Any] | None
    full_url: str
    if_match: int | None
    if_none_exist: str

    @property
    def reference(self) -> str:
        return f"{self.kind}/{self.identity}"


def check(bundle: Mapping[str, Any]) -> None:
    """413 for too many entries, 400 for a Bundle that isn't to be carried out."""
    if bundle.get("type") not in ("batch", "transaction"):
        diagnostics = "Only a Bundle of type batch or transaction is carried out at the base."
        raise bad_request(diagnostics, "Bundle.type")
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise bad_request("The entries must be an array.", "Bundle.entry", "structure")
    if len(entries) > MOST_ENTRIES:
        issue = Issue("too-long", f"A Bundle may have {MOST_ENTRIES} entries.", "Bundle.entry")
        raise FhirError(413, [issue])


def read_entry(entry: Any, place: str, base: str) -> Request:
    """FhirError 400 names the entry and what is wrong with its request."""
    request = _request(entry, place)
    method, url = request["method"], request["url"].removeprefix(f"{base}/")
    path, _, query = url.partition("?")
    steps: list[str] = [*path.strip("/").split("/"), ""]
    kind, identity, rest = steps[0], steps[1], steps[2:]
    if method not in ORDER:
        methods = ", ".join(ORDER)
        raise bad_request(f"The method must be one of {methods}.", f"{place}.request.method")
    if kind not in resource_types() or identity and not is_id(identity):
        raise bad_request("The url must be Type, Type/id or Type?query.", f"{place}.request.url")
    needed = {"POST": not identity, "PUT": bool(identity), "DELETE": bool(identity)}
    if not needed.get(method, True) or query and method not in ("GET", "HEAD"):
        wrong = f"{method} does not go with this url (conditional urls are not served)."
        raise FhirError(400, [Issue("not-supported", wrong, f"{place}.request.url")])
    return Request(
        place,
        method,
        kind,
        identity,
        "/".join(rest).rstrip("/"),
        query,
        _resource(entry, method, kind, identity, place),
        entry.get("fullUrl", ""),
        _if_match(request.get("ifMatch"), place),
        request.get("ifNoneExist", ""),
    )


def _request(entry: Any, place: str) -> dict[str, str]:
    """Its request, each part a text."""
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict) or not {"method", "url"} <= request.keys():
        raise bad_request("The entry needs a request with method and url.", f"{place}.request")
    parts = {name: request[name] for name in TEXTS if name in request}
    wrong = [name for name, value in parts.items() if not isinstance(value, str)]
    if wrong:
        raise bad_request("It must be a text.", f"{place}.request.{wrong[0]}", "structure")
    if "ifNoneExist" in parts and not parts["ifNoneExist"].lstrip("?"):
        raise bad_request("It must be a search, like identifier=7.", f"{place}.request.ifNoneExist")
    if not isinstance(entry.get("fullUrl", ""), str):
        raise bad_request("It must be a text.", f"{place}.fullUrl", "structure")
    return parts


def _resource(
    entry: Mapping[str, Any], method: str, kind: str, identity: str, place: str
) -> dict[str, Any] | None:
    if method not in ("POST", "PUT"):
        return None
    resource = entry.get("resource")
    if not isinstance(resource, dict) or resource.get("resourceType") != kind:
        raise bad_request(f"The entry needs a resource of type {kind}.", f"{place}.resource")
    if method == "PUT" and resource.get("id") != identity:
        raise bad_request("The resource's id must be the url's.", f"{place}.resource.id")
    return resource


def _if_match(text: str | None, place: str) -> int | None:
    if text is None:
        return None
    found = ETAG.fullmatch(text)
    if found is None:
        raise bad_request('ifMatch must be a weak ETag, W/"n".', f"{place}.request.ifMatch")
    return int(found[1])


def check_distinct(requests: list[Request]) -> None:
    """No two entries may write the same resource, nor go by the same fullUrl."""
    seen: set[str] = set()
    for each in requests:
        for name in _names(each):
            if name in seen:
                twice = "Two entries are about the same resource."
                raise FhirError(400, [Issue("duplicate", twice, each.place)])
            seen.add(name)


def _names(request: Request) -> set[str]:
    names = {request.full_url} if request.full_url else set()
    if request.method in ("PUT", "DELETE"):
        names.add(request.reference)
    return names


def resolved(value: Any, find: Callable[[str], str | None], name: str = "") -> Any:
    """The resource with each reference replaced by what `find` says it means, if it does."""
    if isinstance(value, dict):
        return {key: resolved(each, find, key) for key, each in value.items()}
    if isinstance(value, list):
        return [resolved(each, find, name) for each in value]
    if isinstance(value, str) and name in LINKS:
        return find(value) or value
    return value


def conditional_references(value: Any, name: str = "") -> Iterator[tuple[str, str, str]]:
    """(reference, type, query) of each `Type?query`, the resource that it describes."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from conditional_references(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from conditional_references(each, name)
    elif isinstance(value, str) and name == "reference":
        found = CONDITIONAL.fullmatch(value)
        if found is not None and found[1] in resource_types():
            yield value, found[1], found[2]


def unresolved(reference: str, number: int) -> FhirError:
    """A conditional reference must mean exactly one of the caller's own resources."""
    kind = reference.partition("?")[0]
    diagnostics = f"A conditional reference to {kind} finds {number} of your own, not one."
    return unprocessable([Issue("multiple-matches" if number else "not-found", diagnostics)])
