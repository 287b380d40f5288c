"""An exchange, on its own empty database, for each test."""

from __future__ import annotations

from typing import Iterator

import pytest

from hie_server.config import Settings
from tests.conftest import MakeStore
from tests.support import Api, District, open_district


@pytest.fixture
def district(settings: Settings, make_store: MakeStore) -> Iterator[District]:
    make_store()
    yield from open_district(settings)


@pytest.fixture
def hospital(district: District) -> str:
    return district.facility()


@pytest.fixture
def api(district: District, hospital: str) -> Api:
    return district.api(hospital)
