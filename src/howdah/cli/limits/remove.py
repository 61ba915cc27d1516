"""`howdah limits remove`: takes a limit away."""

from __future__ import annotations

import click

from howdah import limits
from howdah.cli import database, show


@click.command("remove")
@click.argument("key")
def command(key: str) -> None:
    """Take limit and rate of KEY away; the jobs that waited for them go on."""
    database.ask(limits.put(key, None))
    database.ask(limits.put_rate(key, None))
    show.said(f"{key} has no limit of its own")
