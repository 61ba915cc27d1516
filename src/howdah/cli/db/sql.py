"""`howdah db sql`: what migrate would run."""

from __future__ import annotations

import click

from howdah import migrate
from howdah.settings import load


@click.command("sql")
@click.option(
    "--from",
    "from_version",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="The version that is installed.",
)
def command(from_version: int) -> None:
    """Print what migrate would run, as one script in one transaction; needs no database.

    howdah db sql | psql -v ON_ERROR_STOP=1 "$DATABASE_URL"
    """
    click.echo(migrate.script(load().settings.schema, from_version=from_version), nl=False)
