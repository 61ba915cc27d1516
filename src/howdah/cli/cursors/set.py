"""`howdah cursors set`: sets a cursor by hand."""

from __future__ import annotations

import click
import msgspec

from howdah import cursors
from howdah.cli import database, show
from howdah.errors import BadInput


@click.command("set")
@click.argument("key")
@click.argument("cursor", metavar="JSON")
@click.option("--version", "expected", type=int, help="Refuse if the cursor has another version.")
def command(key: str, cursor: str, expected: int | None) -> None:
    """Set the cursor of serial key KEY to a JSON object.

    A job that runs now has the old one, and replaces this if it succeeds with one of its own.
    """
    try:
        value = msgspec.json.decode(cursor, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise BadInput(
            f"the cursor is no JSON object: {error}", hint="For example '{\"page\": 3}'."
        ) from error
    version = database.ask(cursors.put(key, value, expected_version=expected))
    show.said(f"the cursor of {key} has version {version}")
