"""The embedded MongoDB: one mongod, a replica set of one member, that dies with its maker.

Its key file is the one secret: with it we log in as the member itself to initiate the set and
make the user `hie`, so that the localhost exception, open to anyone on the machine, stays off.
https://www.mongodb.com/docs/manual/core/security-internal-authentication/
"""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from hie_server.config import ConfigError

START_SECONDS = 300  # recovery after a crash reads the journal; a dead process ends the wait
PORT_TAKEN = 48
LISTENS = b"Waiting for connections"
PR_SET_PDEATHSIG = 1
NOT_YET_INITIALIZED, ALREADY_INITIALIZED, USER_EXISTS = 94, 23, 51003
ROLES = ("readWriteAnyDatabase", "dbAdminAnyDatabase", "clusterMonitor")
OPTIONS = (
    *("--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet", "--replSet", "hie"),
    *("--oplogSize", "512"),
    # a slow query's line in the log would show what was asked
    *("--slowms", "2147483647"),
    *("--setParameter", "enableLocalhostAuthBypass=0"),
    *("--setParameter", "diagnosticDataCollectionEnabled=0"),
)
FAULTS = (
    ("error while loading shared libraries", "lacks a library this system must have"),
    ("DBPathInUse", "found its files in use by another mongod"),
    ("No space left", "found the disk full"),
    ("UPGRADE PROBLEM", "can't read files of another MongoDB version: use that version"),
    ("Wrong mongod version", "can't read files of another MongoDB version: use that version"),
)
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Mongod:
    process: subprocess.Popen[bytes]
    port: int
    key: str

    @property
    def uri(self) -> str:
        """As the user `hie`, for the database `hie`."""
        return self._uri("hie", user_password(self.key), "hie", "admin")

    @property
    def member_uri(self) -> str:
        return self._uri("__system", self.key, "admin", "local")

    def _uri(self, user: str, password: str, database: str, source: str) -> str:
        return (
            f"mongodb://{user}:{password}@127.0.0.1:{self.port}/{database}"
            f"?authSource={source}&authMechanism=SCRAM-SHA-256&directConnection=true"
        )

    def stop(self, patience: float = 20) -> None:
        """End it cleanly; after `patience` seconds by force, which the journal makes good."""
        self.process.terminate()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def user_password(key: str) -> str:
    return hmac.new(key.encode(), b"user hie", hashlib.sha256).hexdigest()


def binary() -> Path:
    """The `mongod` on PATH, else the one of the extra `embedded`; ConfigError where none is."""
    found = shutil.which("mongod")
    # looked up as a file: importing that package may start what belongs to its other half
    candidates = [found] if found else [f"{folder}/fiftyone/db/bin/mongod" for folder in sys.path]
    for candidate in candidates:
        if os.path.isfile(candidate):
            return Path(candidate).absolute()
    raise ConfigError(
        "No mongod found: run `pip install 'hie_server[embedded]'`, install MongoDB, "
        "or set HIE_MONGODB_URI."
    )


def start(
    folder: Path, key_file: Path, log: Path, inherit: Sequence[int] = (), cache_gb: float = 0.5
) -> Mongod:
    """A mongod on `folder`, primary and ready, on a free port of 127.0.0.1.

    Call it from the main thread: the kernel ends mongod with the thread that made it. `inherit`
    are file descriptors mongod keeps open as long as it lives. ConfigError: one line on why not.
    """
    key = key_file.read_text("ascii").strip()
    for _ in range(5):
        port = free_port()
        command = [str(binary()), "--dbpath", str(folder), "--keyFile", str(key_file)]
        command += ["--wiredTigerCacheSizeGB", str(cache_gb)]
        process = spawn([*command, "--port", str(port), *OPTIONS], log, inherit)
        started = Mongod(process, port, key)
        try:
            if listens(process, log):
                _become_primary(started)
                return started
        except BaseException:
            started.stop()
            raise
        if process.returncode != PORT_TAKEN:
            break
    raise ConfigError(fault(process, log))


def spawn(command: list[str], log: Path, inherit: Sequence[int]) -> subprocess.Popen[bytes]:
    """Run the command in a session of its own, so that Ctrl-C reaches us alone.

    The log is this run's; that of the run before is put aside.
    """
    if log.exists():
        log.replace(log.with_name(f"{log.name}.old"))
    parent = os.getpid()
    try:
        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=inherit,
                preexec_fn=lambda: die_with(parent),
            )
    except OSError as error:
        raise ConfigError(f"{command[0]} can't be run: {error.strerror}.") from error


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends; a parent gone already ends it now."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(process: subprocess.Popen[bytes], log: Path) -> bool:
    """Wait until mongod says that it takes connections; False if it ended instead.

    A connection to the port would prove nothing: another process may have been faster.
    """
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if LISTENS in log.read_bytes():
            return True
        time.sleep(0.02)
    return False


def _become_primary(mongod: Mongod) -> None:
    """Initiate the set, or move it to this start's port, and make the user."""
    client: MongoClient[dict[str, Any]]
    with MongoClient(mongod.member_uri, serverSelectionTimeoutMS=20_000) as client:
        deadline = time.monotonic() + START_SECONDS
        while not client.admin.command("hello").get("isWritablePrimary"):
            if time.monotonic() > deadline:
                raise ConfigError("mongod did not become primary: see its log.")
            _configure(client, f"127.0.0.1:{mongod.port}")
            time.sleep(0.02)
        roles = [{"role": role, "db": "admin"} for role in ROLES]
        try:
            client.admin.command("createUser", "hie", pwd=user_password(mongod.key), roles=roles)
        except OperationFailure as error:
            if error.code != USER_EXISTS:
                raise


def _configure(client: MongoClient[dict[str, Any]], host: str) -> None:
    try:
        config = client.admin.command("replSetGetConfig")["config"]
        if config["members"][0]["host"] != host:
            config["members"][0]["host"] = host
            client.admin.command("replSetReconfig", config, force=True)
    except OperationFailure as error:
        if error.code != NOT_YET_INITIALIZED:
            raise
        _initiate(client, host)


def _initiate(client: MongoClient[dict[str, Any]], host: str) -> None:
    """Only where there is no set: a start that still loads its own looks the same."""
    try:
        members = [{"_id": 0, "host": host}]
        client.admin.command("replSetInitiate", {"_id": "hie", "members": members})
    except OperationFailure as error:
        if error.code != ALREADY_INITIALIZED:
            raise


def fault(process: subprocess.Popen[bytes], log: Path) -> str:
    """One line on why mongod ended, from its exit code and the end of its log."""
    if process.returncode == -signal.SIGILL:
        return "This machine's CPU lacks an instruction (AVX) of mongod: set HIE_MONGODB_URI."
    text = log.read_bytes()[-20_000:].decode(errors="replace")
    for mark, meaning in FAULTS:
        if mark in text:
            line = next(each for each in reversed(text.splitlines()) if mark in each)
            detail = f": {line}" if not line.startswith("{") else ""
            return f"mongod {meaning}{detail} (see {log})."
    return f"mongod ended at once with code {process.returncode}: see {log}."
