"""`howdah schedules delete`: removes schedules."""

from __future__ import annotations

import click

from howdah import schedules
from howdah.cli import database, show
from howdah.errors import NotFound


@click.command("delete")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def command(names: tuple[str, ...]) -> None:
    """Remove schedules; their jobs stay. Code that still declares one makes it anew."""
    for name in names:
        if not database.ask(schedules.delete(name)):
            raise NotFound(f"there is no schedule {name!r}", hint="See: howdah schedules list")
        show.said(f"{name} is deleted")
