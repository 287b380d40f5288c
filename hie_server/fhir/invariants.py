"""R4's invariants of severity error, as functions of an element and its resource.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
Those of everyday types are in rules.py; the others are compiled by fhirpathpy from R4's own
expressions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, Callable, Mapping

import fhirpathpy
from fhirpathpy.engine.nodes import ResourceNode
from fhirpathpy.models import models

from hie_server.fhir.rules import NATIVE, Json

# Answered by the validator itself, or (ctm-1) only by who can follow a reference.
ELSEWHERE = frozenset(["dom-2", "dom-3", "dom-4", "dom-5", "ele-1", "ref-1", "txt-1", "txt-2"])
UNANSWERED = frozenset(["ctm-1"])
TRACE = re.compile(r"\.trace\('[^']*'(?:, *\w+)?\)")


@dataclass(frozen=True)
class Invariant:
    """`holds(element, resource)`; `is_costly` where it takes FHIRPath."""

    key: str
    expression: str
    holds: Callable[[Any, Json], bool]
    is_costly: bool


def invariants(rules: Mapping[str, str], path: str) -> tuple[Invariant, ...]:
    """Those of `rules` (key → expression) to be evaluated on the element at `path`."""
    wanted = rules.keys() - ELSEWHERE - UNANSWERED
    return tuple(_invariant(key, rules[key], path) for key in sorted(wanted))


def _invariant(key: str, expression: str, path: str) -> Invariant:
    if key in NATIVE:
        return Invariant(key, expression, NATIVE[key], False)
    return Invariant(key, expression, _by_fhirpath(expression, path), True)


def _by_fhirpath(expression: str, path: str) -> Callable[[Any, Json], bool]:
    """An empty answer is none: an invariant has to be true."""

    def holds(element: Any, resource: Json) -> bool:
        node = ResourceNode.create_node(_plain(element), path)  # type: ignore[no-untyped-call]
        variables = {"resource": _plain(resource)} if "%resource" in expression else {}
        return bool(_compiled(expression)(node, variables) not in ([], [False]))

    return holds


@cache
def _compiled(expression: str) -> Callable[[Any, Json], Any]:
    # trace() writes what it sees to the standard output.
    return fhirpathpy.compile(TRACE.sub("", expression), models["r4"])


def _plain(value: Any) -> Any:
    """A copy with floats, which is all that fhirpathpy can calculate with."""
    if type(value) is dict:
        return {key: _plain(child) for key, child in value.items()}
    if type(value) is list:
        return [_plain(child) for child in value]
    return float(value) if type(value) is Decimal else value
