"""One load: first who is who in all its files, then resource by resource into the store.

Resources are written by the same rules as a request's of that client, a few hundred in a
transaction with the journal's entry; a transaction Bundle is one of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Callable, Sequence

from pymongo.errors import DuplicateKeyError

from hie_server.authz.tokens import Caller
from hie_server.fhir.outcomes import FhirError, Issue
from hie_server.fhir.transactions import resolved
from hie_server.loading.custody import Custody
from hie_server.loading.entries import Entry, Unit, relative_full_urls, units
from hie_server.loading.identity import Names
from hie_server.loading.report import Report
from hie_server.loading.sources import Document, Source, documents
from hie_server.store.database import Store
from hie_server.store.writing import Write

MOST_WRITES = 200
MOST_BYTES = 8 * 1024 * 1024
RELATIVE = "fullUrls that aren't absolute: taken as they are"
UNRESOLVED = "conditional references that find not exactly one resource: kept as they are"
TWICE = "sources named again in this run: the last one counts"

Advance = Callable[[int], None]
Planned = tuple[Entry, Write]


@dataclass
class Load:
    """`caller`: the client as whom it is loaded, for its facility."""

    store: Store
    zone: tzinfo
    caller: Caller
    report: Report
    pending: list[Planned] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.custody = Custody(self.store, self.zone, self.caller)
        self.names = Names(self.store, self.custody.custodian, self.zone)

    def run(self, sources: Sequence[Source], advance: Advance) -> None:
        """`advance` is told of each byte twice: in the first pass and in the second.
        KeyboardInterrupt ends the load, not the report."""
        try:
            for source in sources:
                self._each(source, self._learn, advance)
            for source in sources:
                self._each(source, self._load, advance)
            self._flush()
        except KeyboardInterrupt:
            self.report.stopped = True

    def _each(self, source: Source, act: Callable[[Document], None], advance: Advance) -> None:
        left = source.size
        for document in documents(source):
            act(document)
            if not source.is_zipped:
                advance(document.size)
                left -= document.size
        advance(max(left, 0))

    def _learn(self, document: Document) -> None:
        if document.value is None or "resourceType" not in document.value:
            return
        for unit in units(document.value, document.place, 0, lambda *_: None):
            for entry in unit.entries:
                if not self.names.add(entry):
                    self.report.warn(entry.place, TWICE)

    def _load(self, document: Document) -> None:
        if document.value is None:
            fault = document.fault or Issue("incomplete", "It can't be read.")
            self.report.refuse(document.place, "", [fault])
            return
        if "resourceType" not in document.value:
            self.report.skip(document.place, "not FHIR: no resourceType")
            return
        relative = relative_full_urls(document.value)
        if relative:
            self.report.warn(document.place, RELATIVE, relative)
        for unit in units(document.value, document.place, document.size, self.report.refuse):
            if unit.is_transaction:
                self._load_together(unit)
            else:
                self._load_alone(unit)

    def _load_alone(self, unit: Unit) -> None:
        for entry in unit.entries:
            issues = self.custody.refused(entry)
            if issues:
                self.report.refuse(entry.place, entry.kind, issues)
            else:
                self._enqueue(entry, unit)

    def _enqueue(self, entry: Entry, unit: Unit) -> None:
        """A resource that comes again waits for its first to be written."""
        write = self._planned(entry, unit)
        if write is None:
            return
        if any(write.reference == each.reference for _, each in self.pending):
            self._flush()
        self.pending.append((entry, write))
        size = sum(each.size for each, _ in self.pending)
        if len(self.pending) >= MOST_WRITES or size > MOST_BYTES:
            self._flush()

    def _load_together(self, unit: Unit) -> None:
        """All of a transaction Bundle, or nothing of it."""
        self._flush()
        refused = {entry.place: self.custody.refused(entry) for entry in unit.entries}
        seen: set[str] = set()
        for entry in unit.entries:
            reference = self.names.reference(entry)
            if reference in seen and not self.names.is_another(entry):
                twice = "Two entries are about the same resource."
                refused[entry.place].append(Issue("duplicate", twice))
            seen.add(reference)
        if any(refused.values()):
            self._refuse_whole(unit, refused)
            return
        planned = [(entry, self._planned(entry, unit)) for entry in unit.entries]
        self._write_together(unit, [(entry, write) for entry, write in planned if write])

    def _refuse_whole(self, unit: Unit, refused: dict[str, list[Issue]]) -> None:
        for entry in unit.entries:
            if refused[entry.place]:
                self.report.refuse(entry.place, entry.kind, refused[entry.place])
        others = [each for each in unit.entries if not refused[each.place]]
        for entry in others:
            self.report.count(entry.kind, "refused")
        if others:
            whole = "not loaded: another entry of their transaction is refused"
            self.report.warn(unit.place, whole, len(others))

    def _planned(self, entry: Entry, unit: Unit) -> Write | None:
        if self.names.is_another(entry):
            self.report.count(entry.kind, "unchanged")
            return None
        meanings, unresolved = self.names.meanings(entry, unit)
        if unresolved:
            self.report.warn(entry.place, UNRESOLVED, unresolved)
        resource = resolved(entry.resource, meanings.get) if meanings else entry.resource
        kind, _, identity = self.names.reference(entry).partition("/")
        return Write(kind, identity, resource, upsert=True)

    def _flush(self) -> None:
        """Together, as that is faster; one by one where one of them stands in the way."""
        planned, self.pending = self.pending, []
        try:
            self._write(planned)
        except (FhirError, DuplicateKeyError):
            for each in planned:
                self._write_together(Unit(each[0].place, (each[0],)), [each])

    def _write_together(self, unit: Unit, planned: Sequence[Planned]) -> None:
        try:
            self._write(planned)
        except (FhirError, DuplicateKeyError) as error:
            known = error.issues if isinstance(error, FhirError) else ()
            issues = known or [Issue("conflict", "Its id is taken by another custodian's.")]
            first, *others = unit.entries
            self.report.refuse(unit.place, first.kind, issues)
            for entry in others:
                self.report.count(entry.kind, "refused")

    def _write(self, planned: Sequence[Planned]) -> None:
        if not planned:
            return
        writes = [write for _, write in planned]
        for version in self.custody.write(writes):
            done = "new" if version.created else "unchanged" if version.unchanged else "updated"
            self.report.count(version.reference.partition("/")[0], done)
