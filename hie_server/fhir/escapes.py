r"""Separators in search values: "," "|" "$", written "\," "\|" "\$" where they are meant literally.

https://hl7.org/fhir/R4/search.html#escaping
"""

from __future__ import annotations

import re

_ESCAPED = re.compile(r"\\([,|$\\])")
# No value contains it: control characters are refused at the door.
_CUT = "\0"


def split(text: str, separator: str) -> list[str]:
    """The parts between separators that aren't escaped; each keeps its escapes."""
    either = rf"\\.|{re.escape(separator)}"
    cut = re.sub(either, lambda m: _CUT if m[0] == separator else m[0], text)
    return cut.split(_CUT)


def unescape(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def parts(text: str) -> list[str]:
    """What `system|code` and its like consist of, unescaped."""
    return [unescape(part) for part in split(text, "|")]
