"""`howdah workers status`: who each worker is, what it was told, and what it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from howdah import workers
from howdah.cli import database, show
from howdah.cli.options import as_json as json_option
from howdah.cli.show import Column
from howdah.cli.workers.choosing import Choice, choosing, no_such_worker
from howdah.doors import AsyncDoor
from howdah.workers import Running, Worker

COLUMNS: list[Column[Running]] = [
    Column("id", lambda job: job.id),
    Column("task", lambda job: job.task),
    Column("queue", lambda job: job.queue),
    Column("try", lambda job: f"{job.attempt}/{job.max_attempts}", right=True),
    Column("since", lambda job: job.started_at),
]


@click.command("status")
@choosing
@json_option
def command(*, as_json: bool, **chosen: Any) -> None:
    """Who each worker is, since when, what it was told, and the jobs that it runs."""
    choice = Choice.of(**chosen)
    found = database.with_store(lambda store: _look(store, choice))
    if as_json:
        show.document([{**show.plain(each), "jobs": show.plain(held)} for each, held in found])
        return
    for number, (each, held) in enumerate(found):
        if number:
            click.echo()
        show.facts(_facts(each))
        if held:
            click.echo()
            show.listed(held, COLUMNS, as_json=False)
    if not found:
        show.said("there are no workers")


async def _look(store: AsyncDoor, choice: Choice) -> list[tuple[Worker, list[Running]]]:
    found = choice.of_those(await store.run(workers.list()))
    if not found and choice.narrows:
        raise no_such_worker()
    held: Sequence[Running] = await store.run(workers.running([each.id for each in found]))
    return [(each, [job for job in held if job.worker == each.id]) for each in found]


def _facts(worker: Worker) -> dict[str, object]:
    return {
        "id": worker.id,
        "name": worker.name,
        "host": worker.host,
        "process": worker.pid,
        "howdah": worker.version,
        "started": worker.started_at,
        "last beat": worker.beat_at,
        "told to": worker.control,
        "jobs": f"{worker.running} in {worker.slots or '?'} slots",
        "queues": worker.queues,
    }
