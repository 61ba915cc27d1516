"""`howdah schedules run`: a job of it now."""

from __future__ import annotations

import click

from howdah import schedules
from howdah.cli import database


@click.command("run")
@click.argument("name")
def command(name: str) -> None:
    """Make a job of the schedule NAME now, besides its ticks; prints its id."""
    click.echo(str(database.ask(schedules.run(name))))
