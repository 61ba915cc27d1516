"""`howdah queues share`: how much of a queue one key gets."""

from __future__ import annotations

import click

from howdah import queues
from howdah.cli import database, show


@click.command("share")
@click.argument("queue")
@click.argument("key")
@click.argument("weight", type=float)
def command(queue: str, key: str, weight: float) -> None:
    """Give KEY of QUEUE, which is served in shares, WEIGHT times what others get."""
    database.ask(queues.put_share(queue, key, weight))
    show.said(f"{key} has weight {weight:g} in {queue}")
