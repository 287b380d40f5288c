"""The directory: every client reads its facilities, nobody but the registries writes them."""

from __future__ import annotations

from typing import Iterator

import pytest

from hie_server.config import Settings
from hie_server.fhir.validator import validate
from hie_server.identity import facilities
from hie_server.store.access import EXCHANGE
from tests.conftest import MakeStore
from tests.support import District, body_of, ids, open_district


@pytest.fixture
def district(settings: Settings, make_store: MakeStore) -> Iterator[District]:
    make_store()
    yield from open_district(settings)


def test_a_facility_is_a_valid_organization_in_the_exchanges_custody(district: District) -> None:
    reference = facilities.add(district.records, "Sadar Hospital, Chapra", "IN1000000001")
    row = district.records.db.resources.find_one({"_id": reference})
    assert row is not None and row["custodian"] == EXCHANGE
    read = body_of(district.api(district.facility()).get(reference))
    assert validate(read) == []
    assert read["name"] == "Sadar Hospital, Chapra" and read["active"] is True
    assert read["identifier"] == [{"system": facilities.SYSTEM, "value": "IN1000000001"}]


def test_facilities_and_citizens_find_it_by_name_and_number(district: District) -> None:
    reference = facilities.add(district.records, "Sadar Hospital, Chapra", "IN1000000001")
    hospital, citizen = district.facility("Clinic"), district.citizen()
    for api in (district.api(hospital), district.api(citizen)):
        assert ids(api.get("Organization?name=sadar")) == [reference]
        assert ids(api.get("Organization?identifier=IN1000000001")) == [reference]


def test_nobody_changes_the_directory_through_the_api(district: District) -> None:
    reference = facilities.add(district.records, "Sadar Hospital")
    for who in (reference, district.facility("Clinic"), district.citizen()):
        api = district.api(who)
        body = {**body_of(api.get(reference)), "name": "Mine"}
        assert api.put(reference, body).status_code == 405
        assert api.delete(reference).status_code == 405
    assert body_of(district.api(reference).get(reference))["name"] == "Sadar Hospital"


def test_a_facilitys_own_organization_is_not_in_the_directory(district: District) -> None:
    """As ordinary bundles carry them: it is a record of its maker, nobody else sees it."""
    maker = district.api(district.facility())
    own = maker.store({"resourceType": "Organization", "name": "Sadar Hospital (unverified)"})
    assert maker.get(own).status_code == 200
    other = district.api(district.facility("Clinic"))
    assert other.get(own).status_code == 404
    assert ids(other.get("Organization?name=Sadar Hospital (u")) == []


def test_the_exchanges_own_organization_stands_for_all(district: District) -> None:
    api = district.api(district.facility())
    assert api.get("Organization/exchange").status_code == 200
