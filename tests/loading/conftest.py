"""A folder to put files in, and a load of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Callable

import pytest

from hie_server.authz import clients
from hie_server.fhir.resources import dump, parse
from hie_server.identity import facilities
from hie_server.loading import sources
from hie_server.loading.command import caller_of
from hie_server.loading.report import Report
from hie_server.loading.run import Load
from hie_server.store.access import Access
from hie_server.store.database import Store
from hie_server.store.repository import Repository

Json = dict[str, Any]


@dataclass
class Ward:
    """One facility's client, and a folder that it loads from."""

    store: Store
    folder: Path
    facility: str

    def put(self, name: str, *resources: Json | bytes) -> None:
        """A file: one resource, or a line for each."""
        told = [each if isinstance(each, bytes) else dump(each) for each in resources]
        (self.folder / name).write_bytes(b"\n".join(told))

    def load(
        self, client: str = "ward", advance: Callable[[int], None] = lambda _: None
    ) -> Report:
        report = Report()
        paths = sources.find(
            [self.folder], report.skip, lambda place, issue: report.refuse(place, "", [issue])
        )
        caller = caller_of(self.store, client)
        Load(self.store, UTC, caller, report).run(list(paths), advance)
        return report

    def stored(self, kind: str) -> list[Json]:
        """The facility's resources of this type, as they are now."""
        rows = self.store.db.resources.find({"custodian": self.facility, "type": kind})
        repository = Repository(self.store, Access(custodian=self.facility))
        found = [repository.read(*row["_id"].split("/")) for row in rows]
        return [parse(each.body or b"{}") for each in found]

    def one(self, kind: str) -> Json:
        found = self.stored(kind)
        assert len(found) == 1, f"{len(found)} of {kind}"
        return found[0]

    def sizes(self) -> Counter[str]:
        """How many documents there are in each collection."""
        db = self.store.db
        return Counter({each: db[each].count_documents({}) for each in db.list_collection_names()})


@pytest.fixture
def ward(store: Store, tmp_path: Path) -> Ward:
    facility = facilities.add(store, "Ward")
    clients.register(store, name="ward", facilities=[facility], scope="system/*.cruds")
    return Ward(store, tmp_path, facility)
