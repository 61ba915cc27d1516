"""`howdah http allowed`: what URL jobs may reach beside the public internet."""

from __future__ import annotations

import click

from howdah.cli import database, show
from howdah.cli.options import as_json as json_option
from howdah.cli.show import Column
from howdah.http import store
from howdah.http.gate import Target

COLUMNS: list[Column[Target]] = [
    Column("scheme", lambda target: target.scheme),
    Column("host", lambda target: target.host),
    Column("port", lambda target: target.port, right=True),
    Column("path", lambda target: target.path),
]


@click.command("allowed")
@json_option
def command(as_json: bool) -> None:
    """What URL jobs may reach beside the public internet."""
    show.listed(database.ask(store.targets()), COLUMNS, as_json=as_json)
