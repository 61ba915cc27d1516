"""`howdah db migrate`: installs the schema, or brings it to this version."""

from __future__ import annotations

import click

from howdah import migrate
from howdah.cli import database, show
from howdah.cli.options import as_json as json_option


@click.command("migrate")
@click.option("--dry-run", is_flag=True, help="Say what would be applied, and apply nothing.")
@json_option
def command(dry_run: bool, as_json: bool) -> None:
    """Install the schema, or bring it to this version. Safe to repeat, and for two at once."""
    settings = database.found(make=True)
    if dry_run:
        status = database.with_connection(lambda c: migrate.status(c, settings.schema), settings)
        applied = [*status.pending]
    else:
        applied = database.with_connection(
            lambda c: migrate.migrate(c, settings.schema), settings, answer_within=migrate.LONGEST
        )
    if as_json:
        show.document(
            {
                "schema": settings.schema,
                "applied": applied,
                "version": migrate.NEWEST,
                "dry_run": dry_run,
            }
        )
        return
    for name in applied:
        click.echo(name)
    verb = "would be applied" if dry_run else "applied"
    show.said(
        f"{len(applied)} migrations {verb}; schema {settings.schema}, version {migrate.NEWEST}"
    )
