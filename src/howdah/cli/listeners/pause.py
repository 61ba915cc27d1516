"""`howdah listeners pause`: lets it hear nothing."""

from __future__ import annotations

import click

from howdah import listeners
from howdah.cli import database, show


@click.command("pause")
@click.argument("name")
def command(name: str) -> None:
    """Let the listener NAME hear nothing; what is emitted meanwhile is not made up for."""
    changed = database.ask(listeners.pause(name))
    show.said(f"{name} {'is paused' if changed else 'was paused already'}")
