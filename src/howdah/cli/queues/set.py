"""`howdah queues set`: what a queue keeps, and how it is served."""

from __future__ import annotations

import click

from howdah import queues
from howdah.cli import database, show
from howdah.cli.options import DURATION


@click.command("set")
@click.argument("queue")
@click.option("--keep-history/--no-history", default=None, help="Keep its finished jobs.")
@click.option("--durable/--not-durable", default=None, help="Wait for the disk at each commit.")
@click.option("--fair-by", help="Serve it in rounds over {tenant} of the arguments; '': not.")
@click.option("--age-after", type=DURATION, help="Raise priorities after so long a wait; 0s: not.")
def command(
    queue: str,
    keep_history: bool | None,
    durable: bool | None,
    fair_by: str | None,
    age_after: float | None,
) -> None:
    """Set what QUEUE keeps and how it is served; what is not said stays as it is."""
    database.ask(
        queues.put(
            queue, keep_history=keep_history, durable=durable, fair_by=fair_by, age_after=age_after
        )
    )
    show.said(f"{queue} is set")
