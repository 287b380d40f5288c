"""Logs: one line a record on stderr, JSON in production, and nothing of a person in any.

Of an exception only its type and place are logged, never its text; of other libraries only
warnings, since what they tell for debugging holds commands and secrets.
"""

from __future__ import annotations

import logging
import re
import threading
import traceback
from datetime import UTC, datetime
from typing import Any

import orjson

from hie_server.config import Settings

access_log = logging.getLogger("hie.access")
log = logging.getLogger("hie.web")
# A trace id, as machines make them: any other text of a caller's may be a name or a number.
TRACE_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def config(settings: Settings) -> dict[str, Any]:
    """For logging.config.dictConfig. The server applies it to itself and in each worker."""
    formatter = Json if settings.production else Readable
    own = {"level": settings.log_level}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {"hie": own, "hie_server": own, "_granian": {"level": "ERROR"}},
    }


def place(error: BaseException) -> str:
    """The type of an exception and where it was raised: its text may hold a person's data."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    where = " < ".join(f"{each.filename.rpartition('/')[2]}:{each.lineno}" for each in frames)
    return f"{type(error).__name__} at {where}"


def _parts(record: logging.LogRecord) -> dict[str, Any]:
    parts: dict[str, Any] = {"message": record.getMessage(), **getattr(record, "fields", {})}
    if record.exc_info and record.exc_info[1] is not None:
        parts["error"] = place(record.exc_info[1])
    return parts


class Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = {"time": moment.replace("+00:00", "Z"), "level": record.levelname}
        return orjson.dumps({**head, "logger": record.name, **_parts(record)}, str).decode()


class Readable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        parts = _parts(record)
        message = parts.pop("message").replace("\n", "\\n")
        more = "".join(f" {name}={value}" for name, value in parts.items() if value is not None)
        moment = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        return f"{moment} {record.levelname:7} {message}{more}"


def request_id(text: str) -> str | None:
    """The request's id where it is a trace id; the journal keeps the others."""
    return text if TRACE_ID.fullmatch(text) else None


def tell_thread_faults() -> None:
    """What ends a thread is logged as any other fault, without its text."""
    threading.excepthook = _thread_fault


def _thread_fault(args: threading.ExceptHookArgs) -> None:
    log.error("A thread ended by a fault.", exc_info=args.exc_value)
