"""What of a Consent can't be understood is refused when written, and denies when read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hie_server.authz.consent import Ask, compile_all, decide, read
from hie_server.fhir.outcomes import FhirError
from tests.authz.consent_cases import cases
from tests.authz.consent_defects import DEFECTS, Defect, good
from tests.authz.consent_json import Json, faults

ZONE = ZoneInfo("Asia/Kolkata")
ASK = Ask("Organization/b", None, None, "TREAT")
NOW = datetime(2024, 6, 1, tzinfo=UTC)
ODD = ("", " ", "|", "/", "#", "-1", "x/y/z", "urn:", "0000", "9999-12-31", "\N{SNOWMAN}")
# (zone, a period's end, its last microsecond)
ENDS = (
    ("Asia/Kolkata", "2024-05-15", "2024-05-15T18:29:59.999999+00:00"),
    ("Asia/Kolkata", "2024-02", "2024-02-29T18:29:59.999999+00:00"),
    ("Asia/Kolkata", "2023", "2023-12-31T18:29:59.999999+00:00"),
    ("UTC", "2024-05-15", "2024-05-15T23:59:59.999999+00:00"),
    ("America/New_York", "2024-03-10", "2024-03-11T03:59:59.999999+00:00"),
    ("America/New_York", "2024-11-03", "2024-11-04T04:59:59.999999+00:00"),
    ("Asia/Kolkata", "2024-05-15T10:00:00Z", "2024-05-15T10:00:00.999999+00:00"),
    ("Asia/Kolkata", "2024-05-15T10:00:00.5Z", "2024-05-15T10:00:00.599999+00:00"),
    ("UTC", "2024-05-15T10:00:00.250+05:30", "2024-05-15T04:30:00.250999+00:00"),
)
# (zone, a period's start, its first microsecond)
STARTS = (
    ("Asia/Kolkata", "2024-05-15", "2024-05-14T18:30:00+00:00"),
    ("Asia/Kolkata", "2024-02", "2024-01-31T18:30:00+00:00"),
    ("Asia/Kolkata", "2023", "2022-12-31T18:30:00+00:00"),
    ("America/New_York", "2024-03-11", "2024-03-11T04:00:00+00:00"),
    ("UTC", "2024-05-15T10:00:00.250+05:30", "2024-05-15T04:30:00.250+00:00"),
)


def refusal(consent: Json) -> FhirError | None:
    try:
        read(consent, ZONE)
    except FhirError as error:
        return error
    return None


def allows(*consents: Json) -> bool:
    return bool(decide(compile_all(consents, ZONE), ASK, NOW, "Patient/me"))


def elements(error: FhirError) -> list[str]:
    """The issues' expressions without indexes and without the resource's name."""
    bare = [re.sub(r"\[\d+\]", "", issue.expression) for issue in error.issues]
    return [expression.removeprefix("Consent.") for expression in bare]


def test_understands_every_part() -> None:
    assert refusal(good()) is None
    assert allows(good())


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.situation)
def test_refuses_what_it_cannot_understand(defect: Defect) -> None:
    error = refusal(defect.spoil(good()))
    assert error is not None and error.status == 422
    assert any(each.startswith(defect.element) or each.endswith(defect.element)
               for each in elements(error)), elements(error)  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.situation)
def test_denies_all_while_one_cannot_be_understood(defect: Defect) -> None:
    assert not allows(defect.spoil(good()))
    assert not allows(good(), defect.spoil(good()))
    assert not allows(defect.spoil(good()), good())


def test_names_every_fault_at_once() -> None:
    consent = good()
    for defect in DEFECTS:
        if defect.situation in ("role unknown", "no scope", "period in words", "action unknown"):
            defect.spoil(consent)
    error = refusal(consent)
    assert error is not None
    found = " ".join(elements(error))
    assert all(part in found for part in ("scope", "actor", "period", "action")), found


def test_refuses_exactly_what_the_oracle_refuses() -> None:
    for case in cases(seed=20_240_310, count=1_000):
        for consent in case.consents:
            expected = bool(faults(consent, ZONE))
            assert (refusal(consent) is not None) == expected, consent


def test_never_fails_otherwise_whatever_a_text_holds() -> None:
    for path in paths(good()):
        for text in ODD:
            spoiled = put(good(), path, text)
            refusal(spoiled)
            allows(spoiled)


def paths(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each text inside."""
    if isinstance(value, str):
        return [way]
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [path for key, each in inner for path in paths(each, (*way, key))]


def put(consent: Json, path: tuple[Any, ...], value: Any) -> Json:
    node: Any = consent
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return consent


def exceptions(count: int) -> Json:
    consent = good()
    consent["provision"]["provision"] *= count
    return consent


def test_refuses_more_than_200_provisions() -> None:
    assert refusal(exceptions(199)) is None
    error = refusal(exceptions(201))
    assert error is not None and error.status == 422
    assert any("provision" in each for each in elements(error))
    assert not allows(exceptions(201))


def test_denies_more_than_1000_consents() -> None:
    assert allows(*[good()] * 1000)
    assert not allows(*[good()] * 1001)


def test_without_provision_a_consent_is_no_rule() -> None:
    consent = good()
    del consent["provision"]
    assert refusal(consent) is None
    assert not allows(consent)
    assert allows(consent, good())


def test_denies_break_glass() -> None:
    consent = good()
    consent["provision"]["purpose"][0]["code"] = "BTG"
    ask = Ask("Organization/b", None, None, "BTG")
    assert not decide(compile_all([consent], ZONE), ask, NOW, "Patient/me")


@pytest.mark.parametrize("status", ["proposed", "draft", "inactive", "rejected"])
def test_only_active_consents_count(status: str) -> None:
    permit, broken = good() | {"status": status}, good() | {"status": status, "scope": {}}
    assert not allows(permit)
    assert allows(good(), broken)


@pytest.mark.parametrize("zone, end, last", ENDS)
def test_a_period_lasts_to_the_end_of_what_its_end_names(zone: str, end: str, last: str) -> None:
    consent = good()
    consent["provision"]["period"] = {"end": end}
    grants = compile_all([consent], ZoneInfo(zone))
    moment = datetime.fromisoformat(last)
    assert decide(grants, ASK, moment, "Patient/me")
    assert not decide(grants, ASK, moment + timedelta(microseconds=1), "Patient/me")


@pytest.mark.parametrize("zone, start, first", STARTS)
def test_a_period_begins_with_what_its_start_names(zone: str, start: str, first: str) -> None:
    consent = good()
    consent["provision"]["period"] = {"start": start}
    grants = compile_all([consent], ZoneInfo(zone))
    moment = datetime.fromisoformat(first)
    assert decide(grants, ASK, moment, "Patient/me")
    assert not decide(grants, ASK, moment - timedelta(microseconds=1), "Patient/me")


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York", "UTC"])
def test_a_period_may_end_on_the_last_day_there_is(zone: str) -> None:
    consent = good()
    consent["provision"]["period"] = {"start": "0001-01-01", "end": "9999-12-31"}
    grants = compile_all([consent], ZoneInfo(zone))
    assert decide(grants, ASK, NOW, "Patient/me")


def test_relies_on_the_versions_that_permit() -> None:
    decision = decide(compile_all([good()], ZONE), ASK, NOW, "Patient/me")
    assert decision.consents == ("Consent/c/_history/3",)  # type: ignore[union-attr]


def test_refuses_a_consent_of_too_many_values() -> None:
    large = good()
    large["provision"]["code"] = [{"coding": [{"system": "urn:x", "code": "1"}] * 400}] * 3
    with pytest.raises(FhirError) as refused:
        read(large, UTC)
    assert [each.code for each in refused.value.issues] == ["too-costly"]
