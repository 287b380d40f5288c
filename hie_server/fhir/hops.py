"""Chains, `_has` and `_list`: parts of a query that are searches of other types.

Parsed here, asked and put back as references by authz/hops: each is authorised by itself.
https://hl7.org/fhir/R4/search.html#chaining · https://hl7.org/fhir/R4/search.html#has
https://hl7.org/fhir/R4/search.html#list
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Callable, Mapping

from hie_server.fhir.clauses import Clause
from hie_server.fhir.definitions import SearchParameter, resource_types
from hie_server.fhir.index import parameters_for
from hie_server.fhir.outcomes import FhirError, bad_request
from hie_server.fhir.paths import compile_expression
from hie_server.fhir.references import read_target
from hie_server.fhir.resources import is_id
from hie_server.fhir.terms import Term

if TYPE_CHECKING:
    from hie_server.fhir.query import Query

MOST_HOPS = 3  # one behind the other
MOST_SEARCHES = 12  # that one parameter may need
HAS, LIST = "_has:", "_list"
# (type, name of a parameter, its value) → the query
Parse = Callable[[str, str, str], "Query"]


@dataclass(frozen=True)
class Hop:
    """What is searched of another type, in `queries`: one, or where a chain may lead to several
    types, one for each. `parameter`: the reference that leads there, of the type that is asked
    for · `back`: the reference that leads from there to it. One of the two is ""."""

    parameter: str
    back: str
    queries: tuple[Query, ...]


def is_hop(name: str) -> bool:
    return "." in name or name.startswith(HAS) or name == LIST


def read_hop(type: str, name: str, value: str, parse: Parse) -> Hop:
    """FhirError 400 says which part of the name, or of the value, can't be."""
    if name == LIST:
        if not is_id(value):
            raise bad_request("_list must be the id of one List.", LIST)
        return Hop("", "item", (parse("List", "_id", value),))
    if name.startswith(HAS):
        return _reverse(type, name, value, parse)
    first, _, rest = name.partition(".")
    return _forward(type, first, rest, value, parse)


def _reverse(type: str, name: str, value: str, parse: Parse) -> Hop:
    parts = name.split(":", 3)
    if len(parts) < 4 or not all(parts):
        raise bad_request(f"{name[:100]}: write _has:Type:reference:parameter.", name[:100])
    kind, back, rest = parts[1:]
    if kind == "AuditEvent" or kind not in resource_types():
        raise _unknown(f"{kind[:40]!r} is no type that can be searched by", name)
    parameter = _reference(kind, back, name)
    if parameter.target and type not in parameter.target:
        raise _unknown(f"{back} of {kind} doesn't refer to {type}", name)
    return Hop("", back, (parse(kind, rest, value),))


def _forward(type: str, first: str, rest: str, value: str, parse: Parse) -> Hop:
    code, _, kind = first.partition(":")
    parameter = _reference(type, code, first)
    if kind and kind not in parameter.target or first.endswith(":"):
        raise _unknown(f"{code} of {type} doesn't refer to {kind[:40]!r}", first)
    queries, faults = [], []
    for target in [kind] if kind else sorted(parameter.target):
        try:
            queries.append(parse(target, rest, value))
        except FhirError as error:
            faults.append(error)
    if sum(map(_searches, queries)) > MOST_SEARCHES:
        right = f"{first[:100]} may refer to many types: write {code}:Type.{rest[:60]}."
        raise bad_request(right, first[:100], "too-costly")
    if queries:
        return Hop(code, "", tuple(queries))
    # of several faults, one that says more than that the type hasn't the parameter
    raise min(faults, key=lambda each: each.issues[0].code == "not-supported")


def _searches(query: Query) -> int:
    return 1 + sum(_searches(each) for hop in query.hops for each in hop.queries)


def _reference(type: str, code: str, name: str) -> SearchParameter:
    parameter = parameters_for(type).get(code)
    if parameter is None or parameter.type != "reference":
        raise _unknown(f"{code[:40]!r} is no reference that {type} can be searched by", name)
    return parameter


def _unknown(fault: str, name: str) -> FhirError:
    return bad_request(f"{name[:100]}: {fault}.", name[:100], "not-supported")


def by_references(code: str, references: list[str]) -> Clause:
    """Met by what refers to any of these; by nothing where there are none."""
    if not references:
        return by_ids([])
    terms = tuple(Term(code, "reference", each) for each in references)
    return Clause(code, "reference", "", tuple(references), terms, found=True)


def by_ids(ids: list[str]) -> Clause:
    return Clause("_id", "id", "", tuple(ids), (), found=True)


def referred(resource: Mapping[str, Any], code: str, type: str) -> list[str]:
    """The ids of `type` that a resource refers to by a search parameter of its own."""
    kind = resource["resourceType"]
    find = compile_expression(parameters_for(kind)[code].expression, kind)
    texts = [value.get("reference") for value, _ in find(resource) if isinstance(value, dict)]
    targets = [read_target(each) for each in texts if isinstance(each, str)]
    return [each.id for each in targets if each.is_relative and each.type == type]


def with_hops(query: Query, clauses: list[Clause]) -> Query:
    """The query, its hops having led to these."""
    return replace(query, clauses=(*query.clauses, *clauses), hops=())
