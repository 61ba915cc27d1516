"""`howdah schedules resume`: fires it again."""

from __future__ import annotations

import click

from howdah import schedules
from howdah.cli import database, show


@click.command("resume")
@click.argument("name")
def command(name: str) -> None:
    """Fire the schedule NAME again, from now on."""
    changed = database.ask(schedules.resume(name))
    show.said(f"{name} {'goes on' if changed else 'was not paused'}")
