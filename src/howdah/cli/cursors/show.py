"""`howdah cursors show`: one serial key and its cursor."""

from __future__ import annotations

import click

from howdah import cursors
from howdah.cli import database, show
from howdah.cli.options import as_json as json_option
from howdah.errors import NotFound


@click.command("show")
@click.argument("key")
@json_option
def command(key: str, as_json: bool) -> None:
    """Show serial key KEY: its cursor, its version, whose turn it is, how many wait."""
    found = database.ask(cursors.get(key))
    if found is None:
        raise NotFound(f"no job of serial key {key!r} ever ran", hint="Run: howdah cursors list")
    if as_json:
        show.document(show.plain(found))
        return
    show.facts(
        {
            "key": found.key,
            "cursor": found.cursor,
            "version": found.version,
            "changed": found.updated_at,
            "by job": found.updated_by,
            "its turn": found.holder,
            "waiting": found.waiting,
        }
    )
