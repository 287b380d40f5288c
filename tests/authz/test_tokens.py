from datetime import timedelta
from typing import Callable

import pytest

from hie_server.authz import tokens
from hie_server.authz.scopes import parse
from hie_server.fhir.outcomes import FhirError
from hie_server.store.database import Store, now

FACILITY = "Organization/district"


def issue(store: Store, client_id: str = "client", seconds: int = 300) -> str:
    return tokens.issue(
        store,
        client_id=client_id,
        facility=FACILITY,
        scope=parse("system/*.rs"),
        purpose="TREAT",
        seconds=seconds,
    )


def refusal(store: Store, header: str | None) -> FhirError:
    with pytest.raises(FhirError) as refused:
        tokens.caller(store, header)
    return refused.value


def test_returns_who_presents_the_token(store: Store) -> None:
    token = tokens.issue(
        store,
        client_id="app",
        facility=None,
        citizen="Patient/1",
        practitioner="Practitioner/2",
        role="doctor",
        scope=parse("patient/Observation.read"),
        purpose="PATRQT",
        seconds=60,
    )
    caller = tokens.caller(store, f"Bearer {token}")
    assert caller == tokens.Caller(
        client_id="app",
        facility=None,
        citizen="Patient/1",
        practitioner="Practitioner/2",
        role="doctor",
        scopes=parse("patient/Observation.rs"),
        purpose="PATRQT",
        token=tokens.digest(token),
    )


def test_each_token_has_256_bits_and_is_stored_as_its_hash_only(store: Store) -> None:
    issued = {issue(store) for _ in range(20)}
    assert len(issued) == 20
    assert all(len(token) == 43 for token in issued)
    stored = str(list(store.db["tokens"].find()))
    assert not any(token in stored for token in issued)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_written_in_any_case(store: Store, scheme: str) -> None:
    assert tokens.caller(store, f"{scheme} {issue(store)}").facility == FACILITY


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: "Bearer " + "A" * 43,
        lambda token: f"Bearer {token}, Bearer {token}",
        lambda token: f"Bearer {token},Basic YTpi",
        lambda token: f"Bearer {token} {token}",
        lambda token: f" Bearer {token}",
        lambda token: f"Bearer {token} ",
        lambda token: f"Bearer {token}\n",
        lambda token: f"Bearer\t{token}",
        lambda token: f"Bearer\u00a0{token}",
        lambda token: f"Bearer{token}",
        lambda token: f"Bearer {token}=",
        lambda token: f"Bearer {token[:-1]}",
        lambda token: f"Bearer {token[:-1]}\u0661",
        lambda token: f"Bearer {token[:-1]}\ud800",
        lambda token: f"Bearer {token.swapcase()}",
        lambda token: f"Bearer {tokens.digest(token)}",
        lambda token: f"Bearer {token * 1000}",
        lambda token: "Bearer ",
        lambda token: "Bearer",
    ],
)
def test_a_token_that_is_not_exactly_one_of_ours_is_refused(
    store: Store, spoil: Callable[[str], str]
) -> None:
    refused = refusal(store, spoil(issue(store)))
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="hie", error="invalid_token"'


@pytest.mark.parametrize("header", [None, "", "Basic YTpi", "DPoP abc", ",", "Token token=Bearer"])
def test_without_a_bearer_token_the_challenge_names_no_error(
    store: Store, header: str | None
) -> None:
    refused = refusal(store, header)
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="hie"'


def test_every_refusal_has_the_same_words(store: Store) -> None:
    revoked = issue(store)
    tokens.revoke(store, revoked)
    headers = [None, "Bearer x", f"Bearer {revoked}", "Bearer " + "A" * 43]
    assert len({str(refusal(store, header).outcome()) for header in headers}) == 1


def test_a_token_ends_on_its_second(make_store: Callable[..., Store]) -> None:
    begin = now()
    token = issue(make_store(clock=lambda: begin), seconds=300)
    last = make_store(clock=lambda: begin + timedelta(seconds=299))
    assert tokens.caller(last, f"Bearer {token}").client_id == "client"
    over = make_store(clock=lambda: begin + timedelta(seconds=300))
    assert refusal(over, f"Bearer {token}").status == 401


def test_a_revoked_token_is_refused_by_the_next_request(store: Store) -> None:
    token, other = issue(store), issue(store)
    assert tokens.revoke(store, token)
    assert not tokens.revoke(store, token)
    assert refusal(store, f"Bearer {token}").status == 401
    assert tokens.caller(store, f"Bearer {other}")


def test_another_clients_token_is_left_alone(store: Store) -> None:
    token = issue(store, "one")
    assert not tokens.revoke(store, token, "other")
    assert tokens.caller(store, f"Bearer {token}").client_id == "one"


def test_all_tokens_of_one_client_end(store: Store) -> None:
    mine, other = [issue(store, "mine") for _ in range(3)], issue(store, "other")
    tokens.revoke_all(store, "mine")
    assert all(refusal(store, f"Bearer {token}").status == 401 for token in mine)
    assert tokens.caller(store, f"Bearer {other}")


def test_the_index_that_cleans_up_leaves_tokens_an_hour(store: Store) -> None:
    tokens.ensure_indexes(store)
    indexes = store.db["tokens"].index_information()
    assert indexes["expires_1"]["expireAfterSeconds"] == 3600
    assert "client_id_1" in indexes
