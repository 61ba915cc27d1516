"""`howdah chores`: does once what workers do by themselves."""

from __future__ import annotations

import click

from howdah import store
from howdah.cli import database, show
from howdah.cli.options import as_json as json_option
from howdah.doors import AsyncDoor
from howdah.errors import BadInput
from howdah.firing import fire_due

NAMES = (
    "stage", "rescue", "expire", "admit", "age", "schedules", "partitions", "prune", "unknown",
)  # fmt: skip


@click.command("chores")
@click.argument("names", metavar="[CHORE]...", nargs=-1)
@json_option
def command(names: tuple[str, ...], as_json: bool) -> None:
    """Stage due jobs, rescue those of lost workers, end expired leases, fire schedules, prune …

    For those who run no worker of Howdah's; from cron, for example. CHOREs name some of them.
    """
    for name in names:
        if name not in NAMES:
            raise BadInput(f"{name!r} is no chore", hint=f"Chores are {', '.join(NAMES)}.")
    done = database.with_store(lambda door: _do(door, names))
    if as_json:
        show.document(done)
    else:
        show.facts(done)


async def _do(door: AsyncDoor, names: tuple[str, ...]) -> dict[str, int]:
    done: dict[str, int] = {}
    if names != ("schedules",):
        done = await door.run(store.chores(*(name for name in names if name != "schedules")))
    if not names or "schedules" in names:
        done["schedules"] = await fire_due(door.run, _failed)
    return done


def _failed(name: str, error: str) -> None:
    show.said(f"schedule {name} cannot be fired: {error}")
