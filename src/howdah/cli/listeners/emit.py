"""`howdah listeners emit`: an event, for those who listen."""

from __future__ import annotations

import click
import msgspec

from howdah import listeners
from howdah.cli import database
from howdah.cli.enqueue import json_object


@click.command("emit")
@click.argument("event")
@click.argument("data", metavar="[JSON]", default="{}")
def command(event: str, data: str) -> None:
    """Emit EVENT with JSON, an object, as its data; prints how many listened.

    Each listener that it fits gets a job, or has it added to the one that gathers.
    """
    text = json_object(event, data.encode("utf-8", "surrogateescape"))
    click.echo(database.ask(listeners.emit(event, msgspec.Raw(text.encode()))))
