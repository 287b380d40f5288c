"""What there is to load: files and folders in, parsed JSON documents out.

NDJSON holds a resource a line (https://hl7.org/fhir/uv/bulkdata/), JSON one a file; either may be
gzipped. Whatever can't be read is a fault of that line or file alone.
"""

from __future__ import annotations

import gzip
import re
import stat
import zlib
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import IO, Any, Callable, Iterable, Iterator

from hie_server.fhir.outcomes import FhirError, Issue
from hie_server.fhir.resources import parse

LINES = (".ndjson", ".jsonl")
SUFFIXES = (".json", *LINES)
LINE = re.compile(r"line (\d+), column")
MOST_LINE = 16 * 1024 * 1024
MOST_FILE = 256 * 1024 * 1024

# (file, why): not loaded, and nothing is wrong with that.
Skip = Callable[[str, str], None]
# (place, fault): not loaded, and somebody should look at it.
Fault = Callable[[str, Issue], None]


@dataclass(frozen=True)
class Source:
    """A file to load; `size` in bytes on disk."""

    path: Path
    size: int

    @property
    def name(self) -> str:
        return shown(self.path)

    @property
    def is_zipped(self) -> bool:
        return self.path.suffix.lower() == ".gz"

    @property
    def has_lines(self) -> bool:
        return _plain(self.path).endswith(LINES)


@dataclass(frozen=True)
class Document:
    """`place`: the file, with its line in NDJSON · `value`: None where it can't be read, and then
    `fault` says why · `size`: bytes read."""

    place: str
    value: dict[str, Any] | None
    size: int
    fault: Issue | None = None


def shown(path: Path) -> str:
    """A path as it may be printed: a file's name can hold anything, what steers a terminal too."""
    return "".join(each if each.isprintable() else "\ufffd" for each in str(path))


def find(paths: Iterable[Path], skip: Skip, fault: Fault) -> Iterator[Source]:
    """The files to load, folders in sorted order, each once however many links lead to it."""
    waiting = list(paths)[::-1]
    seen: set[tuple[int, int]] = set()
    while waiting:
        path = waiting.pop()
        try:
            status = path.stat()
            is_folder = stat.S_ISDIR(status.st_mode)
            known = (status.st_dev, status.st_ino) in seen
            if is_folder and not known:
                waiting += sorted(path.iterdir(), reverse=True)
        except (OSError, RuntimeError) as error:
            fault(shown(path), _unreadable(error))
            continue
        seen.add((status.st_dev, status.st_ino))
        if known:
            skip(shown(path), "read already under another name (a link)")
        elif not is_folder and not stat.S_ISREG(status.st_mode):
            skip(shown(path), "neither a file nor a folder")
        elif not is_folder and not _plain(path).endswith(SUFFIXES):
            skip(shown(path), f"its name ends in none of {', '.join(SUFFIXES)} (or those with .gz)")
        elif not is_folder:
            yield Source(path, status.st_size)


def _plain(path: Path) -> str:
    return path.name.lower().removesuffix(".gz")


def documents(source: Source) -> Iterator[Document]:
    """Never fails: where reading breaks off, the last document says why."""
    place = source.name
    try:
        with gzip.open(source.path) if source.is_zipped else open(source.path, "rb") as file:
            if not source.has_lines:
                yield _with_line(_document(place, file.read(MOST_FILE + 1), MOST_FILE))
                return
            for number in count(1):
                place = f"{source.name}:{number}"
                line = file.readline(MOST_LINE + 1)
                if not line:
                    return
                if len(line) > MOST_LINE and not line.endswith(b"\n"):
                    _finish_line(file)
                if line.strip() or len(line) > MOST_LINE:
                    yield _document(place, line, MOST_LINE)
    except (OSError, EOFError, zlib.error) as error:
        yield Document(place, None, 0, _unreadable(error))


def _document(place: str, data: bytes, most: int) -> Document:
    if len(data) > most:
        too_long = f"It is over {most // 1024 // 1024} MB: split it up."
        return Document(place, None, len(data), Issue("too-long", too_long))
    try:
        return Document(place, parse(data), len(data))
    except FhirError as error:
        return Document(place, None, len(data), error.issues[0])


def _with_line(document: Document) -> Document:
    """A file that can't be read, by the line that its fault is in."""
    found = LINE.search(document.fault.diagnostics) if document.fault else None
    return replace(document, place=f"{document.place}:{found[1]}") if found else document


def _finish_line(file: IO[bytes] | gzip.GzipFile) -> None:
    """Up to the end of a line of which the beginning was too long already."""
    while True:
        rest = file.readline(MOST_LINE)
        if not rest or rest.endswith(b"\n"):
            return


def _unreadable(error: Exception) -> Issue:
    why = getattr(error, "strerror", None) or type(error).__name__
    return Issue("incomplete", f"It can't be read: {why}.")
