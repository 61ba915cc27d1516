"""`howdah cursors list`: serial keys, with whose turn it is."""

from __future__ import annotations

import click

from howdah import cursors
from howdah.cli import database, show
from howdah.cli.options import as_json as json_option
from howdah.cli.show import Column
from howdah.cursors import Cursor

COLUMNS: list[Column[Cursor]] = [
    Column("key", lambda cursor: cursor.key),
    Column("version", lambda cursor: f"{cursor.version:,}", right=True),
    Column("changed", lambda cursor: show.ago(cursor.updated_at) if cursor.updated_at else ""),
    Column("its turn", lambda cursor: cursor.holder or ""),
    Column("waiting", lambda cursor: f"{cursor.waiting:,}", right=True),
]


@click.command("list")
@click.option("-n", default=1000, type=click.IntRange(1, 100_000), help="At most so many.")
@json_option
def command(n: int, as_json: bool) -> None:
    """Serial keys by name; waiting jobs are counted up to 1,000."""
    show.listed(database.ask(cursors.list(n)), COLUMNS, as_json=as_json)
