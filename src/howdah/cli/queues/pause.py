"""`howdah queues pause`: stops workers from taking its jobs."""

from __future__ import annotations

import click

from howdah import queues
from howdah.cli import database, show


@click.command("pause")
@click.argument("queue")
def command(queue: str) -> None:
    """Stop workers from taking QUEUE's jobs; running ones go on, and enqueuing too."""
    changed = database.ask(queues.pause(queue))
    show.said(f"{queue} {'is paused' if changed else 'was paused already'}")
