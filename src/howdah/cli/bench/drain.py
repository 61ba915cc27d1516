"""`howdah bench drain`: how fast workers drain a backlog."""

from __future__ import annotations

import click

from howdah.bench.drain import drain
from howdah.cli.bench.measuring import measure, options
from howdah.cli.bench.measuring import processes as with_processes


@click.command("drain")
@click.option("--jobs", "-n", type=click.IntRange(1), default=100_000, show_default=True)
@with_processes
@click.option(
    "--slots",
    "-c",
    type=click.IntRange(1, 10_000),
    help="In each process; as configured, if unsaid.",
)
@options(rounds=3)
def command(
    *, jobs: int, processes: int, slots: int | None, rounds: int, yes: bool, as_json: bool
) -> None:
    """Drain no-op jobs, history kept: jobs a second, and the server's cost of each."""
    measure(
        lambda settings: drain(
            settings, jobs=jobs, processes=processes, slots=slots, rounds=rounds
        ),
        yes=yes,
        as_json=as_json,
    )
