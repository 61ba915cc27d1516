"""`howdah listeners resume`: lets it hear again."""

from __future__ import annotations

import click

from howdah import listeners
from howdah.cli import database, show


@click.command("resume")
@click.argument("name")
def command(name: str) -> None:
    """Let the listener NAME hear again, from now on."""
    changed = database.ask(listeners.resume(name))
    show.said(f"{name} {'goes on' if changed else 'was not paused'}")
