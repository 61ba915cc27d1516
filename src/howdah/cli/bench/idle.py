"""`howdah bench idle`: what idle workers cost."""

from __future__ import annotations

import click

from howdah.bench.idle import idle
from howdah.cli.bench.measuring import measure, options
from howdah.cli.options import DURATION


@click.command("idle")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=20, show_default=True, help="Processes."
)
@click.option(
    "--for", "seconds", type=DURATION, default="30s", show_default=True, help="In each round."
)
@options(rounds=1)
def command(*, workers: int, seconds: float, rounds: int, yes: bool, as_json: bool) -> None:
    """Watch idle workers: their CPU, the server's, and statements a second."""
    measure(
        lambda settings: idle(settings, workers=workers, seconds=seconds, rounds=rounds),
        yes=yes,
        as_json=as_json,
    )
