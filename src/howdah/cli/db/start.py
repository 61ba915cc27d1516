"""`howdah db start`: the embedded PostgreSQL, to stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from howdah import embedded
from howdah.cli import database, show
from howdah.errors import Conflict
from howdah.settings import load, project_root


@click.command("start")
def command() -> None:
    """Start the project's embedded PostgreSQL; it stays until `howdah db stop`. Prints its URL."""
    settings = load().settings
    if settings.env == "production":
        raise Conflict(
            "HOWDAH_ENV=production forbids the embedded PostgreSQL", hint="Set DATABASE_URL."
        )
    server = embedded.start_staying(project_root(Path.cwd()))
    database.bring_up(replace(settings, database_url=server.dsn()))
    click.echo(server.dsn())
    if server.owner is not None:
        show.said(f"it was started by process {server.owner}, and ends with it")
    if settings.database_url is not None:
        show.said("note: another database is configured, and used by the other commands")
