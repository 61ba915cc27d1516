"""`howdah schedules next`: when a schedule fires next."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import click

from howdah import schedules
from howdah.cli import database, show
from howdah.cli.options import as_json as json_option
from howdah.doors import AsyncDoor
from howdah.errors import NotFound
from howdah.schedules import Found
from howdah.ticks import rule, upcoming


@click.command("next")
@click.argument("name")
@click.option("-n", "count", type=click.IntRange(1, 1000), default=5, help="How many ticks.")
@json_option
def command(name: str, count: int, as_json: bool) -> None:
    """The next ticks of the schedule NAME, on the clock of its zone; also if it is paused."""
    schedule = database.with_store(lambda store: look(store, name))
    of = rule(schedule.kind, schedule.rule, tz=schedule.tz, starts_at=schedule.starts_at)
    found = upcoming(of, schedule.handled, count)
    if as_json:
        show.document([show.moment(tick) for tick in found])
        return
    for tick in found:
        click.echo(tick.astimezone(ZoneInfo(schedule.tz)).isoformat())
    if not found:
        show.said(f"{name} fires no more")


async def look(store: AsyncDoor, name: str) -> Found:
    """The schedule of that name; raises NotFound."""
    found = await store.run(schedules.get(name))
    if found is None:
        raise NotFound(f"there is no schedule {name!r}", hint="See: howdah schedules list")
    return found
