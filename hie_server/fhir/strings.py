"""Strings as a search compares them: without case, Latin accents, the nukta, surplus spaces.

Devanagari's vowel signs and virama stay: without them different words would be one. The nukta goes
because it is often left out in writing, and joiners (U+200C, U+200D) because nobody sees them.
https://hl7.org/fhir/R4/search.html#string
"""

from __future__ import annotations

import re
from typing import Any, Iterator
from unicodedata import normalize

PREFIX = 12
"""Characters of a folded string of which every prefix is indexed."""

# After a Latin letter (a-z, or one such as ø that has no decomposition): combining marks.
_ACCENTS = re.compile("(?<=[a-z\u00df-\u024f])[\u0300-\u036f]+")
_NUKTA_AND_JOINERS = str.maketrans("", "", "\u093c\u200c\u200d")
_LISTS = ("given", "prefix", "suffix", "line")
_PARTS = {
    "HumanName": ("family", "given", "prefix", "suffix", "text"),
    "Address": ("line", "city", "district", "state", "postalCode", "country", "text"),
}


def fold(text: str) -> str:
    if text.isascii():
        return " ".join(text.lower().split())
    apart = normalize("NFKD", normalize("NFKD", text).casefold())
    plain = _ACCENTS.sub("", apart.translate(_NUKTA_AND_JOINERS))
    return normalize("NFC", " ".join(plain.split()))


def strings_of(value: Any, kind: str) -> Iterator[str]:
    """What a value of FHIR type `kind` is searched by: each part of a name on its own."""
    if isinstance(value, str):
        yield value
    for name in _PARTS.get(kind, ()):
        part = value.get(name)
        if name in _LISTS:
            yield from (each for each in part or () if each is not None)
        elif part is not None:
            yield part
