"""The data directory of `hie up`: whose it is, its lock, its keys, its database.

    lock           held by flock as long as any process of a `hie up` lives
    server.key     under which all records are sealed: without it they can't be read
    mongodb.key    the embedded MongoDB's secret · mongodb/ its files · mongod.log
    runtime.json   the settings of the running `hie up`, for other commands; gone when it stops
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Iterator, Mapping

from hie_server import config
from hie_server.config import ConfigError, Settings
from hie_server.store import mongod

# Files by which a folder is known as the data of MongoDB, PostgreSQL or MySQL.
DATABASE_FILES = ("WiredTiger", "mongod.lock", "storage.bson", "PG_VERSION", "ibdata1")
OTHER = "name another folder with --data-dir"
LOCK_SECONDS = 1.0  # what the kernel needs to end the processes of a killed `hie up`
START_SECONDS = 60.0  # how long a command waits for a `hie up` that is starting


def default_path() -> Path:
    """https://specifications.freedesktop.org/basedir-spec/latest/"""
    home = os.environ.get("XDG_DATA_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".local/share") / "hie"


@contextmanager
def claimed(path: Path) -> Iterator[int]:
    """Make the folder where it is missing, and hold its lock: yields the lock's descriptor.

    ConfigError where it can't be written, is another's, or another `hie` works on it.
    """
    try:
        path.mkdir(0o700, parents=True, exist_ok=True)
        refuse_foreign(path)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        reason = "is a file" if isinstance(error, FileExistsError) else error.strerror
        raise ConfigError(f"{path} can't be used ({reason}): {OTHER}.") from error
    try:
        if not _locks(lock, LOCK_SECONDS):
            raise ConfigError(f"{path} is in use by another hie: stop that, or {OTHER}.")
        (path / "runtime.json").unlink(missing_ok=True)
        try:
            yield lock
        finally:
            (path / "runtime.json").unlink(missing_ok=True)
    finally:
        os.close(lock)


def refuse_foreign(path: Path) -> None:
    """ConfigError if the folder is another user's, or holds what we would harm or expose."""
    for each in (path, path / "mongodb", path / "server.key"):
        if each.exists() and each.stat().st_uid != os.geteuid():
            raise ConfigError(f"{each} belongs to another user: {OTHER}.")
    ours = (path / "mongodb.key").exists() or (path / "server.key").exists()
    if _any_file(path / "mongodb") and not (path / "mongodb.key").exists():
        raise ConfigError(f"{path / 'mongodb'} holds a database that hie did not make: {OTHER}.")
    for name in DATABASE_FILES:
        if (path / name).exists():
            raise ConfigError(f"{path} holds database files of another kind ({name}): {OTHER}.")
    if ours or not _any_file(path):
        path.chmod(0o700)
    elif path.stat().st_mode & 0o022:
        raise ConfigError(f"{path} can be written by other users: {OTHER}.")


def _any_file(folder: Path) -> bool:
    return folder.exists() and any(folder.iterdir())


def _locks(lock: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600, whole or not at all, on disk when this returns."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except OSError as error:
        raise ConfigError(f"{path} can't be written ({error.strerror}): {OTHER}.") from error


def key_file(path: Path) -> Path:
    """The file of a key (64 hexadecimal digits), made where there is none."""
    if not path.exists():
        write_private(path, secrets.token_hex(32) + "\n")
    return path


def server_key_file(path: Path) -> Path:
    """The server key of this claimed folder. A lost one is never replaced by a new one."""
    file = path / "server.key"
    if _any_file(path / "mongodb") and not file.exists():
        raise ConfigError(f"{file} is missing, and nothing can be read without it: put it back.")
    return key_file(file).absolute()


@contextmanager
def serving(path: Path, lock: int, base_url: str) -> Iterator[tuple[Settings, Popen[bytes] | None]]:
    """The settings of a server on this claimed folder, and the embedded mongod it depends on.

    There is none where HIE_MONGODB_URI names a database.
    """
    environ = {**os.environ, "HIE_ENVIRONMENT": "development", "HIE_BASE_URL": base_url}
    if not _names_key(environ):
        environ["HIE_SERVER_KEY_FILE"] = str(server_key_file(path))
    if environ.get("HIE_MONGODB_URI"):
        yield config.load(environ), None
        return
    (path / "mongodb").mkdir(0o700, exist_ok=True)
    key = key_file(path / "mongodb.key")
    started = mongod.start(path / "mongodb", key, path / "mongod.log", inherit=[lock])
    try:
        yield config.load({**environ, "HIE_MONGODB_URI": started.uri}), started.process
    finally:
        started.stop()


def _names_key(environ: Mapping[str, str]) -> bool:
    return bool(environ.get("HIE_SERVER_KEY") or environ.get("HIE_SERVER_KEY_FILE"))


def announce(path: Path, settings: Settings) -> None:
    """Tell other commands what to work on; `claimed` removes it."""
    runtime = {"HIE_ENVIRONMENT": settings.environment, "HIE_BASE_URL": settings.base_url}
    runtime["HIE_MONGODB_URI"] = settings.mongodb_uri
    if settings.server_key_file:
        runtime["HIE_SERVER_KEY_FILE"] = str(settings.server_key_file)
    write_private(path / "runtime.json", json.dumps(runtime, indent=2) + "\n")


def running(path: Path) -> Settings | None:
    """The settings of the `hie up` at work on this folder, once it is up; None if none is."""
    deadline = time.monotonic() + START_SECONDS
    while _is_locked(path):
        try:
            runtime = json.loads((path / "runtime.json").read_text())
            return config.load({**os.environ, **runtime})
        except FileNotFoundError:
            if time.monotonic() > deadline:
                raise ConfigError(f"{path} is in use by another hie: wait for it.") from None
            time.sleep(0.1)
    return None


def _is_locked(path: Path) -> bool:
    try:
        lock = os.open(path / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
