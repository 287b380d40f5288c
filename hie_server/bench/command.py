"""`hie bench`: what this machine does with the exchange, beside what it can do at most."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TextIO

import click

from hie_server.bench.run import Plan, run
from hie_server.bench.table import as_text


@click.command()
@click.option(
    "--data",
    multiple=True,
    type=click.Path(exists=True, path_type=Path, resolve_path=True),
    help="NDJSON, Bundles, folders of them: may be repeated.  [default: records made up]",
)
@click.option(
    "--scale",
    type=click.IntRange(10_001, 10_000_000),
    help="Also look at reads and searches among this many resources, copies of the data.",
)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 60), default=5, show_default=True, help="A figure."
)
@click.option(
    "--mixed",
    type=click.FloatRange(1, 3600),
    help="Also bear reads and writes together for so many seconds, at 80 % of what it can.",
)
@click.option(
    "--json",
    "told_to",
    type=click.File("w", lazy=False),
    help="Write the table as JSON, too; - is stdout, instead of the table.",
)
def bench(
    data: tuple[Path, ...],
    scale: int | None,
    seconds: float,
    mixed: float | None,
    told_to: TextIO | None,
) -> None:
    """Measure rate, latency and CPU, and how near they come to a bare server's.

    It starts a database and servers of its own in a temporary folder (TMPDIR), and removes them.
    """
    # the end that Ctrl-C makes, which stops all that was started
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = Plan(data, scale=scale or 0, seconds=seconds, mixed=mixed or 0)
    told = run(plan, lambda line: click.echo(line, err=True))
    if told_to is not None:
        json.dump(told, told_to, indent=2)
        told_to.write("\n")
    if told_to is not sys.stdout:
        click.echo("\n".join(as_text(told)))
