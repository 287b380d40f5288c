"""OperationOutcome, and the one exception that carries it.

https://hl7.org/fhir/R4/operationoutcome.html
https://hl7.org/fhir/R4/valueset-issue-type.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Issue:
    """One fault: an issue-type `code`, what is wrong and would be right, where (FHIRPath)."""

    code: str
    diagnostics: str
    expression: str = ""
    severity: str = "error"

    def as_json(self) -> dict[str, Any]:
        issue: dict[str, Any] = {"severity": self.severity, "code": self.code}
        issue["diagnostics"] = _seen(self.diagnostics)
        if self.expression:
            issue["expression"] = [_seen(self.expression)]
        return issue


def _seen(text: str) -> str:
    """Input that is quoted may hold what no FHIR string may."""
    return _UNSEEN.sub("\ufffd", text)


def outcome(issues: Sequence[Issue]) -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [issue.as_json() for issue in issues]}


class FhirError(Exception):
    """A request that can't be served: it knows its status, headers and OperationOutcome.

    `reason` is for the log and the journal only; it never reaches the caller.
    """

    def __init__(
        self,
        status: int,
        issues: Sequence[Issue],
        headers: Mapping[str, str] | None = None,
        reason: str = "",
    ):
        super().__init__(f"{status}: {'; '.join(issue.diagnostics for issue in issues)}")
        self.status = status
        self.issues = tuple(issues)
        self.headers = dict(headers or {})
        self.reason = reason

    def outcome(self) -> dict[str, Any]:
        return outcome(self.issues)


def bad_request(diagnostics: str, expression: str = "", code: str = "invalid") -> FhirError:
    return FhirError(400, [Issue(code, diagnostics, expression)])


def unprocessable(issues: Sequence[Issue]) -> FhirError:
    """Readable, but not what R4 or the exchange's rules allow (422)."""
    return FhirError(422, issues)


def forbidden(diagnostics: str, reason: str = "") -> FhirError:
    return FhirError(403, [Issue("forbidden", diagnostics)], reason=reason)


def not_found(reason: str = "") -> FhirError:
    """The same words for absent and for hidden, naming neither type nor id."""
    return FhirError(404, [Issue("not-found", "No such resource.")], reason=reason)
