"""`howdah jobs list`: a page of jobs, the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import click

from howdah import jobs
from howdah.cli import database, show
from howdah.cli.options import ID, filters
from howdah.cli.options import as_json as json_option
from howdah.cli.show import Column
from howdah.doors import AsyncDoor
from howdah.printable import gist
from howdah.rows import Found

AT_A_TIME = 50_000  # jobs that are looked at for one page


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
@click.option("--all", "look_at_all", is_flag=True, help="Look at every job, if it takes long.")
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
    look_at_all: bool,
    as_json: bool,
) -> None:
    """Jobs, the newest first. Nothing is counted; for a page the newest 50,000 are looked at."""
    filters = {
        "state": state,
        "queue": queue,
        "task": task,
        "tag": tag,
        "older_than": older,
        "newer_than": newer,
    }
    is_bounded = any(filters.values()) and not look_at_all

    async def look(store: AsyncDoor) -> tuple[Sequence[Found], UUID | None]:
        end = await store.run(jobs.list_end(before=before, jobs=AT_A_TIME)) if is_bounded else None
        call = jobs.list(**filters, before=before, down_to=end, limit=limit)  # type: ignore[arg-type]
        return await store.run(call), end

    page, end = database.with_store(look)
    show.listed(page, COLUMNS, as_json=as_json)
    if len(page) == limit and not as_json:
        show.said(f"there may be more: --before {page[-1].id}")
    elif end is not None and len(page) < limit:
        show.said(
            f"{AT_A_TIME:,} jobs were looked at, and there may be more: --before {end}, or --all"
        )
