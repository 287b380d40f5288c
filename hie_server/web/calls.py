"""A call of an operation: what its handler is given.

https://hl7.org/fhir/R4/operations.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from flask import Response

from hie_server.fhir.parameters import Given


@dataclass(frozen=True)
class Call:
    """`kind` None: asked of the whole system; `identity` None: of the type."""

    kind: str | None
    identity: str | None
    given: Given

    def one(self, name: str, default: Any = None) -> Any:
        """The value of a parameter that may be given once."""
        return next(iter(self.given.get(name, ())), default)

    def all(self, name: str) -> list[Any]:
        return self.given.get(name, [])


Handler = Callable[[Call], Response]
