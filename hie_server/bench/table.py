"""The figures of the table, as JSON and to be read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Iterator

from hie_server.bench.load import Load
from hie_server.bench.rows import BROAD, BROAD_MS, HIDDEN, NEVER, Row

BUSIEST = 0.70  # of its core: a busier load generator measures itself
MOST_SLOWER = 1.3
Json = dict[str, Any]


@dataclass(frozen=True)
class Figures:
    """Of one row at one number of connections. `rate` answers a second; times in milliseconds,
    CPU time for each answer; `generator` its share of its core; `wrong` answers of another status
    than the row's; `resources` there at the time; `status` where the row isn't served: all else
    is then 0."""

    row: str
    connections: int
    resources: int
    rate: float = 0
    p50: float = 0
    p95: float = 0
    p99: float = 0
    server_cpu: float = 0
    mongod_cpu: float = 0
    generator: float = 0
    answers: int = 0
    wrong: int = 0
    not_served: int | None = None


def figures(
    row: Row, connections: int, resources: int, load: Load, server_cpu: float, mongod_cpu: float
) -> Figures:
    """`server_cpu`, `mongod_cpu`: seconds of CPU that the whole of it took."""
    answers = len(load.latencies)
    ordered = sorted(load.latencies)

    def at(share: float) -> float:
        return ordered[min(int(share * answers), answers - 1)] / 1e6

    return Figures(
        row.name,
        connections,
        resources,
        rate=answers / load.seconds,
        p50=at(0.50),
        p95=at(0.95),
        p99=at(0.99),
        server_cpu=server_cpu / answers * 1000,
        mongod_cpu=mongod_cpu / answers * 1000,
        generator=load.generator,
        answers=answers,
        wrong=answers - sum(load.statuses.get(each, 0) for each in {row.status, row.refused}),
    )


def as_json(about: Json, rows: list[Row], measured: list[Figures], scaled: list[Figures]) -> Json:
    """`about` the run; each of `rows` with the ratio reached; of `scaled`, how much slower."""
    return {
        "about": about,
        "rows": [
            {**_rounded(each), **_ratio(each, rows, measured)}
            for each in measured
        ],
        "scale": list(_slower(scaled)),
    }


def _rounded(each: Figures) -> Json:
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in asdict(each).items()
    }


def _ratio(each: Figures, rows: list[Row], measured: list[Figures]) -> Json:
    row = next(one for one in rows if one.name == each.row)
    if row.least is None:
        return {"of": None, "ratio": None, "least": None}
    base = next(
        one.rate for one in measured if (one.row, one.connections) == (row.of, each.connections)
    )
    return {"of": row.of, "ratio": round(each.rate / base, 3), "least": row.least}


def _slower(scaled: list[Figures]) -> Iterator[Json]:
    few = {(each.row, each.connections): each for each in reversed(scaled)}
    for each in scaled:
        before, is_broad = few[each.row, each.connections], each.row in (BROAD, NEVER, HIDDEN)
        if each is not before and before.p50:
            yield {
                "row": each.row,
                "connections": each.connections,
                "resources": [before.resources, each.resources],
                "p50": [round(before.p50, 4), round(each.p50, 4)],
                "p95": [round(before.p95, 4), round(each.p95, 4)],
                "ratio": round(each.p50 / before.p50, 3),
                "most": None if is_broad else MOST_SLOWER,
                "most_ms": BROAD_MS if is_broad else None,
                "wrong": before.wrong + each.wrong,
                "generator": round(max(before.generator, each.generator), 4),
            }


HEAD = (
    f"{'':24}{'conns':>6}{'rate/s':>9}{'p50':>8}{'p95':>8}{'p99 ms':>8}"
    f"{'server':>9}{'mongod':>8}{'load':>6}{'ratio':>8}  at least"
)


def as_text(told: Json) -> Iterator[str]:
    about = told["about"]
    yield (
        f"{about['resources']:,} resources ({about['data']}), {about['workers']} workers of "
        f"{about['threads']} threads, {about['seconds']:g} s each; CPU in ms for each answer"
    )
    yield ""
    yield HEAD
    for each in told["rows"]:
        yield _line(each)
    for each in told["scale"]:
        yield _scale_line(each)
    for each in about["loads"]:
        yield (
            f"loaded {each['resources']:,} resources in bulk in {each['seconds']:,.1f} s: "
            f"{each['rate']:,.0f}/s"
        )
    if "mixed" in told:
        yield _mixed_line(told["mixed"])
    yield from _warnings(told)


def _mixed_line(each: Json) -> str:
    memory = ", ".join(f"{name} {a:.0f} to {b:.0f} MB" for name, (a, b) in each["memory"].items())
    return (
        f"mixed, {each['rate']:,.0f}/s of {each['capacity']:,.0f}/s for {each['seconds']:,.0f} s: "
        f"{each['wrong']} wrong of {each['answers']:,}, p50 {each['p50']:.2f}, p99 "
        f"{each['p99']:.2f} ms ({each['spread']:.1f} times); {memory}"
    )


def _line(each: Json) -> str:
    start = f"{each['row']:24}{each['connections']:>6}"
    if each["not_served"] is not None:
        return f"{start}   not served (it answers {each['not_served']})"
    reached = f"{each['ratio']:>8.3f}  {each['least']:.2f}" if each["ratio"] is not None else ""
    return (
        f"{start}{each['rate']:>9,.0f}{each['p50']:>8.2f}{each['p95']:>8.2f}{each['p99']:>8.2f}"
        f"{each['server_cpu']:>9.3f}{each['mongod_cpu']:>8.3f}{each['generator']:>6.0%}{reached}"
    )


def _scale_line(each: Json) -> str:
    few, many = each["resources"]
    most = f"{each['most']} times" if each["most"] else f"{each['most_ms']:.0f} ms"
    return (
        f"{each['row']:24}{each['connections']:>6}   p50 {each['p50'][0]:.2f} ms at {few:,}, "
        f"{each['p50'][1]:.2f} ms at {many:,}: {each['ratio']:.2f} times (at most {most})"
    )


def _warnings(told: Json) -> Iterator[str]:
    for each in (*told["rows"], *told["scale"]):
        where = f"{each['row']} at {each['connections']} connections"
        if each["generator"] > BUSIEST:
            yield (
                f"Too low: {where}: the load generator was at {each['generator']:.0%} of its core, "
                f"over {BUSIEST:.0%}."
            )
        if each["wrong"]:
            yield f"Not valid: {where}: {each['wrong']} answers were of another status."
