"""`howdah jobs why`: why a job is not running."""

from __future__ import annotations

import click

from howdah import jobs
from howdah.cli import database, show
from howdah.cli.jobs.finding import one_job
from howdah.cli.options import as_json as json_option
from howdah.doors import AsyncDoor
from howdah.printable import printable


@click.command("why")
@click.argument("job_id", metavar="ID")
@json_option
def command(job_id: str, as_json: bool) -> None:
    """Why a job is not running, in one sentence."""

    async def look(store: AsyncDoor) -> tuple[str, str]:
        job = await one_job(store, job_id)
        return str(job.id), await store.run(jobs.why(job.id))

    found, why = database.with_store(look)
    if as_json:
        show.document({"id": found, "why": why})
    else:
        click.echo(printable(why))
