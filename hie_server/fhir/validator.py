"""Is it valid R4? Every fault at once, each with the FHIRPath of its place.

https://hl7.org/fhir/R4/validation.html
Structure, values, required codes, reference targets and invariants; profiles are another matter.
"""

from __future__ import annotations

from typing import Any

from hie_server.fhir.definitions import resource_types, value_sets
from hie_server.fhir.invariants import Invariant
from hie_server.fhir.narrative import narrative_fault
from hie_server.fhir.outcomes import Issue
from hie_server.fhir.plans import Field, Plan, plan
from hie_server.fhir.primitives import CHECKS, FORMS, describe, shown
from hie_server.fhir.targets import Scope, contained_faults, reference_faults

MAX_ISSUES = 100
MAX_DEPTH = 64
# FHIRPath takes 0.06 ms each; R4's own definition of ExplanationOfBenefit needs 11,000.
MAX_EVALUATIONS = 15_000
MAX_CODES_NAMED = 12

Json = dict[str, Any]


class _Enough(Exception):
    """The issues are full: what is left of the resource isn't looked at."""


def validate(resource: Json, allow_conditional: bool = False) -> list[Issue]:
    """No issues where it is valid. At most 100, and then one that says there are more.

    `Type?query` is a reference in transaction and batch Bundles, elsewhere only on request.
    """
    run = _Run(Scope(allows_conditional=allow_conditional))
    try:
        run.resource(resource, "", False)
    except _Enough:
        left_out = "There are more faults than the 100 listed here."
        run.issues.append(Issue("incomplete", left_out))
    return run.issues


class _Run:
    """One validation: what was found, where it stands, how costly it has become."""

    def __init__(self, scope: Scope) -> None:
        self.issues: list[Issue] = []
        self.scope = scope
        self.depth = 0
        self.evaluations = 0

    def fault(self, path: str, code: str, diagnostics: str) -> None:
        if len(self.issues) >= MAX_ISSUES:
            raise _Enough
        self.issues.append(Issue(code, diagnostics, path))

    def resource(self, node: Any, path: str, is_contained: bool) -> None:
        kind = node.get("resourceType") if type(node) is dict else None
        if type(kind) is not str or kind not in resource_types():
            wrong = shown(kind if type(node) is dict else node)
            expected = "a resource with an R4 resource type as its resourceType"
            return self.fault(path or "Resource", "structure", f"Expected {expected}, not {wrong}.")
        path = path or kind
        outer, self.scope = self.scope, self.scope.enter(node, is_contained)
        self.element(node, kind, path)
        if not is_contained:
            for n, diagnostics in contained_faults(node):
                self.fault(f"{path}.contained[{n}]", "invariant", diagnostics)
        self.scope = outer

    def element(self, node: Json, type_name: str, path: str) -> None:
        """What a resource, datatype or backbone element carries, then its invariants."""
        if self.depth == MAX_DEPTH:
            return self.fault(path, "too-long", f"Nested deeper than {MAX_DEPTH} elements.")
        self.depth += 1
        self.properties(node, type_name, path)
        for rule in plan(type_name).rules:
            self.invariant(rule, node, path)
        self.depth -= 1

    def properties(self, node: Json, type_name: str, path: str) -> None:
        known = plan(type_name)
        fields = known.fields
        for key, value in node.items():
            field = fields.get(key)
            if field is None:
                self.unknown(key, type_name, path)
            elif field.is_list:
                self.array(key, value, field, node, path)
            elif field.check is None:
                self.complex(value, field, f"{path}.{field.name}", field.beside in node)
            elif not field.check(value):
                self.wrong(value, field, f"{path}.{field.name}")
            if field is not None and field.rules:
                self.field_rules(value, field, path)
        self.presence(node, known, path)

    def unknown(self, key: str, type_name: str, path: str) -> None:
        place = f"{path}.{key}" if key.isidentifier() and len(key) <= 40 else path
        self.fault(place, "structure", f"{type_name} has no property {shown(key)}.")

    def presence(self, node: Json, known: Plan, path: str) -> None:
        """Nothing required is missing, and of a value[x] there is only one type."""
        for name, keys in known.required:
            if keys.isdisjoint(node):
                self.fault(f"{path}.{name}", "required", f"{known.name} needs {name}.")
        for name, keys in known.choices:
            present = keys.intersection(node)
            if len(present) > 1 and len({key.removeprefix("_") for key in present}) > 1:
                which = " and ".join(sorted(present)[:5])
                self.fault(f"{path}.{name}", "structure", f"Only one of {which} can be present.")

    def field_rules(self, value: Any, field: Field, path: str) -> None:
        values = value if type(value) is list else [value]
        for n, each in enumerate(values):
            place = f"[{n}]" if field.is_list else ""
            for rule in field.rules:
                self.invariant(rule, each, f"{path}.{field.name}{place}")

    def array(self, key: str, values: Any, field: Field, node: Json, path: str) -> None:
        path = f"{path}.{field.name}"
        if type(values) is not list or not values:
            wrong = "an empty array" if values == [] else describe(values, field.type_name)
            return self.fault(path, "structure", f"Expected an array of values, not {wrong}.")
        beside = node.get(field.beside)
        if type(beside) is list and len(beside) != len(values) and not field.is_extension:
            self.fault(path, "structure", f"{key} and _{key} have to be of the same length.")
        for n, value in enumerate(values):
            if value is None and field.beside:
                self.null(beside, n, f"{path}[{n}]")
            elif field.check is None:
                has_value = type(beside) is list and beside[n : n + 1] not in ([], [None])
                self.complex(value, field, f"{path}[{n}]", has_value)
            elif not field.check(value):
                self.wrong(value, field, f"{path}[{n}]")

    def null(self, beside: Any, n: int, path: str) -> None:
        """In the two arrays of a repeating primitive, null stands for what only the other has."""
        if type(beside) is not list or beside[n : n + 1] in ([], [None]):
            self.fault(path, "structure", "null, and nothing at its place in the other array.")

    def complex(self, value: Any, field: Field, path: str, has_value: bool) -> None:
        if type(value) is not dict or not value:
            wrong = "an empty one" if value == {} else describe(value, field.type_name)
            return self.fault(path, "structure", f"Expected an object, not {wrong}.")
        if field.type_name == "Resource":
            return self.resource(value, path, field.name == "contained")
        if len(value) == 1 and "id" in value and not has_value:
            self.fault(path, "invariant", "ele-1: an element needs more than an id.")
        self.element(value, field.type_name, path)
        if field.type_name == "Reference":
            for key, diagnostics in reference_faults(value, field.targets, self.scope):
                self.fault(f"{path}.{key}", "value", diagnostics)
        elif field.codings is not None:
            self.codings(value, field, path)

    def codings(self, value: Json, field: Field, path: str) -> None:
        """A required binding: one coding is of the value set, unless an extension says why not."""
        codings, allowed = value.get("coding"), field.codings or {}
        found = [each for each in codings if type(each) is dict] if type(codings) is list else []
        if any(_is_of(each, allowed) for each in found) or not found and "extension" in value:
            return
        self.fault(path, "code-invalid", f"Expected a coding of {_codes_of(field.codes)}.")

    def wrong(self, value: Any, field: Field, path: str) -> None:
        """Say why a primitive's check failed."""
        if field.type_name == "xhtml":
            return self.fault(path, "invalid", f"A wrong narrative: {narrative_fault(value)}.")
        is_code_amiss = field.codes and CHECKS[field.type_name](value)
        expected = _codes_of(field.codes) if is_code_amiss else FORMS[field.type_name]
        found = describe(value, field.type_name)
        code = "code-invalid" if is_code_amiss else "value"
        if type(value) in (dict, list) or value is None:
            code = "structure"
        self.fault(path, code, f"Expected {expected}, not {found}.")

    def invariant(self, rule: Invariant, node: Any, path: str) -> None:
        self.evaluations += rule.is_costly
        if rule.is_costly and self.evaluations > MAX_EVALUATIONS:
            if self.evaluations == MAX_EVALUATIONS + 1:
                self.fault(path, "too-costly", f"More than {MAX_EVALUATIONS} rules to evaluate.")
            return
        try:
            holds = rule.holds(node, self.scope.resource)
        except Exception:
            # Of the wrong shape, which has been said already; a rule has nothing to add.
            return
        if not holds:
            self.fault(path, "invariant", f"{rule.key} doesn't hold: {rule.expression}")


def _is_of(coding: Json, allowed: Any) -> bool:
    system, code = coding.get("system"), coding.get("code")
    return type(system) is str and type(code) is str and code in allowed.get(system, ())


def _codes_of(url: str) -> str:
    codes = sorted(code for each in value_sets().get(url, {}).values() for code in each)
    if 0 < len(codes) <= MAX_CODES_NAMED:
        return " or ".join(codes)
    return f"a code of {url}"
