"""`howdah chores`: does once what workers do by themselves."""

from __future__ import annotations

import click

from howdah import store
from howdah.cli import database, show
from howdah.cli.options import as_json as json_option
from howdah.errors import BadInput

NAMES = ("stage", "rescue", "expire", "partitions", "prune", "unknown")


@click.command("chores")
@click.argument("names", metavar="[CHORE]...", nargs=-1)
@json_option
def command(names: tuple[str, ...], as_json: bool) -> None:
    """Stage due jobs, rescue those of lost workers, end expired leases, make partitions, prune.

    For those who run no worker of Howdah's; from cron, for example. CHOREs name some of them.
    """
    for name in names:
        if name not in NAMES:
            raise BadInput(f"{name!r} is no chore", hint=f"Chores are {', '.join(NAMES)}.")
    done = database.ask(store.chores(*names))
    if as_json:
        show.document(done)
    else:
        show.facts(done)
