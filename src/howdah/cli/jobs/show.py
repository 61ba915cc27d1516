"""`howdah jobs show`: one job, with its attempts, and why it is not running."""

from __future__ import annotations

import click

from howdah import jobs
from howdah.cli import database, show
from howdah.cli.jobs import following
from howdah.cli.jobs.finding import one_job
from howdah.cli.options import as_json as json_option
from howdah.cli.show import Column
from howdah.doors import AsyncDoor
from howdah.printable import gist
from howdah.rows import Attempt, Found

COLUMNS: list[Column[Attempt]] = [
    Column("attempt", lambda attempt: attempt.attempt, right=True),
    Column("outcome", lambda attempt: attempt.outcome),
    Column("ended", lambda attempt: attempt.finished_at),
    Column("error", lambda attempt: gist(attempt.error)),
]


@click.command("show")
@click.argument("job_id", metavar="ID")
@click.option("--follow", "-f", is_flag=True, help="Show how far it is until it has ended.")
@json_option
def command(job_id: str, follow: bool, as_json: bool) -> None:
    """One job, with its attempts that did not simply succeed, and why it is not running."""
    job, attempts, why = database.with_store(lambda store: _look(store, job_id, follow=follow))
    if as_json:
        show.document({**show.plain(job), "attempts": show.plain(attempts), "why": why})
        return
    show.facts(
        {name: value for name, value in _facts(job, why).items() if value not in (None, "", [])}
    )
    if attempts:
        click.echo()
        show.listed(attempts, COLUMNS, as_json=False)


async def _look(store: AsyncDoor, text: str, *, follow: bool) -> tuple[Found, list[Attempt], str]:
    job = await one_job(store, text)
    if follow:
        await following.follow(store, job.id)
        job = await one_job(store, str(job.id))
    return job, await store.run(jobs.attempts(job.id)), await store.run(jobs.why(job.id))


def _facts(job: Found, why: str) -> dict[str, object]:
    return {
        "id": job.id,
        "state": job.state,
        "why": why,
        "progress": following.progress_in_words(job),
        "task": job.task,
        "queue": job.queue,
        "args": job.args,
        "priority": job.priority,
        "attempts": f"{job.attempt} of {job.max_attempts}",
        "crashes": f"{job.crashes}, not counted above; max_crashes of them fail a job"
        if job.crashes
        else None,
        "timeout": job.timeout,
        "delivery": job.delivery,
        "unique key": job.unique_key,
        "serial key": job.serial_key,
        "cursor at start": job.cursor,
        "limits": job.limit_keys,
        "tags": job.tags,
        "headers": job.headers,
        "enqueued": job.created_at,
        "due": job.run_at,
        "started": job.started_at,
        "ended": job.finished_at,
        "worker": job.worker,
        "result": job.result,
        "error": job.error,
    }
