"""`howdah db url`: where the database is."""

from __future__ import annotations

from pathlib import Path

import click

from howdah import embedded
from howdah.cli import database
from howdah.errors import NoDatabase
from howdah.printable import printable
from howdah.settings import project_root, without_password


@click.command("url")
def command() -> None:
    """Print where the database is; a password is left out. An embedded one must be running."""
    settings = database.configured()
    if settings.database_url is not None:
        click.echo(printable(without_password(settings.database_url)))
        return
    server = embedded.running(project_root(Path.cwd()))
    if server is None:
        raise NoDatabase(
            "no database is configured, and no embedded one is running", hint="Run: howdah db start"
        )
    click.echo(server.dsn())
