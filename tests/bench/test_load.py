"""The load generator against a server that answers as it is told."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import Iterator

import pytest

from hie_server.bench.load import drive

SECONDS = 0.05


@contextmanager
def answering(*parts: bytes) -> Iterator[int]:
    """A port that answers each request (of one packet) with these bytes, one write each."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve(connection: socket.socket) -> None:
            with connection:
                while connection.recv(65536):
                    for part in parts:
                        connection.sendall(part)
                    if not parts:
                        return

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=[connection], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def test_counts_answers_by_status_and_times_each():
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as port:
        load = drive(port, [b"GET / HTTP/1.1\r\n\r\n"], 3, SECONDS)
    assert set(load.statuses) == {200} and load.statuses[200] == len(load.latencies) >= 3
    assert all(0 < each <= load.seconds * 1e9 for each in load.latencies)
    assert load.seconds >= SECONDS and 0 <= load.generator <= 1.1


def test_an_answer_in_pieces_is_one_answer():
    pieces = b"HTTP/1.1 40", b"4 Not Found\r\ncontent-", b"length: 4\r\n", b"\r\nab", b"cd"
    with answering(*pieces) as port:
        load = drive(port, [b"x"], 1, SECONDS)
    assert set(load.statuses) == {404}


def test_stops_with_the_last_answer_of_each_connection():
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as port:
        load = drive(port, [b"x"], 5, 1e-9)
    assert load.statuses == {200: 5}


def test_a_connection_closed_at_work_is_an_error():
    with answering() as port, pytest.raises(ConnectionError):
        drive(port, [b"x"], 1, SECONDS)


def test_an_answer_without_length_is_an_error():
    with answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") as port:
        with pytest.raises(ConnectionError, match="Content-Length"):
            drive(port, [b"x"], 1, SECONDS)


@pytest.mark.parametrize(("connections", "seconds"), [(0, 1), (257, 1), (1, 0), (1, 3601)])
def test_is_bounded_in_connections_and_time(connections: int, seconds: float):
    with pytest.raises(ValueError, match="At most"):
        drive(1, [b"x"], connections, seconds)


def test_a_rate_is_kept_and_time_counts_from_when_a_request_was_due():
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as port:
        load = drive(port, [b"x"], 2, 0.2, rate=100)
        behind = drive(port, [b"x"], 1, 0.01, rate=100_000)
    assert load.statuses == {200: 20} and 0.19 <= load.seconds < 2
    assert behind.statuses == {200: 1000}
    assert max(behind.latencies) > 10 * min(behind.latencies)
