"""`howdah bench enqueue`: how fast jobs are enqueued."""

from __future__ import annotations

import click

from howdah.bench.enqueue import enqueue
from howdah.cli.bench.measuring import measure, options


@click.command("enqueue")
@click.option(
    "--jobs", "-n", type=click.IntRange(1), default=3_000, show_default=True, help="One by one."
)
@click.option(
    "--bulk", type=click.IntRange(1), default=100_000, show_default=True, help="Jobs in bulk."
)
@click.option(
    "--batch", type=click.IntRange(1, 10_000), default=1_000, show_default=True, help="In a call."
)
@click.option(
    "--clients", type=click.IntRange(1, 500), default=32, show_default=True, help="At once."
)
@options(rounds=3)
def command(*, yes: bool, as_json: bool, **given: int) -> None:
    """Enqueue one by one, by many clients at once, and in bulk; beside bare inserts of a row."""
    measure(lambda settings: enqueue(settings, **given), yes=yes, as_json=as_json)
