"""`howdah jobs list`: a page of jobs, the newest first."""

from __future__ import annotations

from uuid import UUID

import click

from howdah import jobs
from howdah.cli import database, show
from howdah.cli.options import ID, filters
from howdah.cli.options import as_json as json_option
from howdah.cli.show import Column
from howdah.printable import gist
from howdah.rows import Found


def _when(job: Found) -> object:
    """The moment that matters most in its state."""
    return job.finished_at or (job.started_at if job.state == "running" else job.run_at)


def _tries(job: Found) -> str:
    """Crashes charge no attempt, and have a limit of their own."""
    crashed = f" and {job.crashes} crashed" if job.crashes else ""
    return f"{job.attempt}/{job.max_attempts}{crashed}"


COLUMNS: list[Column[Found]] = [
    Column("id", lambda job: job.id),
    Column("state", lambda job: job.state),
    Column("queue", lambda job: job.queue),
    Column("task", lambda job: job.task),
    Column("try", _tries, right=True),
    Column("when", _when),
    Column("args", lambda job: job.args),
    Column("error", lambda job: gist(job.error)),
]


@click.command("list")
@filters
@click.option("--before", type=ID, help="Go on below this id, the last of the page before.")
@click.option("--limit", "-n", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
def command(
    *,
    state: str | None,
    queue: str | None,
    task: str | None,
    tag: str | None,
    older: float | None,
    newer: float | None,
    before: UUID | None,
    limit: int,
    as_json: bool,
) -> None:
    """Jobs, the newest first. Nothing is counted: a page costs the same however many there are."""
    call = jobs.list(
        state=state,
        queue=queue,
        task=task,
        tag=tag,
        older_than=older,
        newer_than=newer,
        before=before,
        limit=limit,
    )
    page = database.ask(call)
    show.listed(page, COLUMNS, as_json=as_json)
    if len(page) == limit and not as_json:
        show.said(f"there may be more: --before {page[-1].id}")
