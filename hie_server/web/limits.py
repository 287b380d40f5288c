"""What a request may be: sizes, media types, preconditions. What isn't is a clear error.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import re

from flask import Request, request

from hie_server.fhir.definitions import resource_types
from hie_server.fhir.outcomes import FhirError, Issue, bad_request

MOST_BODY = 16 * 1024 * 1024
MOST_URL = 8 * 1024
MOST_HEADERS = 16 * 1024
JSON = ("application/fhir+json", "application/json", "text/json")
FORM = "application/x-www-form-urlencoded"
FORMATS = ("json", *JSON)
WILDCARDS = ("*/*", "application/*", "text/*")
ETAG = re.compile(r'W/"([1-9][0-9]{0,8})"')


def check_size(incoming: Request) -> None:
    url = len(incoming.environ.get("RAW_URI") or incoming.full_path)
    if url > MOST_URL:
        raise _refused(414, "too-long", f"The URL is over {MOST_URL} bytes: POST to _search.")
    if sum(len(name) + len(value) for name, value in incoming.headers.items()) > MOST_HEADERS:
        raise _refused(431, "too-long", f"The headers are over {MOST_HEADERS} bytes.")
    if (incoming.content_length or 0) > MOST_BODY:
        raise _too_large()


def check_accept(incoming: Request) -> None:
    """406 where no JSON would be taken; `_format` wins over the header."""
    wanted = incoming.args.get("_format")
    if wanted is not None:
        if wanted.partition(";")[0].replace(" ", "+") not in FORMATS:
            raise _refused(406, "not-supported", f"_format={wanted[:40]}: only json is served.")
        return
    accepted = incoming.accept_mimetypes
    taken = {value.partition(";")[0].strip().lower() for value, quality in accepted if quality}
    if accepted and taken.isdisjoint((*JSON, *WILDCARDS)):
        raise _refused(406, "not-supported", f"Accept: only {JSON[0]} is served.")


def check_type(kind: str) -> None:
    if kind not in resource_types():
        diagnostics = f"{kind[:40]!r} is no resource type of R4."
        raise _refused(404, "not-supported", diagnostics)


def body_of(incoming: Request) -> bytes:
    """The JSON body: read here, since a chunked one has no length to trust."""
    if incoming.mimetype not in JSON:
        shown = incoming.mimetype[:60] or "no Content-Type"
        raise _refused(415, "not-supported", f"{shown} is not taken; {JSON[0]} is.")
    body = incoming.stream.read(MOST_BODY + 1)
    if len(body) > MOST_BODY:
        raise _too_large()
    return bytes(body)


def form_pairs() -> list[tuple[str, str]]:
    """The parameters of a POST search: those of the form, then those of the URL."""
    if request.mimetype and request.mimetype != FORM:
        raise _refused(415, "not-supported", f"_search takes {FORM}.")
    return [*request.form.items(multi=True), *request.args.items(multi=True)]


def if_match() -> int | None:
    """The version that must be current: `W/"n"`, or None where none is demanded."""
    header = request.headers.get("If-Match")
    if header is None:
        return None
    found = ETAG.fullmatch(header.strip())
    if found is None:
        raise bad_request('If-Match must be one weak ETag, W/"n".', "If-Match")
    return int(found[1])


def refuse_condition() -> None:
    """A condition that isn't looked at must not be passed over: it would make duplicates."""
    if "If-None-Exist" in request.headers:
        diagnostics = "If-None-Exist is served in transactions (ifNoneExist), not here."
        raise _refused(400, "not-supported", diagnostics)


def preference(name: str, allowed: tuple[str, ...]) -> str:
    """The value of a Prefer directive (RFC 7240) or ""; what isn't known is left alone."""
    for part in request.headers.get("Prefer", "").replace(";", ",").split(","):
        key, _, value = part.strip().partition("=")
        if key.strip().lower() == name and value.strip().strip('"') in allowed:
            return value.strip().strip('"')
    return ""


def _too_large() -> FhirError:
    return _refused(413, "too-long", f"The body is over {MOST_BODY} bytes.")


def _refused(status: int, code: str, diagnostics: str) -> FhirError:
    return FhirError(status, [Issue(code, diagnostics)])
