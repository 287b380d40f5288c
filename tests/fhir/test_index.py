from __future__ import annotations

import pytest

from hie_server.fhir.definitions import resource_types, search_parameters
from hie_server.fhir.index import index, parameters_for
from hie_server.fhir.outcomes import FhirError


def test_every_type_is_found_by_its_meta() -> None:
    meta = {
        "tag": [{"code": "t"}],
        "security": [{"code": "R"}],
        "source": "http://s",
        "profile": ["http://p"],
    }
    for kind in resource_types():
        found = index({"resourceType": kind, "meta": meta}).terms
        assert {"_tag", "_security", "_source", "_profile"} <= {each.parameter for each in found}


def test_refuses_a_resource_with_too_many_terms() -> None:
    identifiers = [{"value": str(n)} for n in range(5_001)]
    with pytest.raises(FhirError) as caught:
        index({"resourceType": "Patient", "identifier": identifiers})
    assert (caught.value.status, caught.value.issues[0].code) == (422, "too-long")


def test_every_parameter_of_a_type_can_be_used_but_for_those_that_need_more() -> None:
    for kind in resource_types():
        own = {p.code: p.type for p in search_parameters() if kind in p.base and p.expression}
        own.pop("part-agree", None)
        left_out = {code for code in own if code not in parameters_for(kind)}
        assert {own[code] for code in left_out} <= {"special"}
        assert not {"_id", "_lastUpdated", "_text", "_content"} & set(parameters_for(kind))


def test_examples_of_the_specification_redefine_nothing() -> None:
    assert set(parameters_for("Condition")["subject"].target) == {"Patient", "Group"}
    assert "part-agree" not in parameters_for("Patient")


def test_no_type_has_two_parameters_of_one_name() -> None:
    for kind in resource_types():
        bases = {kind, "Resource", "DomainResource"}
        codes = [
            p.code
            for p in search_parameters()
            if bases & set(p.base) and p.code in parameters_for(kind) and "/example" not in p.url
        ]
        assert len(codes) == len(set(codes)), kind
