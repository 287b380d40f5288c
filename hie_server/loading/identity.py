"""Who is who in a load: the ids that resources get, and what references mean by them.

An id is a keyed hash of the custodian and of what the resource is known by in its source, so that
a second run finds what the first one wrote, and nobody else's ids can be guessed. A reference is
rewritten to the id of what it names only where that is in this run, or in the store under the id
that an earlier run gave it. Any Type/id could be rewritten without looking; but then a reference
to something never loaded would lose the name that its source knows it by, which somebody may
still need to find it. Since it stays, a later run that brings its target mends it.

Of a run's sources and identifiers only keyed hashes are held.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, Iterator
from urllib.parse import parse_qsl

from hie_server.fhir.definitions import resource_types
from hie_server.fhir.outcomes import FhirError
from hie_server.fhir.query import parse_query
from hie_server.fhir.references import read_target
from hie_server.fhir.resources import dump, literal_references
from hie_server.fhir.transactions import CONDITIONAL
from hie_server.loading.entries import Entry, Unit
from hie_server.store.access import EXCHANGE, Access
from hie_server.store.database import Store
from hie_server.store.repository import Repository

MOST_CACHED = 100_000
SEPARATORS = re.compile(r"(?<!\\)[,$]")


@dataclass
class Names:
    """What is known in one run of one custodian's."""

    store: Store
    custodian: str
    zone: tzinfo
    _sources: dict[bytes, str] = field(default_factory=dict)
    _identifiers: dict[bytes, str] = field(default_factory=dict)
    _cache: dict[str, str | None] = field(default_factory=dict)

    def add(self, entry: Entry) -> bool:
        """An entry of this run; False where its source has been named before."""
        reference, key = self._derived(entry), self._key(entry.source or self._content(entry))
        is_new = key not in self._sources
        if entry.if_none_exist:
            reference = self._existing(entry) or reference
        self._sources[key] = reference
        for asked in _identifiers(entry.resource):
            known = self._identifiers.setdefault(self._key(entry.kind, asked), reference)
            if known != reference:
                self._identifiers[self._key(entry.kind, asked)] = ""
        return is_new

    def reference(self, entry: Entry) -> str:
        """"Type/id" under which the entry is stored."""
        return self._sources.get(
            self._key(entry.source or self._content(entry)), self._derived(entry)
        )

    def is_another(self, entry: Entry) -> bool:
        """Whether what it is to create (ifNoneExist) is there under an id of its own."""
        return self.reference(entry) != self._derived(entry)

    def meanings(self, entry: Entry, unit: Unit) -> tuple[dict[str, str], int]:
        """Each reference of the resource that means something here → "Type/id"; and the number
        of conditional ones that don't."""
        found: dict[str, str] = {}
        unresolved = 0
        for text in dict.fromkeys(literal_references(entry.resource)):
            if _is_conditional(text):
                meant = self._conditional(text)
                unresolved += meant is None
            else:
                meant = self._literal(text, entry, unit)
            if meant is not None:
                found[text] = meant
        return found, unresolved

    def _literal(self, text: str, entry: Entry, unit: Unit) -> str | None:
        target = read_target(text)
        if text.startswith("#") or target.url in entry.inside:
            return None
        names = [target.url]
        if target.is_relative:
            near = [unit.names.get(target.url), entry.base and entry.base + target.url]
            names = [each for each in near if each] + names
        for name in names:
            known = self._sources.get(self._key(name))
            if known is not None:
                return known
        return next(filter(None, (self._earlier(target.type, each) for each in names)), None)

    def _earlier(self, kind: str, source: str) -> str | None:
        """What an earlier run stored under this source. A urn tells no type to look for."""
        if not kind:
            return None
        reference = f"{kind}/{self._id(source)}"
        if reference not in self._cache:
            is_there = self._repository(self.custodian).sees([reference])
            self._remember(reference, reference if is_there else None)
        return self._cache[reference]

    def _conditional(self, text: str) -> str | None:
        """What `Type?query` means: one resource of this run, else of the custodian's, else of the
        directory; of several none."""
        if text not in self._cache:
            kind, _, query = text.partition("?")
            key = self._key(kind, _identifier_asked(query))
            if key in self._identifiers:
                meant = self._identifiers[key] or None
            else:
                meant = self._stored(kind, query, self.custodian)
                meant = meant or self._stored(kind, query, EXCHANGE)
            self._remember(text, meant)
        return self._cache[text]

    def _existing(self, entry: Entry) -> str | None:
        key = self._key(entry.kind, _identifier_asked(entry.if_none_exist))
        known = self._identifiers.get(key)
        return known or self._stored(entry.kind, entry.if_none_exist, self.custodian)

    def _stored(self, kind: str, query: str, custodian: str) -> str | None:
        try:
            pairs = [*parse_qsl(query, keep_blank_values=True), ("_count", "2")]
            page = self._repository(custodian).search(parse_query(kind, pairs, zone=self.zone))
        except FhirError:
            return None
        return str(page.rows[0]["_id"]) if len(page.rows) == 1 else None

    def _repository(self, custodian: str) -> Repository:
        return Repository(self.store, Access(custodian=custodian), self.zone)

    def _remember(self, text: str, meant: str | None) -> None:
        if len(self._cache) >= MOST_CACHED:
            self._cache.clear()
        self._cache[text] = meant

    def _derived(self, entry: Entry) -> str:
        return f"{entry.kind}/{self._id(entry.source or self._content(entry))}"

    def _content(self, entry: Entry) -> str:
        """What has no name is known by what it says: the same again is the same resource."""
        return f"content {dump(entry.resource).decode()}"

    def _id(self, source: str) -> str:
        return self.store.seal.derive_id("load", self.custodian, source)

    def _key(self, *parts: str) -> bytes:
        return self.store.seal.term("load", *parts)


def _is_conditional(text: str) -> bool:
    found = CONDITIONAL.fullmatch(text)
    return found is not None and found[1] in resource_types()


def _identifier_asked(query: str) -> str:
    """The value of a query that asks for one identifier and nothing else, or ""."""
    pairs = parse_qsl(query, keep_blank_values=True)
    if len(pairs) != 1 or pairs[0][0] != "identifier" or SEPARATORS.search(pairs[0][1]):
        return ""
    return re.sub(r"\\(.)", r"\1", pairs[0][1])


def _identifiers(resource: dict[str, Any]) -> Iterator[str]:
    """Each form in which `identifier=` can ask for the resource: system|value, value."""
    told = resource.get("identifier")
    for each in told if isinstance(told, list) else [told]:
        if isinstance(each, dict) and isinstance(each.get("value"), str):
            yield f"{each.get('system', '')}|{each['value']}"
            yield each["value"]
