"""`howdah bench latency`: how soon an idle worker starts a job."""

from __future__ import annotations

import click

from howdah.bench.latency import latency
from howdah.cli.bench.measuring import measure, options
from howdah.cli.options import DURATION


@click.command("latency")
@click.option("--jobs", "-n", type=click.IntRange(1), default=500, show_default=True)
@click.option(
    "--gap", type=DURATION, default="20ms", show_default=True, help="Between two enqueues."
)
@options(rounds=3)
def command(*, jobs: int, gap: float, rounds: int, yes: bool, as_json: bool) -> None:
    """From before the enqueuing call to the job's first line, in an idle worker process."""
    measure(
        lambda settings: latency(settings, jobs=jobs, gap=gap, rounds=rounds),
        yes=yes,
        as_json=as_json,
    )
