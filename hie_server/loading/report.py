"""What became of a load: counts by type, and why what was refused was.

A record's own values are never in it: places, types, element paths and rules are.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Iterator, Sequence

from hie_server.fhir.outcomes import Issue

COLUMNS = ("new", "updated", "unchanged", "refused")
MOST_PLACES = 5
MOST_GROUPS = 1_000
VALUE = re.compile(r'"[^"]*"')
NUMBER = re.compile(r"\bnot -?\d[\d.eE+-]*")
POSITION = re.compile(r"\[\d+\]")
COORDINATES = re.compile(r"line \d+, column \d+: ")


@dataclass
class Group:
    """`count`: of what · `times`: places where it happened, the first of them in `places`."""

    count: int = 0
    times: int = 0
    places: list[str] = field(default_factory=list)

    def add(self, place: str, count: int = 1) -> None:
        self.count += count
        self.times += 1
        if len(self.places) < MOST_PLACES:
            self.places.append(place)

    def lines(self) -> Iterator[str]:
        yield from (f"      {each}" for each in self.places)
        if self.times > len(self.places):
            yield f"      and {self.times - len(self.places):,} more places"


@dataclass
class Report:
    """`counts`: type → what became of its resources · `stopped`: on request, before the end."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    refusals: dict[str, Group] = field(default_factory=dict)
    warnings: dict[str, Group] = field(default_factory=dict)
    skipped: dict[str, Group] = field(default_factory=dict)
    stopped: bool = False

    def count(self, kind: str, what: str, number: int = 1) -> None:
        self.counts.setdefault(kind or "(unreadable)", Counter())[what] += number

    def refuse(self, place: str, kind: str, issues: Sequence[Issue]) -> None:
        """One resource (or line, or file) is refused, for each of these reasons."""
        self.count(kind, "refused")
        for reason in dict.fromkeys(_reason(kind, each) for each in issues):
            self._group(self.refusals, reason).add(place)

    def warn(self, place: str, warning: str, count: int = 1) -> None:
        self._group(self.warnings, warning).add(place, count)

    def skip(self, place: str, why: str) -> None:
        self._group(self.skipped, why).add(place)

    @property
    def is_complete(self) -> bool:
        return not self.refusals and not self.stopped

    @property
    def total(self) -> Counter[str]:
        return sum(self.counts.values(), Counter())

    def lines(self, seconds: float) -> Iterator[str]:
        yield from self._table()
        for title, groups in (
            ("Refused", self.refusals),
            ("Warnings", self.warnings),
            ("Skipped", self.skipped),
        ):
            yield from _section(title, groups)
        if self.stopped:
            yield "\nStopped on request: what was not written yet is not counted here."
        number = self.total.total()
        yield f"\n{number:,} resources in {seconds:.1f} s: {number / max(seconds, 0.001):,.0f}/s."

    def _table(self) -> Iterator[str]:
        width = max((len(each) for each in self.counts), default=5)
        yield _row("", COLUMNS, width)
        for kind, counts in sorted(self.counts.items()):
            yield _row(kind, [f"{counts[each]:,}" for each in COLUMNS], width)
        total = self.total
        yield _row("total", [f"{total[each]:,}" for each in COLUMNS], width)

    def _group(self, groups: dict[str, Group], name: str) -> Group:
        if name not in groups and len(groups) >= MOST_GROUPS:
            name = "for further reasons"
        return groups.setdefault(name, Group())


def _row(name: str, cells: Sequence[str], width: int) -> str:
    return f"{name:{width}}" + "".join(f"{each:>11}" for each in cells)


def _section(title: str, groups: dict[str, Group]) -> Iterator[str]:
    if groups:
        yield f"\n{title}:"
    for reason, group in groups.items():
        yield f"  {group.count:,}: {reason}"
        yield from group.lines()


def _reason(kind: str, issue: Issue) -> str:
    """The same for every resource with the same fault: no positions, no values."""
    where = POSITION.sub("", issue.expression) or kind
    said = NUMBER.sub("not this number", VALUE.sub('"…"', issue.diagnostics))
    return f"{where}: {COORDINATES.sub('', said)} ({issue.code})".removeprefix(": ")
