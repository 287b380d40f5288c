"""What the two worlds hold: four citizens, four hospitals, and which of it the second never had.

Asha is known to the first hospital alone: the second world has no trace of her. Bina is linked to
the asking hospital, and in secret to the first. Chitra lets the asking hospital see a part, Divya
all that hospitals she is linked to hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from hie_server.store.access import EXCHANGE
from tests.flows.world_records import (
    TYPES,
    Json,
    citizen,
    concept,
    consent,
    label,
    life,
    local,
    observation,
    ref,
    resource,
    to,
)

HOLDER, ASKER, PERMITTED, STRANGER = (ref("Organization", each) for each in "1234")
ASHA, BINA, CHITRA, DIVYA = (
    ref("Patient", each) for each in ("asha", "bina", "chitra", "divya")
)
ASHA_LOCAL, BINA_LOCAL = ref("Patient", "asha at 1"), ref("Patient", "bina at 1")
BINA_ASKER = ref("Patient", "bina at 2")
# A version that the asker may not see, of a record that it may.
RELABELLED = ref("Observation", "chitra relabelled")


@dataclass(frozen=True)
class Record:
    """`versions`: one after another, None a deletion · `hidden`: the second world never had it."""

    custodian: str
    versions: tuple[Json | None, ...]
    hidden: bool = True

    @property
    def reference(self) -> str:
        first = self.versions[0] or {}
        return f"{first['resourceType']}/{first['id']}"


@dataclass(frozen=True)
class Link:
    """The facility knows this citizen, by a Patient of its own if one is named."""

    person: str
    facility: str
    patient: str | None = None
    hidden: bool = True


LINKS = (
    Link(ASHA, HOLDER, ASHA_LOCAL),
    Link(BINA, HOLDER, BINA_LOCAL),
    Link(BINA, ASKER, BINA_ASKER, hidden=False),
    Link(CHITRA, HOLDER, hidden=False),
    Link(DIVYA, HOLDER, hidden=False),
)


def story() -> dict[str, list[Record]]:
    """By whom it is about, in the order of writing."""
    facilities = [
        Record(EXCHANGE, (resource("Organization", n, name=f"Hospital {n}", active=True),), False)
        for n in "1234"
    ]
    return {
        "facilities": facilities,
        "asha": _asha(),
        "bina": _bina(),
        "chitra": _chitra(),
        "divya": _divya(),
        "asker": _of_the_asker(),
    }


def records() -> list[Record]:
    return [record for told in story().values() for record in told]


def _asha() -> list[Record]:
    """Unknown to the asker; known to the first hospital, also by its own Patient."""
    lab, gone = observation("asha v", ASHA_LOCAL), observation("asha gone", ASHA)
    again = {**lab, "code": concept("2345-7")}
    department = resource("Organization", "ward", name="Ward 7", active=True)
    surgeon = resource("Practitioner", "surgeon", name=[{"family": "Sinha"}], active=True)
    held = [
        local("asha at 1", "Asha", "1"), local("nobody", "Nameless", "1"), department, surgeon,
        resource("PractitionerRole", "surgeon", practitioner=to(ref("Practitioner", "surgeon")),
                 organization=to(ref("Organization", "ward")), active=True),
        *life("asha", ASHA), observation("asha local", ASHA_LOCAL),
        consent("asha proposed", ASHA, "permit", HOLDER, status="proposed"),
    ]
    own = [
        consent("asha permits 3", ASHA, "permit", PERMITTED),
        consent("asha denies 4", ASHA, "deny", STRANGER),
        consent("asha permitted 4", ASHA, "permit", STRANGER, status="inactive"),
    ]
    return [
        Record(ASHA, (citizen("Asha", "Devi", "1980-02-03"),)),
        *(Record(HOLDER, (each,)) for each in held),
        Record(HOLDER, (lab, again, lab)),
        Record(HOLDER, (gone, None)),
        *(Record(ASHA, (each,)) for each in own),
    ]


def _bina() -> list[Record]:
    """Linked to the asker, who sees her Patient, and to the first hospital, whose records hide."""
    held = [local("bina at 1", "Bina", "1"), *life("bina", BINA_LOCAL),
            resource("Condition", "bina hiv", subject=to(BINA), code=concept("75622-1"))]
    lost = resource("Condition", "bina gone", subject=to(BINA), code=concept("75622-1"))
    return [
        Record(BINA, (citizen("Bina", "Kumari", "1991-05-06"),), False),
        *(Record(HOLDER, (each,)) for each in held),
        Record(HOLDER, (lost, None)),
        Record(BINA, (consent("bina permits 3", BINA, "permit", PERMITTED),)),
        Record(ASKER, (local("bina at 2", "Bina", "2"),), False),
        Record(ASKER, (observation("bina at 2", BINA_ASKER),), False),
    ]


def _chitra() -> list[Record]:
    """Permits the asker laboratory records of normal confidentiality, of 2025, without HIV."""
    kinds = [{"system": TYPES, "code": each} for each in ("Observation", "DiagnosticReport")]
    part = consent(
        "chitra permits 2", CHITRA, "permit", ASKER, dataPeriod={"start": "2025", "end": "2025"},
        securityLabel=label("N")["security"], **{"class": kinds},
    )
    veto = consent("chitra denies 2", CHITRA, "deny", ASKER, code=[concept("75622-1")])
    shown = [
        observation("chitra", CHITRA, device=to(ref("Device", "chitra own"))),
        resource("Binary", "chitra", contentType="text/plain"),
        resource("DiagnosticReport", "chitra", meta=label("N"), status="final",
                 code=concept("24323-8"), subject=to(CHITRA), effectiveDateTime="2025-03-05",
                 result=[to(ref("Observation", "chitra restricted"))],
                 presentedForm=[{"url": ref("Binary", "chitra")}]),
    ]
    hidden = [
        observation("chitra restricted", CHITRA, "R"),
        resource("Condition", "chitra", meta=label("N"), subject=to(CHITRA),
                 code=concept("73211009"), onsetDateTime="2025-03-05"),
        observation("chitra earlier", CHITRA, effectiveDateTime="2024-12-31"),
        observation("chitra hiv", CHITRA, code=concept("75622-1")),
        resource("Device", "chitra own", patient=to(CHITRA), status="active"),
        observation("chitra and asha", CHITRA, performer=[to(ASHA)]),
    ]
    relabelled = tuple(observation("chitra relabelled", CHITRA, rank) for rank in "RN")
    return [
        Record(CHITRA, (citizen("Chitra", "Singh", "1975-12-31"),), False),
        Record(CHITRA, (part,), False),
        *(Record(HOLDER, (each,), False) for each in shown),
        Record(HOLDER, relabelled, False),
        *(Record(CHITRA, (each,)) for each in
          (veto, consent("chitra permits 3", CHITRA, "permit", PERMITTED))),
        *(Record(HOLDER, (each,)) for each in hidden),
        Record(STRANGER, (observation("chitra at 4", CHITRA),)),
    ]


def _divya() -> list[Record]:
    """Permits the asker everything: what still hides are consents, and others' records."""
    shown = [observation("divya", DIVYA, "V"), resource("Condition", "divya", subject=to(DIVYA))]
    return [
        Record(DIVYA, (citizen("Divya", "Rani", "2001-01-01"),), False),
        Record(DIVYA, (consent("divya permits 2", DIVYA, "permit", ASKER),), False),
        *(Record(HOLDER, (each,), False) for each in shown),
        Record(DIVYA, (consent("divya permits 3", DIVYA, "permit", PERMITTED),)),
        Record(HOLDER, (consent("divya proposed", DIVYA, "permit", HOLDER, status="proposed"),)),
        Record(STRANGER, (observation("divya at 4", DIVYA),)),
        Record(HOLDER, (observation("divya and asha", DIVYA, performer=[to(ASHA)]),)),
    ]


def _of_the_asker() -> list[Record]:
    own = [
        local("own", "Gita", "2"), *(observation(f"own {n}", ASHA) for n in range(3)),
        observation("own local", ASHA_LOCAL), observation("own bina local", BINA_LOCAL),
        observation("own chitra", CHITRA),
        resource("Medication", "own", code=concept("860975")),
        resource("MedicationRequest", "own", status="active", intent="order", subject=to(ASHA),
                 medicationReference=to(ref("Medication", "asha"))),
        consent("own proposal", ASHA, "permit", ASKER, status="proposed"),
    ]
    return [
        *(Record(ASKER, (each,), False) for each in own),
        Record(ASKER, (observation("own gone", ASHA), None), False),
    ]


def aliases() -> dict[str, list[str]]:
    """A Patient's id → the ids of all Patients of the same citizen."""
    found: dict[str, list[str]] = {}
    for link in LINKS:
        same = [link.person, *(each.patient for each in LINKS if each.person == link.person)]
        ids = [each.rpartition("/")[2] for each in same if each]
        found |= {each: ids for each in ids}
    return found
