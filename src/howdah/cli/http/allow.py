"""`howdah http allow`: lets URL jobs reach an origin."""

from __future__ import annotations

import click

from howdah.cli import database, show
from howdah.http import store


@click.command("allow")
@click.argument("url")
def command(url: str) -> None:
    """Let URL jobs reach what lies below URL, wherever its name leads.

    For what is not of the public internet: https://app.internal:8443/jobs/
    """
    changed = database.ask(store.allow(url))
    show.said(f"{url} {'is allowed' if changed else 'was allowed already'}")
