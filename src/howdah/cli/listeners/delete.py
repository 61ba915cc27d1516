"""`howdah listeners delete`: removes listeners."""

from __future__ import annotations

import click

from howdah import listeners
from howdah.cli import database, show
from howdah.errors import NotFound


@click.command("delete")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def command(names: tuple[str, ...]) -> None:
    """Remove listeners; their jobs stay. Code that still declares one makes it anew."""
    for name in names:
        if not database.ask(listeners.delete(name)):
            raise NotFound(f"there is no listener {name!r}", hint="See: howdah listeners list")
        show.said(f"{name} is deleted")
