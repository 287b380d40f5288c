"""Counts and times of every request, for Prometheus; an access line for each in the log.

Labels come from the route table alone: no path, id or address of a request is among them.
The workers share a folder of memory-mapped counts, so that any of them can tell those of all.
https://prometheus.io/docs/instrumenting/exposition_formats/
https://prometheus.github.io/client_python/multiprocess/
"""

from __future__ import annotations

import ipaddress
import os
import platform
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator

from flask import Blueprint, Flask, Response, abort, current_app, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    values,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from hie_server.fhir.capability import software_version
from hie_server.web import logs

blueprint = Blueprint("metrics", __name__)
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
PREFIX = "hie-metrics-"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
UNLOGGED = ("/health/live", "/health/ready", "/metrics")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZES = (1, 2, 4, 8, 16, 32, 64)
PROXY_HEADERS = ("X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via")


class Metrics:
    """Of one application; in a server, the workers' sum."""

    def __init__(self) -> None:
        self._own = CollectorRegistry()
        own: dict[str, Any] = {"registry": self._own}
        self.requests = Counter(
            "hie_requests", "Requests answered.", ["route", "method", "status"], **own
        )
        self.seconds = Histogram(
            "hie_request_seconds", "Time to an answer.", ["route", "method"], buckets=SECONDS, **own
        )
        self.in_flight = Gauge(
            "hie_requests_in_flight", "Requests at work.", multiprocess_mode="livesum", **own
        )
        self.refused = Counter("hie_requests_refused", "Requests answered 401.", **own)
        self.batch = Histogram(
            "hie_journal_batch_entries", "Entries a commit of the journal.", buckets=SIZES, **own
        )
        self.commit = Histogram(
            "hie_journal_commit_seconds", "Time of a commit.", buckets=SECONDS, **own
        )
        self.unwritten = Counter("hie_journal_failures", "Commits that failed.", **own)
        build = Gauge(
            "hie_build_info", "Always 1.", ["version", "python"], multiprocess_mode="max", **own
        )
        build.labels(software_version(), platform.python_version()).set(1)

    def committed(self, entries: int, seconds: float, failed: bool) -> None:
        self.batch.observe(entries)
        self.commit.observe(seconds)
        if failed:
            self.unwritten.inc()

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        self.requests.labels(route, method, f"{status // 100}xx").inc()
        self.seconds.labels(route, method).observe(seconds)
        if status == 401:
            self.refused.inc()

    def text(self) -> bytes:
        folder = os.environ.get(FOLDER)
        if not folder:
            return generate_latest(self._own)
        _forget_dead(Path(folder))
        registry = CollectorRegistry()
        registry.register(_Workers(Path(folder)))
        return generate_latest(registry)


class _Workers(Collector):
    """The sum of all. A starting worker's file is empty for a moment, and has no counts yet."""

    def __init__(self, folder: Path):
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        with os.scandir(self._folder) as entries:
            begun = [each.path for each in entries if _size(each) and each.name.endswith(".db")]
        found: Iterable[Metric] = MultiProcessCollector.merge(begun)
        return found


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return 0


def _forget_dead(folder: Path) -> None:
    """A killed worker has nothing at work any more; what it counted stays."""
    for path in folder.glob("gauge_livesum_*.db"):
        process = path.stem.rpartition("_")[2]
        if not _lives(int(process)):
            mark_process_dead(process, str(folder))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextmanager
def shared() -> Iterator[None]:
    """While a server runs: its workers, started within, count together."""
    _remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-") as folder:
        os.environ[FOLDER] = folder
        before = values.ValueClass
        # chosen when the library was imported, hence again now
        values.ValueClass = values.MultiProcessValue()
        try:
            yield
        finally:
            values.ValueClass = before
            del os.environ[FOLDER]


def _remove_leftovers() -> None:
    """Of servers that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}[0-9]*-*"):
        process = folder.name.removeprefix(PREFIX).partition("-")[0]
        if process.isdigit() and not _lives(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def watch(app: Flask) -> Metrics:
    """Measure and log every request of the application. To be called before other hooks."""
    metrics = Metrics()
    app.extensions["metrics"] = metrics
    app.register_blueprint(blueprint)
    app.before_request(_remember)
    app.wsgi_app = _Watched(app.wsgi_app, metrics)  # type: ignore[method-assign]
    return metrics


def _remember() -> None:
    """For when Flask has forgotten the request: its route, and what the gate found out."""
    request.environ["hie.route"] = request.url_rule.rule if request.url_rule else "none"
    request.environ["hie.g"] = g._get_current_object()


Wsgi = Callable[..., Iterable[bytes]]


class _Watched:
    def __init__(self, app: Wsgi, metrics: Metrics):
        self._app, self._metrics = app, metrics

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer: list[Any] = ["500", []]

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            answer[:] = status, headers
            return start_response(status, headers, *more)

        began = time.perf_counter()
        self._metrics.in_flight.inc()
        try:
            return self._app(environ, start)
        finally:
            self._metrics.in_flight.dec()
            self._tell(environ, int(answer[0][:3]), answer[1], time.perf_counter() - began)

    def _tell(
        self, environ: dict[str, Any], status: int, headers: list[tuple[str, str]], seconds: float
    ) -> None:
        route = environ.get("hie.route", "none")
        method = environ["REQUEST_METHOD"]
        method = method if method in METHODS else "other"
        self._metrics.answered(route, method, status, seconds)
        if route in UNLOGGED or not logs.access_log.isEnabledFor(20):
            return
        found = environ.get("hie.g")
        caller, record = getattr(found, "caller", None), getattr(found, "record", None)
        fields = {
            "method": method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "bytes": next((int(v) for name, v in headers if name == "Content-Length"), None),
            "facility": caller.facility if caller else None,
            "client": caller.client_id if caller else None,
            "request": logs.request_id(record.request) if record else None,
        }
        logs.access_log.info("request", extra={"fields": fields})


@blueprint.get("/metrics")
def metrics() -> Response:
    """For this machine alone: 404 through a proxy or from elsewhere."""
    forwarded = any(name in request.headers for name in PROXY_HEADERS)
    if forwarded or not _loopback(request.environ.get("REMOTE_ADDR", "")):
        abort(404)
    found: Metrics = current_app.extensions["metrics"]
    return Response(found.text(), content_type=CONTENT_TYPE_LATEST)


def _loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback
