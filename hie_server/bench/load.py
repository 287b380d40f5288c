"""The load: a process of its own that keeps connections busy and costs little itself.

HTTP/1.1, keep-alive, prepared bytes out, as little read of what comes in as will do. Bounded in
connections and in time, and to this machine. https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter
from dataclasses import dataclass
from itertools import cycle
from typing import Iterator, Sequence

HOST = "127.0.0.1"
MOST_CONNECTIONS = 256
MOST_SECONDS = 3_600.0
LAST_ANSWERS_SECONDS = 30.0
CHUNK = 1 << 18


@dataclass(frozen=True)
class Load:
    """What was measured: seconds it took, each answer's nanoseconds, answers by status, and the
    share of its core that the generator used (0 to 1)."""

    seconds: float
    latencies: list[int]
    statuses: dict[int, int]
    generator: float


class _Connection:
    """One connection with at most one request under way."""

    def __init__(self, port: int):
        self.socket = socket.create_connection((HOST, port), timeout=LAST_ANSWERS_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._got = bytearray()
        self._length = 0
        self._sent = 0

    def send(self, request: bytes, due: int | None = None) -> None:
        """`due`: when it was to be sent, if its time counts from then."""
        self._got.clear()
        self._length = 0
        self._sent = due or time.perf_counter_ns()
        self.socket.sendall(request)

    def receive(self) -> tuple[int, int] | None:
        """(status, nanoseconds) once the answer is whole."""
        data = self.socket.recv(CHUNK)
        if not data:
            raise ConnectionError("The server closed a connection that was at work.")
        self._got += data
        if not self._length:
            end = self._got.find(b"\r\n\r\n")
            if end < 0:
                return None
            self._length = end + 4 + _content_length(bytes(self._got[:end]).lower())
        if len(self._got) < self._length:
            return None
        return int(self._got[9:12]), time.perf_counter_ns() - self._sent


def _content_length(head: bytes) -> int:
    _, name, rest = head.partition(b"\r\ncontent-length:")
    if not name:
        raise ConnectionError("An answer without Content-Length can't be measured.")
    return int(rest.partition(b"\r\n")[0])


def drive(
    port: int, requests: Sequence[bytes], connections: int, seconds: float, rate: float = 0
) -> Load:
    """Send the requests in turn, again and again, on all connections at once; with a `rate`, so
    many a second, however slow the answers are.

    Returns after `seconds` and the last answers; every answer counts, and so does its time: with
    a rate from the moment when its request was due, so that a server that stops for a while
    can't keep its requests from counting.
    """
    if not 0 < connections <= MOST_CONNECTIONS or not 0 < seconds <= MOST_SECONDS:
        raise ValueError(f"At most {MOST_CONNECTIONS} connections for {MOST_SECONDS} s.")
    opened = [_Connection(port) for _ in range(connections)]
    try:
        if rate:
            return _paced(opened, cycle(requests), int(seconds * rate), rate)
        return _driven(opened, cycle(requests), seconds)
    finally:
        for each in opened:
            each.socket.close()


def _driven(opened: list[_Connection], requests: Iterator[bytes], seconds: float) -> Load:
    latencies: list[int] = []
    statuses: Counter[int] = Counter()
    with selectors.DefaultSelector() as selector:
        for each in opened:
            selector.register(each.socket, selectors.EVENT_READ, each)
        cpu, start = time.process_time(), time.perf_counter()
        for each in opened:
            each.send(next(requests))
        busy = len(opened)
        while busy:
            ready = selector.select(LAST_ANSWERS_SECONDS)
            if not ready:
                raise ConnectionError(f"No answer within {LAST_ANSWERS_SECONDS:.0f} s.")
            more = time.perf_counter() - start < seconds
            for key, _ in ready:
                answer = key.data.receive()
                if answer is None:
                    continue
                statuses[answer[0]] += 1
                latencies.append(answer[1])
                if more:
                    key.data.send(next(requests))
                else:
                    busy -= 1
        wall = time.perf_counter() - start
        return Load(wall, latencies, dict(statuses), (time.process_time() - cpu) / wall)


def _paced(
    opened: list[_Connection], requests: Iterator[bytes], count: int, rate: float
) -> Load:
    latencies: list[int] = []
    statuses: Counter[int] = Counter()
    idle, sent = list(opened), 0
    with selectors.DefaultSelector() as selector:
        for each in opened:
            selector.register(each.socket, selectors.EVENT_READ, each)
        cpu, start = time.process_time(), time.perf_counter_ns()
        while len(latencies) < count:
            while idle and sent < count and _due(start, sent, rate) <= time.perf_counter_ns():
                idle.pop().send(next(requests), _due(start, sent, rate))
                sent += 1
            wait = LAST_ANSWERS_SECONDS
            if idle and sent < count:
                wait = max(0.0, (_due(start, sent, rate) - time.perf_counter_ns()) / 1e9)
            ready = selector.select(wait)
            if not ready and wait == LAST_ANSWERS_SECONDS:
                raise ConnectionError(f"No answer within {LAST_ANSWERS_SECONDS:.0f} s.")
            for key, _ in ready:
                answer = key.data.receive()
                if answer is not None:
                    statuses[answer[0]] += 1
                    latencies.append(answer[1])
                    idle.append(key.data)
        wall = (time.perf_counter_ns() - start) / 1e9
        return Load(wall, latencies, dict(statuses), (time.process_time() - cpu) / wall)


def _due(start: int, number: int, rate: float) -> int:
    return start + int(number / rate * 1e9)
