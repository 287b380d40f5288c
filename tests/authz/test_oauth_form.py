from typing import Any

import pytest

# The fixtures' types live in a conftest, which has no importable name.
Endpoint = Any
GRANT = "grant_type=client_credentials"


def error(response: Any) -> tuple[int, str]:
    return response.status_code, response.json["error"]


@pytest.mark.parametrize(
    "form, answer",
    [
        ("", "invalid_request"),
        ("grant_type", "invalid_request"),
        ("scope=system%2F*.rs", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("grant_type=password&username=a&password=b", "unsupported_grant_type"),
        ("grant_type=Client_Credentials", "unsupported_grant_type"),
        (f"{GRANT}&{GRANT}", "invalid_request"),
        (f"{GRANT}&scope=system/*.r&scope=system/*.c", "invalid_request"),
        (f"{GRANT}&scope=system/*.r&scope=", "invalid_request"),
        (f"{GRANT}&purpose_of_use=TREAT&purpose_of_use=BTG", "invalid_request"),
        (f"{GRANT}&x=1&x=2", "invalid_request"),
        (f"{GRANT}&scope=%ff", "invalid_request"),
        (b"grant_type=client_credentials&scope=\xff", "invalid_request"),
        (GRANT + "".join(f"&a{n}=" for n in range(50)), "invalid_request"),
    ],
)
def test_a_form_that_is_not_clear_is_refused(
    endpoint: Endpoint, form: str | bytes, answer: str
) -> None:
    client, secret = endpoint.client()
    assert error(endpoint.post(form, (client.client_id, secret))) == (400, answer)


@pytest.mark.parametrize("query", ["scope=system/*.r", "client_secret=x", "x"])
def test_parameters_in_the_url_are_refused(endpoint: Endpoint, query: str) -> None:
    client, secret = endpoint.client()
    response = endpoint.post({}, (client.client_id, secret), path=f"/oauth/token?{query}")
    assert error(response) == (400, "invalid_request")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json", "text/plain", "multipart/form-data; boundary=x", "",
        "application/x-www-form-urlencoded; charset=utf-16",
    ],
)
def test_a_body_that_is_no_form_is_refused(endpoint: Endpoint, content_type: str) -> None:
    client, secret = endpoint.client()
    body = GRANT
    response = endpoint.post(body, (client.client_id, secret), content_type=content_type)
    assert error(response) == (400, "invalid_request")


def test_a_form_says_that_it_is_utf_8(endpoint: Endpoint) -> None:
    client, secret = endpoint.client()
    content_type = "application/x-www-form-urlencoded; charset=UTF-8"
    assert endpoint.post({}, (client.client_id, secret), content_type=content_type).json["scope"]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [16_385, 100_000])
def test_a_long_form_is_refused_and_never_cut(
    endpoint: Endpoint, chunked: bool, size: int
) -> None:
    client, secret = endpoint.client()
    body = f"{GRANT}&x=".ljust(size, "y")
    options = {"environ_overrides": {"wsgi.input_terminated": True}} if chunked else {}
    if chunked:
        options["headers"] = {"Transfer-Encoding": "chunked"}  # type: ignore[assignment]
        options["environ_overrides"]["CONTENT_LENGTH"] = ""  # type: ignore[assignment]
    response = endpoint.post(body, (client.client_id, secret), **options)
    assert error(response) == (413, "invalid_request")
