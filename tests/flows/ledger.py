"""What clients sent and were told, held against what the database keeps.

Each write carries a text that no other has: by it a stored version is known for the write it is
of, whether its answer came or not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import chain
from typing import Iterator, Sequence

from hie_server.audit.journal import Journal
from hie_server.fhir.resources import parse
from hie_server.store.database import Store
from hie_server.store.records import version_of

WRITING = ("create", "update", "delete", "transaction")
NO_ANSWER = 0


@dataclass
class Attempt:
    """One request that writes. `status`: HTTP's, or NO_ANSWER · `written`: of each text, the
    "Type/id/_history/version" that the answer told."""

    texts: tuple[str, ...]
    status: int = NO_ANSWER
    written: dict[str, str] = field(default_factory=dict)

    @property
    def acknowledged(self) -> bool:
        return 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """Told that nothing is done. After a 5xx, as without an answer, it may be."""
        return 400 <= self.status < 500


@dataclass(frozen=True)
class Kept:
    """All that is stored. `texts`: the version of each text, `journaled`: those that the journal
    says were written; versions are told as "Type/id/_history/version"."""

    current: dict[str, int]
    past: dict[str, set[int]]
    texts: dict[str, list[str]]
    journaled: set[str]

    @property
    def versions(self) -> set[str]:
        current = {f"{each}/_history/{number}" for each, number in self.current.items()}
        past = ((each, number) for each, numbers in self.past.items() for number in numbers)
        return current | {f"{each}/_history/{number}" for each, number in past}

    def places(self, attempt: Attempt) -> list[list[str]]:
        return [self.texts.get(text, []) for text in attempt.texts]


def kept(store: Store) -> Kept:
    """Every version's body is opened and parsed: a damaged one fails here."""
    current: dict[str, int] = {}
    past: dict[str, set[int]] = defaultdict(set)
    texts: dict[str, list[str]] = defaultdict(list)
    for row in chain(store.db.resources.find(), store.db.history.find()):
        version = version_of(row, store.seal)
        if "resource" in row:
            past[version.reference].add(version.version)
        else:
            current[version.reference] = version.version
        text = parse(version.body or b"{}").get("valueString")
        if text:
            texts[text].append(f"{version.reference}/_history/{version.version}")
    return Kept(current, past, texts, set(_journaled(store)))


def _journaled(store: Store) -> Iterator[str]:
    journal = Journal(store)
    for event in map(journal.event, store.db.journal.find()):
        if event.interaction in WRITING and event.status < 300:
            yield from (each.reference for each in event.entities if each.reference)


def faults(attempts: Sequence[Attempt], found: Kept) -> list[str]:
    """A line for each promise that is broken."""
    return [*_of_attempts(attempts, found), *_of_versions(found)]


def _of_attempts(attempts: Sequence[Attempt], found: Kept) -> Iterator[str]:
    for each in attempts:
        places = found.places(each)
        counts = Counter(len(place) for place in places)
        name = f"{each.texts[0]} ({len(each.texts)} writes, status {each.status})"
        if len(counts) > 1:
            yield f"{name} is half there: {dict(counts)} as times stored by writes"
        elif max(counts) > 1:
            yield f"{name} is stored more than once"
        elif each.refused and max(counts):
            yield f"{name} was refused, and is stored"
        elif each.acknowledged and places != [[each.written[text]] for text in each.texts]:
            yield f"{name} was acknowledged, and is not stored as told"


def _of_versions(found: Kept) -> Iterator[str]:
    for reference, number in found.current.items():
        past = found.past.get(reference, set())
        if past != set(range(1, number)):
            yield f"{reference} is at version {number}, and its history is {sorted(past)}"
    for reference in found.past.keys() - found.current.keys():
        yield f"{reference} has a history and no current version"
    for version in sorted(found.versions - found.journaled):
        yield f"{version} is stored, and not in the journal"
    for version in sorted(found.journaled - found.versions):
        yield f"{version} is in the journal, and not stored"
