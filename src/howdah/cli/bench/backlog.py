"""`howdah bench backlog`: whether a great backlog slows anything down."""

from __future__ import annotations

import click

from howdah.bench.backlog import backlog
from howdah.cli.bench.measuring import measure, options
from howdah.errors import BadInput


@click.command("backlog")
@click.option(
    "--backlog", "-n", "great", type=click.IntRange(1), default=1_000_000, show_default=True
)
@click.option(
    "--small", type=click.IntRange(1), default=10_000, show_default=True, help="To compare with."
)
@options(rounds=7)
def command(*, great: int, small: int, rounds: int, yes: bool, as_json: bool) -> None:
    """Claim from and enqueue into a great backlog, beside a small one; list it, ask it why."""
    if great < small:
        raise BadInput(f"the great backlog, {great}, is smaller than the small one, {small}")
    measure(
        lambda settings: backlog(settings, backlog=great, small=small, rounds=rounds),
        yes=yes,
        as_json=as_json,
    )
