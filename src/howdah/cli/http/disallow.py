"""`howdah http disallow`: takes back what was allowed."""

from __future__ import annotations

import click

from howdah.cli import database, show
from howdah.errors import NotFound
from howdah.http import store


@click.command("disallow")
@click.argument("url")
def command(url: str) -> None:
    """Allow URL no more."""
    if not database.ask(store.disallow(url)):
        raise NotFound(f"{url} was not allowed", hint="howdah http allowed lists what is.")
    show.said(f"{url} is allowed no more")
