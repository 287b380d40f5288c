"""Figures, ratios and what the table says of them."""

from __future__ import annotations

from hie_server.bench import table
from hie_server.bench.load import Load
from hie_server.bench.rows import Row
from hie_server.bench.table import Figures

FLOOR = Row("floor", (b"",))
READ = Row("read", (b"",), of="floor", least=0.4)
ROWS = [FLOOR, READ]
ABOUT = {
    "resources": 10, "data": "made here", "workers": 2, "threads": 8, "seconds": 5.0,
    "loads": [{"resources": 10, "seconds": 1.0, "rate": 10.0}],
}


def figures(row: str, connections: int = 8, resources: int = 10, **more: float) -> Figures:
    return Figures(row, connections, resources, **more)  # type: ignore[arg-type]


def text(measured: list[Figures], scaled: list[Figures]) -> str:
    return "\n".join(table.as_text(table.as_json(ABOUT, ROWS, measured, scaled)))


def test_figures_of_a_load():
    latencies = [each * 1_000_000 for each in range(1, 101)]
    load = Load(2.0, latencies, {200: 99, 500: 1}, 0.3)
    made = table.figures(READ, 8, 10, load, server_cpu=0.2, mongod_cpu=0.1)
    assert made == Figures(
        "read", 8, 10, rate=50, p50=51, p95=96, p99=100, server_cpu=2, mongod_cpu=1,
        generator=0.3, answers=100, wrong=1,
    )


def test_the_ratio_is_to_the_floor_of_as_many_connections():
    measured = [
        figures("floor", 1, rate=100), figures("read", 1, rate=10),
        figures("floor", 8, rate=200), figures("read", 8, rate=100),
    ]
    told = table.as_json(ABOUT, ROWS, measured, [])
    assert [each["ratio"] for each in told["rows"]] == [None, 0.1, None, 0.5]


def test_says_how_much_slower_it_is_among_more_records():
    scaled = [figures("read", resources=10, p50=2.0), figures("read", resources=1000, p50=3.0)]
    told = table.as_json(ABOUT, ROWS, [], scaled)["scale"]
    assert [(each["resources"], each["ratio"]) for each in told] == [([10, 1000], 1.5)]
    assert "1.50 times (at most 1.3 times)" in text([], scaled)


def test_says_when_the_load_generator_was_too_busy():
    busy = [figures("floor", rate=9, generator=0.71), figures("read", rate=9, generator=0.70)]
    said = text(busy, [])
    assert "Too low: floor at 8 connections" in said and "Too low: read" not in said


def test_says_when_answers_were_not_what_they_should_be():
    assert "read at 8 connections: 3 answers" in text([figures("floor", rate=1), figures(
        "read", rate=1, wrong=3
    )], [])


def test_a_row_that_is_not_served_says_so():
    said = text([figures("floor", rate=1), figures("read", not_served=405)], [])
    assert "not served (it answers 405)" in said
