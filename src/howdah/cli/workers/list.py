"""`howdah workers list`: workers, the oldest first."""

from __future__ import annotations

from typing import Any

import click

from howdah import workers
from howdah.cli import database, show
from howdah.cli.options import as_json as json_option
from howdah.cli.show import Column
from howdah.cli.workers.choosing import Choice, choosing
from howdah.workers import Worker

COLUMNS: list[Column[Worker]] = [
    Column("id", lambda worker: worker.id),
    Column("name", lambda worker: worker.name),
    Column("version", lambda worker: worker.version),
    Column("started", lambda worker: worker.started_at),
    Column("beat", lambda worker: worker.beat_at),
    Column("running", lambda worker: f"{worker.running}/{worker.slots or '?'}", right=True),
    Column("queues", lambda worker: worker.queues),
    Column("told to", lambda worker: "" if worker.control == "go" else worker.control),
]


@click.command("list")
@choosing
@json_option
def command(*, as_json: bool, **chosen: Any) -> None:
    """Workers that are alive, or not yet known to be lost."""
    found = Choice.of(**chosen).of_those(database.ask(workers.list()))
    show.listed(found, COLUMNS, as_json=as_json)
