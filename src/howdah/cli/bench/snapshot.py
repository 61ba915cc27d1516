"""`howdah bench snapshot`: whether old snapshots slow drains down."""

from __future__ import annotations

import click

from howdah.bench.snapshot import HOLDS, NONE, snapshot
from howdah.cli.bench.measuring import measure, options
from howdah.cli.bench.measuring import processes as with_processes


@click.command("snapshot")
@click.option(
    "--jobs", "-n", type=click.IntRange(1), default=20_000, show_default=True, help="In each round."
)
@with_processes
@click.option(
    "--hold",
    "holds",
    type=click.Choice((*HOLDS, NONE)),
    multiple=True,
    default=HOLDS,
    show_default=True,
    help="What the other transaction does; none: there is none, for comparison.",
)
@options(rounds=5)
def command(
    *, jobs: int, processes: int, holds: tuple[str, ...], rounds: int, yes: bool, as_json: bool
) -> None:
    """Rounds of fill and drain while another session holds a transaction open."""
    measure(
        lambda settings: snapshot(
            settings, jobs=jobs, processes=processes, rounds=rounds, holds=holds
        ),
        yes=yes,
        as_json=as_json,
    )
