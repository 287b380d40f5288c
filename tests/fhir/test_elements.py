from __future__ import annotations

import pytest

from hie_server.fhir.elements import SUBSETTED, read_elements, subset
from hie_server.fhir.outcomes import FhirError

OBSERVATION = {
    "resourceType": "Observation",
    "id": "a",
    "meta": {"versionId": "1", "tag": [{"code": "x"}]},
    "modifierExtension": [{"url": "urn:x", "valueBoolean": True}],
    "_status": {"id": "s"},
    "status": "final",
    "code": {"text": "weight"},
    "valueQuantity": {"value": 1},
    "_effectiveDateTime": {"id": "e"},
    "effectiveDateTime": "2024",
    "note": [{"text": "n"}],
}
KEPT = {"resourceType", "id", "meta", "modifierExtension", "_status", "status", "code"}


@pytest.mark.parametrize(
    ("asked", "more"),
    [
        ("id", set()),
        ("note", {"note"}),
        ("value,note", {"valueQuantity", "note"}),
        ("valueQuantity", {"valueQuantity"}),
        ("effective", {"effectiveDateTime", "_effectiveDateTime"}),
    ],
)
def test_returns_the_mandatory_elements_and_those_asked_for(asked: str, more: set[str]) -> None:
    found = subset(OBSERVATION, read_elements("Observation", asked))
    assert set(found) == KEPT | more
    assert list(found) == [name for name in OBSERVATION if name in found]


def test_what_is_cut_says_so_once() -> None:
    once = subset(OBSERVATION, ("note",))
    assert once["meta"] == {"versionId": "1", "tag": [{"code": "x"}, SUBSETTED]}
    assert subset(once, ("note",)) == once
    assert OBSERVATION["meta"] == {"versionId": "1", "tag": [{"code": "x"}]}


@pytest.mark.parametrize("asked", ["", "note,", "nothing", "code.text", "Observation.id", "-note"])
def test_refuses_what_is_no_element_of_the_type(asked: str) -> None:
    with pytest.raises(FhirError, match="_elements: Observation has no element") as caught:
        read_elements("Observation", asked)
    assert caught.value.status == 400
