"""`howdah queues resume`: lets workers take its jobs again."""

from __future__ import annotations

import click

from howdah import queues
from howdah.cli import database, show


@click.command("resume")
@click.argument("queue")
def command(queue: str) -> None:
    """Let workers take QUEUE's jobs again."""
    changed = database.ask(queues.resume(queue))
    show.said(f"{queue} {'is resumed' if changed else 'was not paused'}")
