"""Every route asks for a token, or stands on the list below with the reason why it need not."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from tests.support import District

# A route that is added here was read by somebody who asked what a stranger learns from it.
OPEN = {
    ("/health/live", "GET"): "supervisors have no token; it tells that the process runs",
    ("/health/ready", "GET"): "load balancers have no token; it tells that the database is there",
    ("/metrics", "GET"): "counts by route, without ids or addresses; 404 but on this machine",
    ("/fhir/metadata", "GET"): "FHIR wants it open, for clients that don't have a token yet",
    ("/fhir/.well-known/smart-configuration", "GET"): "SMART: where a token is to be had",
    ("/.well-known/oauth-authorization-server", "GET"): "RFC 8414: where a token is to be had",
    ("/oauth/token", "POST"): "gives tokens; asks for the client's own authentication",
    ("/oauth/revoke", "POST"): "ends tokens; asks for the client's own authentication",
}
# Flask adds them to every GET.
IMPLIED = {"HEAD", "OPTIONS"}
STAND_IN = {
    "kind": "Observation",
    "name": "Patient",
    "identity": "5e0f",
    "version": "1",
    "code": "versions",
}


def routes(app: Flask) -> list[tuple[str, str]]:
    """(rule, method) of every route."""
    return sorted(
        (rule.rule, method) for rule in app.url_map.iter_rules() for method in rule.methods or ()
    )


def path_of(rule: str) -> str:
    for name, value in STAND_IN.items():
        rule = rule.replace(f"<{name}>", value)
    return rule


def refused(app: Flask, path: str, method: str, authorization: str | None = None) -> bool:
    headers = {"Authorization": authorization} if authorization else {}
    answer = app.test_client().open(path, method=method, headers=headers)
    return answer.status_code == 401 and "WWW-Authenticate" in answer.headers


def test_every_route_but_the_listed_ones_asks_for_a_token(district: District) -> None:
    app = district.app
    unguarded = [
        (rule, method)
        for rule, method in routes(app)
        if (rule, method) not in OPEN
        and not (method in IMPLIED and (rule, "GET") in OPEN)
        and not (method == "OPTIONS" and (rule, "POST") in OPEN)
        and not refused(app, path_of(rule), method)
    ]
    assert unguarded == []


def test_the_list_names_no_route_that_is_gone_or_guarded(district: District) -> None:
    assert OPEN.keys() <= set(routes(district.app))
    assert not any(refused(district.app, path_of(rule), method) for rule, method in OPEN)


@pytest.mark.parametrize("endpoint", ["token", "revoke"])
def test_what_gives_and_ends_tokens_asks_for_the_client(district: District, endpoint: str) -> None:
    answer = district.app.test_client().post(
        f"/oauth/{endpoint}", data={"grant_type": "client_credentials", "token": "x"}
    )
    assert answer.status_code in (400, 401)
    assert (answer.json or {})["error"] == "invalid_client"


@pytest.mark.parametrize(
    "stranger",
    [{"environ_base": {"REMOTE_ADDR": "192.0.2.7"}}, {"headers": {"X-Forwarded-For": "192.0.2.7"}},
     {"headers": {"Forwarded": "for=192.0.2.7"}}],
)
def test_metrics_are_for_this_machine_alone(district: District, stranger: dict[str, Any]) -> None:
    assert district.app.test_client().get("/metrics", **stranger).status_code == 404


def test_every_part_of_a_route_has_a_stand_in(district: District) -> None:
    assert [rule for rule, _ in routes(district.app) if "<" in path_of(rule)] == []


@pytest.mark.parametrize(
    "authorization",
    ["Bearer", "Bearer ", f"Bearer {'A' * 43}", f"bearer {'A' * 43} x", "Basic eDp5", "DPoP x"],
)
def test_what_is_no_token_of_ours_opens_no_route(district: District, authorization: str) -> None:
    app = district.app
    guarded = [each for each in routes(app) if each[0].startswith("/fhir/<")]
    assert guarded
    assert all(refused(app, path_of(rule), method, authorization) for rule, method in guarded)


@pytest.mark.parametrize(
    "path",
    ["/fhir", "/fhir/", "/fhir/no/such/route/at/all", "/fhir/metadata/", "/fhir/metadata/x",
     "/fhir/%6detadata/x", "/fhir/metadata%00", "/fhir/Patient/1/$everything"],
)
def test_a_path_that_is_no_route_asks_for_a_token_too(district: District, path: str) -> None:
    assert refused(district.app, path, "GET")


def test_a_route_added_without_a_token_would_be_seen(district: District) -> None:
    app = district.app
    app.add_url_rule("/fhir/debug", "debug", lambda: "all of it")
    app.add_url_rule("/debug", "open", lambda: "all of it")
    assert {("/debug", "GET"), ("/fhir/debug", "GET")} <= set(routes(app))
    assert [each for each in ("/debug", "/fhir/debug") if not refused(app, each, "GET")] == [
        "/debug"
    ]
