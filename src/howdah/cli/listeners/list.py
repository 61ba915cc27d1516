"""`howdah listeners list`: listeners, and what they hear."""

from __future__ import annotations

import click

from howdah import listeners
from howdah.cli import database, show
from howdah.cli.options import as_json as json_option
from howdah.cli.show import Column
from howdah.durations import written
from howdah.listeners import Found


def _gathers(listener: Found) -> str:
    if not listener.collapse:
        return ""
    return "all" if listener.collapse_on is None else f"by {listener.collapse_on}"


def _state(listener: Found) -> str:
    vanished = (listener.vanished_at is not None, "not declared any more")
    return ", ".join(word for holds, word in ((listener.paused, "paused"), vanished) if holds)


COLUMNS: list[Column[Found]] = [
    Column("listener", lambda listener: listener.name),
    Column("event", lambda listener: listener.event),
    Column("task", lambda listener: listener.task),
    Column("delay", lambda listener: listener.delay and written(listener.delay.total_seconds())),
    Column("gathers", _gathers),
    Column("declared in", lambda listener: listener.declared_in),
    Column("state", _state),
]


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """Listeners, by name. Those without a package are the database's own."""
    show.listed(database.ask(listeners.list()), COLUMNS, as_json=as_json)
