"""`howdah db check`: compares what is installed with what this version needs."""

from __future__ import annotations

import click

from howdah import check
from howdah.cli import database, exits, show
from howdah.cli.options import as_json as json_option
from howdah.printable import printable


@click.command("check")
@json_option
def command(as_json: bool) -> int:
    """Compare what is installed with what this version needs; exit code 3 when they differ.

    For the owner of the schema.
    """
    settings = database.found()
    with database.for_the_owner():
        differences = database.with_connection(lambda c: check.check(c, settings.schema), settings)
    if as_json:
        show.document({"schema": settings.schema, "differences": differences})
    else:
        for difference in differences:
            click.echo(printable(difference))
        show.said(
            "howdah db migrate puts functions, views and grants right; the rest is for the owner"
            if differences
            else "all is as it should be"
        )
    return exits.NO_DATABASE if differences else 0
