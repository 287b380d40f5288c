"""The FHIRPath that search parameters need, compiled to closures.

    expression := union [ "!=" literal ] { "and" … }        union := term { "|" term }
    term := name | "(" term "as" Type ")", then { "." name | "." function | "[" n "]" | "as" Type }
    function := where(…) as(T) ofType(T) extension(url) exists()

Each step knows the types it starts from, so choice elements are looked up by their JSON names and
every value comes with its FHIR type. `resolve() is T` goes by the reference's own text: nothing is
fetched. https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.expression
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Callable, Mapping

from hie_server.fhir.definitions import Element, types
from hie_server.fhir.references import type_of

Found = tuple[Any, str]
Step = Callable[[list[Found]], list[Found]]
Find = Callable[[Mapping[str, Any]], list[Found]]
Kinds = frozenset[str]

_TOKEN = re.compile(r"\s*('[^']*'|\w+|!=|[.()|\[\]=])")
_TOKENS = re.compile(rf"(?:{_TOKEN.pattern})+\s*")


@cache
def compile_expression(expression: str, kind: str) -> Find:
    """What an expression finds in a resource of type `kind`: values, each with its FHIR type.

    Arms of a union that start at another type are left out. ValueError if none is left, or if the
    expression isn't understood.
    """
    parser = _Parser(expression, kind)
    step = parser.conjunction()
    parser.end()
    return lambda resource: step([(resource, kind)])


class _Parser:
    def __init__(self, expression: str, kind: str):
        self.expression, self.kind = expression, kind
        if not _TOKENS.fullmatch(expression):
            raise self.fault("a character")
        self.tokens = _TOKEN.findall(expression)

    def fault(self, what: str) -> ValueError:
        return ValueError(f"FHIRPath not understood: {what} in {self.expression!r}")

    def took(self, *wanted: str) -> bool:
        if tuple(self.tokens[: len(wanted)]) != wanted:
            return False
        del self.tokens[: len(wanted)]
        return True

    def expect(self, wanted: str) -> None:
        if not self.took(wanted):
            raise self.fault(f"{wanted!r} expected, {self.tokens[:1]} found")

    def word(self) -> str:
        if not self.tokens:
            raise self.fault("its end")
        return str(self.tokens.pop(0))

    def end(self) -> None:
        if self.tokens:
            raise self.fault(f"{self.tokens[0]!r}")

    def conjunction(self) -> Step:
        terms = [self.comparison()]
        while self.took("and"):
            terms.append(self.comparison())
        return terms[0] if len(terms) == 1 else _all_of(terms)

    def comparison(self) -> Step:
        found = self.union()
        return _differs(found, self.literal()) if self.took("!=") else found

    def union(self) -> Step:
        arms = [self.term()]
        while self.took("|"):
            arms.append(self.term())
        concerned = [arm for arm in arms if arm is not None]
        if not concerned:
            raise self.fault(f"nothing of {self.kind}")
        return concerned[0] if len(concerned) == 1 else _union(concerned)

    def term(self) -> Step | None:
        """None if it starts at another type."""
        is_grouped = self.took("(")
        root = self.tokens[0] if self.tokens and self.tokens[0][0].isupper() else ""
        is_own = not root or root in ("Resource", "DomainResource", self.kind)
        kinds = frozenset({self.kind if is_own else root})
        steps: list[Step] = []
        if root:
            self.word()
        else:
            kinds = self.step(steps, kinds)
        kinds = self.further(steps, kinds)
        if is_grouped:
            self.expect(")")
            self.further(steps, kinds)
        return _chain(steps) if is_own else None

    def further(self, steps: list[Step], kinds: Kinds) -> Kinds:
        while self.tokens[:1] in (["."], ["["]):
            self.took(".")
            kinds = self.step(steps, kinds)
        return kinds

    def step(self, steps: list[Step], kinds: Kinds) -> Kinds:
        """Adds one step; returns the types that its values can have."""
        if self.took("["):
            steps.append(_item(int(self.word())))
            self.expect("]")
            return kinds
        name = self.word()
        if self.took("("):
            return self.function(name, steps, kinds)
        rows = {kind: self.rows(kind, name) for kind in kinds}
        wanted = self.narrowing()
        if wanted:
            rows = {k: tuple(r for r in row if _is_a(r[1], wanted)) for k, row in rows.items()}
            if not any(rows.values()):
                raise self.fault(f"{name} is never a {wanted}")
        steps.append(_children(rows))
        return frozenset(child for row in rows.values() for _, child in row)

    def rows(self, kind: str, name: str) -> tuple[tuple[str, str], ...]:
        element = _elements(kind).get(name)
        if element is None:
            raise self.fault(f"{kind} has no {name!r}, as")
        return tuple((element.json_name(each), each) for each in element.types)

    def narrowing(self) -> str:
        """The T of `as T`, `.as(T)` or `.ofType(T)`, or ""."""
        if self.took("as"):
            return self.word()
        if self.took(".", "as", "(") or self.took(".", "ofType", "("):
            wanted = self.word()
            self.expect(")")
            return wanted
        return ""

    def function(self, name: str, steps: list[Step], kinds: Kinds) -> Kinds:
        if name == "where":
            steps.append(_where(self.condition()))
        elif name == "extension":
            steps.append(_extension_values(self.literal()))
            kinds = frozenset(_elements("Extension")["value"].types)
        elif name == "exists":
            steps.append(_exists)
            kinds = frozenset({"boolean"})
        else:
            raise self.fault(f"{name}()")
        self.expect(")")
        return kinds

    def condition(self) -> Callable[[Any], bool]:
        if self.took("resolve", "(", ")", "is"):
            wanted = self.word()
            return lambda value: type_of(value) == wanted
        if self.took("hasExtension", "("):
            url = self.literal()
            self.expect(")")
            return lambda value: any(each.get("url") == url for each in value.get("extension", ()))
        name = self.word()
        self.expect("=")
        expected = self.literal()
        return lambda value: bool(value.get(name) == expected)

    def literal(self) -> Any:
        word = self.word()
        if word in ("true", "false"):
            return word == "true"
        if not word.startswith("'"):
            raise self.fault(f"{word!r}")
        return word[1:-1]


@cache
def _elements(kind: str) -> Mapping[str, Element]:
    return {element.name: element for element in types()[kind].elements}


def _is_a(kind: str, wanted: str) -> bool:
    """R4 writes DateTime for dateTime once, so the first letter's case doesn't count."""
    while kind:
        if kind[1:] == wanted[1:] and kind[0].lower() == wanted[0].lower():
            return True
        kind = types()[kind].base
    return False


def _chain(steps: list[Step]) -> Step:
    if len(steps) == 1:
        return steps[0]

    def run(nodes: list[Found]) -> list[Found]:
        for step in steps:
            nodes = step(nodes)
        return nodes

    return run


def _children(rows: Mapping[str, tuple[tuple[str, str], ...]]) -> Step:
    choices = [row for row in rows.values() if len(row) > 1]
    if len(rows) == 1 and not choices:
        return _child(*next(iter(rows.values()))[0])

    def run(nodes: list[Found]) -> list[Found]:
        found: list[Found] = []
        for node, kind in nodes:
            for name, child in rows[kind]:
                value = node.get(name)
                if isinstance(value, list):
                    found.extend([(each, child) for each in value if each is not None])
                elif value is not None:
                    found.append((value, child))
        return found

    return run


def _child(name: str, kind: str) -> Step:
    def run(nodes: list[Found]) -> list[Found]:
        found: list[Found] = []
        for node, _ in nodes:
            value = node.get(name)
            if isinstance(value, list):
                found.extend([(each, kind) for each in value if each is not None])
            elif value is not None:
                found.append((value, kind))
        return found

    return run


def _item(n: int) -> Step:
    return lambda nodes: nodes[n : n + 1]


def _where(condition: Callable[[Any], bool]) -> Step:
    return lambda nodes: [found for found in nodes if condition(found[0])]


def _extension_values(url: str) -> Step:
    """A search parameter on an extension means its value."""
    names = [(f"value{t[0].upper()}{t[1:]}", t) for t in _elements("Extension")["value"].types]

    def run(nodes: list[Found]) -> list[Found]:
        extensions = [each for node, _ in nodes for each in node.get("extension", ())]
        chosen = [each for each in extensions if each.get("url") == url]
        return [(each[name], t) for each in chosen for name, t in names if name in each]

    return run


def _exists(nodes: list[Found]) -> list[Found]:
    return [(bool(nodes), "boolean")]


def _union(arms: list[Step]) -> Step:
    return lambda nodes: [found for arm in arms for found in arm(nodes)]


def _all_of(terms: list[Step]) -> Step:
    def run(nodes: list[Found]) -> list[Found]:
        return [(all(term(nodes)[:1] == [(True, "boolean")] for term in terms), "boolean")]

    return run


def _differs(found: Step, literal: Any) -> Step:
    def run(nodes: list[Found]) -> list[Found]:
        values = found(nodes)
        return [(values[0][0] != literal, "boolean")] if values else []

    return run
