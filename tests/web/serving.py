"""`hie serve` as a process of its own, with what it logs."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from hie_server.config import Settings
from hie_server.web import server

ROOT = Path(__file__).parents[2]


@dataclass
class Serving:
    process: subprocess.Popen[str]
    port: int
    log: Path

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        return self.ask("GET", path, None, headers or {})

    def ask(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def workers(self) -> set[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return {int(pid) for pid in path.read_text().split()}


@contextmanager
def serve(settings: Settings, log: Path, **more: str) -> Iterator[Serving]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    kept = {name: text for name, text in os.environ.items() if not name.startswith("HIE_")}
    environ = {
        **kept,
        "PYTHONPATH": str(ROOT),
        "HIE_MONGODB_URI": settings.mongodb_uri,
        "HIE_SERVER_KEY": settings.server_key,
        "HIE_BASE_URL": f"http://127.0.0.1:{port}",
        **more,
    }
    command = [sys.executable, "-m", "hie_server.cli", "serve", "--port", str(port)]
    with log.open("w") as stderr, subprocess.Popen(
        command, env=environ, stderr=stderr, text=True
    ) as process:
        try:
            assert server.wait_ready(port, 60)
            yield Serving(process, port, log)
        finally:
            process.terminate()
            assert process.wait(20) == 0
