"""`howdah db grant`: gives a role what its kind needs."""

from __future__ import annotations

import click

from howdah import migrate
from howdah.cli import database, show
from howdah.grants import FUNCTIONS


@click.command("grant")
@click.argument("role")
@click.option(
    "--as", "kind", type=click.Choice([*FUNCTIONS]), required=True, help="What the role is to do."
)
def command(role: str, kind: str) -> None:
    """Give ROLE exactly what a producer, worker, viewer or operator needs."""
    settings = database.found()
    database.with_store(_current, settings)
    with database.for_the_owner():
        database.with_connection(lambda c: migrate.grant(c, settings.schema, role, kind), settings)
    show.said(f"{role} may now do what a {kind} does, on schema {settings.schema}")


async def _current(_: object) -> None:
    """Nothing: that the schema is current has been seen on the way."""
