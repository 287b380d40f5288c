"""Each hop at which hidden records are held back, switched off: what the two worlds must notice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable

import pytest

from hie_server.audit import journal
from hie_server.audit.journal import Viewer
from hie_server.authz import rules
from hie_server.authz.consent import Permit
from hie_server.authz.rules import Rules
from hie_server.fhir.resources import dump
from hie_server.store import access, pages
from hie_server.store.access import EXCHANGE, IDENTITY, Access, Limits, Rule, Share
from hie_server.store.repository import Repository, whose
from hie_server.store.writing import Writer
from tests.flows.asking import FHIR
from tests.flows.world_records import ref
from tests.flows.world_story import ASHA, BINA, BINA_LOCAL, CHITRA, DIVYA, HOLDER, RELABELLED
from tests.flows.worlds import Asked

Patch = pytest.MonkeyPatch
ANYTHING = Limits((Rule(True),))
Branch = dict[str, Any]


def read(patch: Patch) -> None:
    def current(self: Repository, kind: str, identity: str) -> Any:
        return self.store.db.resources.find_one({"_id": f"{kind}/{identity}"})

    patch.setattr(Repository, "_current", current)


def past(which: str) -> Callable[[Patch], None]:
    """`which`: the field that the look-up of past versions goes by."""

    def off(patch: Patch) -> None:
        filtered = Repository._visible

        def visible(self: Repository, kind: str, own: Branch, key: str = "_id") -> Branch:
            return own if key == "resource" and which in own else filtered(self, kind, own, key)

        patch.setattr(Repository, "_visible", visible)

    return off


def search(patch: Patch) -> None:
    patch.setattr(Repository, "_searched", lambda self, query: [{}])


def total(patch: Patch) -> None:
    def count(self: Any) -> int:
        return int(self.collection.count_documents({"$and": self.wanted}))

    patch.setattr(pages._Seen, "count", count)


def limits(change: Callable[[Limits], Limits]) -> Callable[[Patch], None]:
    def off(patch: Patch) -> None:
        filtered = access._shared

        def shared(share: Share, *rest: Any) -> list[Branch]:
            if share.limits is None or not share.limits.permits:
                return filtered(share, *rest)
            return filtered(replace(share, limits=change(share.limits)), *rest)

        patch.setattr(access, "_shared", shared)

    return off


def permits(**parts: Any) -> Callable[[Patch], None]:
    """Permits without these of their parts."""
    return limits(
        lambda each: Limits(tuple(replace(r, **parts) for r in each.permits), each.vetoes)
    )


def shared_without(field: str, of_identity: bool) -> Callable[[Patch], None]:
    def off(patch: Patch) -> None:
        filtered = access._shared

        def shared(share: Share, kind: str, *rest: Any) -> list[Branch]:
            branches = filtered(share, kind, *rest)
            if (kind in IDENTITY) is not of_identity:
                return branches
            return [{k: v for k, v in each.items() if k != field} for each in branches]

        patch.setattr(access, "_shared", shared)

    return off


def branch(is_it: Callable[[Branch], bool], instead: Branch) -> Callable[[Patch], None]:
    def off(patch: Patch) -> None:
        filtered = Access.branches

        def branches(self: Access, *rest: Any) -> list[Branch]:
            return [instead if is_it(each) else each for each in filtered(self, *rest)]

        patch.setattr(Access, "branches", branches)

    return off


def instances_with_a_patient(patch: Patch) -> None:
    filtered = Access.branches

    def branches(self: Access, kind: str, term: Any, key: str = "_id") -> list[Branch]:
        reached = [{key: {"$in": sorted(self.instances)}}] if self.instances else []
        return filtered(self, kind, term, key) + reached

    patch.setattr(Access, "branches", branches)


def consent(patch: Patch) -> None:
    patch.setattr(Rules, "decide", lambda self, caller, person: Permit(ANYTHING, True, ()))


def identity(patch: Patch) -> None:
    filtered = Rules._share

    def share(self: Rules, caller: Any, person: Any) -> Share | None:
        known = rules._share(person, Limits(()), True, ()) if person else None
        return filtered(self, caller, person) or known

    patch.setattr(Rules, "_share", share)


def widening(patch: Patch) -> None:
    patch.setattr(Rules, "_seen", lambda self, access, patients: set(patients))


def referrers(patch: Patch) -> None:
    def by_referrers(self: Rules, caller: Any, seen: Access, reference: str, _: Any) -> Access:
        return replace(seen, instances=frozenset({reference}))

    patch.setattr(Rules, "_by_referrers", by_referrers)


def refusals(patch: Patch) -> None:
    """Why a read was refused, shown to the facility."""
    filtered = journal._audience
    patch.setattr(
        journal, "_audience", lambda event: filtered(replace(event, refusal_of=None))
    )


def before_if_match(patch: Patch) -> None:
    filtered = Repository.check_mine

    def check(self: Repository, kind: str, identity: str) -> None:
        filtered(_as_custodian(self, kind, identity), kind, identity)

    patch.setattr(Repository, "check_mine", check)


def writes(patch: Patch) -> None:
    before_if_match(patch)

    def current(self: Writer, writes: Any, session: Any) -> Any:
        wanted = {"_id": {"$in": [each.reference for each in writes if not each.creates]}}
        return {row["_id"]: row for row in self.store.db.resources.find(wanted, session=session)}

    patch.setattr(Writer, "_current", current)


def widened_in_own_custody(patch: Patch) -> None:
    """A hidden link, shown by the asker's own records that name the hidden Patient."""
    filtered = rules._widened
    patch.setattr(
        rules, "_widened", lambda query, clause, shares, _: filtered(query, clause, shares, None)
    )


def led(patch: Patch) -> None:
    """What a chain leads through, found as the first hospital would."""

    def found(self: Rules, caller: Any, query: Any) -> Any:
        repository = Repository(self.store, Access(HOLDER))
        return repository.versions(repository.search(query))

    patch.setattr(Rules, "_found", found)


def _as_custodian(repository: Repository, kind: str, identity: str) -> Repository:
    """Whoever that record's custodian is."""
    custodian, _ = whose(repository.store, f"{kind}/{identity}")
    return replace(repository, access=Access(custodian=custodian or access.EXCHANGE))


ALL: dict[str, Callable[[Patch], None]] = {
    "read": read,
    "vread": past("_id"),
    "history": past("version"),
    "search": search,
    "total": total,
    "own custody": branch(lambda each: [*each] == ["custodian"] and EXCHANGE not in each, {}),
    "directory": branch(lambda each: each == {"custodian": EXCHANGE}, {}),
    "grantee": branch(lambda each: [*each] == ["index"], {}),
    "instances": referrers,
    "instances with a patient": instances_with_a_patient,
    "consent": consent,
    "identity": identity,
    "identity: the citizen's own alone": shared_without("custodian", True),
    "people: widening to a Patient that can't be read": widening,
    "people: widening to a hidden link": widened_in_own_custody,
    "permit: class": permits(classes=None),
    "permit: dataPeriod": permits(when=None),
    "permit: securityLabel": permits(labelled=False),
    "veto": limits(lambda each: Limits(each.permits)),
    "holders of the life record": shared_without("custodian", False),
    "patients: this person's": shared_without("patient", False),
    "patients: other persons": shared_without("others", False),
    "consents and events unshared": lambda patch: patch.setattr(access, "UNSHARED", ()),
    "journal": lambda patch: patch.setattr(Viewer, "branches", lambda self, store: [{}]),
    "refusals": refusals,
    "conditional references": lambda patch: patch.setattr(
        Rules, "to_match", lambda self, caller, kind: Access(HOLDER)
    ),
    "chains": led,
    "405 before If-Match": before_if_match,
    "writes": writes,
}

NAMING = dump(
    {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "request": {"method": "POST", "url": "Flag"},
                "resource": {
                    "resourceType": "Flag", "status": "active", "code": {"text": "Falls"},
                    "subject": {"reference": "Patient?name=Asha"},
                },
            }
        ],
    }
)
LAB = ref("Observation", "asha")
# Requests that need every hop: asked before the generated ones.
SAMPLE = [
    Asked("GET", f"/fhir/{each}".replace("/?", "?"))
    for each in (
        LAB, f"{LAB}/_history", f"{LAB}/_history/1", ASHA, f"Patient?_id={ASHA[8:]}", BINA_LOCAL,
        ref("RelatedPerson", "bina"), f"Observation?patient={BINA}&_summary=count",
        f"Observation?patient={ASHA}", f"?_type=Condition,List&patient={ASHA}",
        f"Observation?patient={BINA}&_count=2", "Patient?name=asha",
        f"Observation?patient={CHITRA}&_total=accurate", "Observation?_summary=count",
        f"Observation?patient={CHITRA},{ASHA}", "Condition?code=73211009",
        f"Condition?patient={CHITRA}", RELABELLED, f"{RELABELLED}/_history",
        f"{RELABELLED}/_history/1", ref("Device", "chitra own"), ref("Binary", "asha"),
        ref("Practitioner", "surgeon"), "Practitioner?name=sinha", "Organization?name=ward",
        ref("Observation", "chitra hiv"), ref("Observation", "divya and asha"),
        ref("Observation", "divya at 4"), f"Observation?patient={DIVYA}&_sort=_lastUpdated",
        f"Consent?patient={DIVYA}", ref("Consent", "divya permits 3"), "Consent?status=active",
        ref("Consent", "asha permits 3"), ref("Observation", "asha gone"),
        "Observation?patient.name=asha,bina", "Patient?_has:Observation:patient:status=final",
        f"{BINA}/Observation", f"{ASHA}/*", "?_lastUpdated=gt2020&_total=accurate",
        "AuditEvent?_count=50", "AuditEvent?outcome=4&_summary=count",
    )
] + [
    Asked("PUT", f"/fhir/{LAB}", b"{}", (*FHIR, ("If-Match", "3"))),
    Asked("PUT", f"/fhir/{LAB}", b"{}", FHIR),
    Asked("DELETE", f"/fhir/{LAB}", None, (("If-Match", 'W/"9"'),)),
    Asked("POST", "/fhir", NAMING, FHIR),
]
