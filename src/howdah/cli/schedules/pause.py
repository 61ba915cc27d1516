"""`howdah schedules pause`: fires it no more."""

from __future__ import annotations

import click

from howdah import schedules
from howdah.cli import database, show


@click.command("pause")
@click.argument("name")
def command(name: str) -> None:
    """Fire the schedule NAME no more; what it would have fired meanwhile is not made up for."""
    changed = database.ask(schedules.pause(name))
    show.said(f"{name} {'is paused' if changed else 'was paused already'}")
