"""`howdah schedules list`: schedules, with their next and last ticks."""

from __future__ import annotations

import click

from howdah import schedules
from howdah.cli import database, show
from howdah.cli.options import as_json as json_option
from howdah.cli.show import Column
from howdah.durations import written
from howdah.printable import gist
from howdah.schedules import Found


def _rule(schedule: Found) -> str:
    if schedule.kind == "every":
        return f"every {written(float(schedule.rule))}"
    return f"{schedule.rule} ({schedule.tz})"


def _state(schedule: Found) -> str:
    if schedule.error is not None:
        return f"broken: {gist(schedule.error)}"
    known = ((schedule.paused, "paused"), (schedule.ended, "ended"))
    vanished = (schedule.vanished_at is not None, "not declared any more")
    return ", ".join(word for holds, word in (*known, vanished) if holds)


COLUMNS: list[Column[Found]] = [
    Column("schedule", lambda schedule: schedule.name),
    Column("rule", _rule),
    Column("task", lambda schedule: schedule.task),
    Column("next", lambda schedule: None if schedule.paused else schedule.next_at),
    Column("last", lambda schedule: schedule.last_tick),
    Column("declared in", lambda schedule: schedule.declared_in),
    Column("state", _state),
]


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """Schedules, by name. Those without a package are the database's own."""
    show.listed(database.ask(schedules.list()), COLUMNS, as_json=as_json)
