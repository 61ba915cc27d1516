"""`howdah queues list`: queues, with what waits in them."""

from __future__ import annotations

import click

from howdah import queues
from howdah.cli import database, show
from howdah.cli.options import as_json as json_option
from howdah.cli.show import Column
from howdah.queues import Queue

LIMIT = 1_000  # where the store stops counting


def _count(number: int) -> str:
    return f"{number:,}{'+' if number >= LIMIT else ''}"


COLUMNS: list[Column[Queue]] = [
    Column("queue", lambda queue: queue.queue),
    Column("ready", lambda queue: _count(queue.ready), right=True),
    Column("blocked", lambda queue: _count(queue.blocked), right=True),
    Column("scheduled", lambda queue: _count(queue.scheduled), right=True),
    Column("running", lambda queue: f"{queue.running:,}", right=True),
    Column("failed", lambda queue: _count(queue.failed), right=True),
    Column("waits since", lambda queue: queue.oldest, right=True),
    Column("paused", lambda queue: "paused" if queue.paused else ""),
]


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """Queues that are known or hold jobs. Counts stop at 1,000, but for running ones."""
    show.listed(database.ask(queues.list()), COLUMNS, as_json=as_json)
