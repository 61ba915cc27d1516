"""Waits for a job's end for `howdah enqueue --wait`, and says what it waits for."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

import click
import msgspec

from howdah import jobs
from howdah.app import App
from howdah.cli import show
from howdah.cli.exits import TIMED_OUT, tell
from howdah.printable import printable_json

if TYPE_CHECKING:
    from howdah.settings import Settings

SAY_WHY_AFTER = 2.0  # seconds without an end until it says why the job does not even run


def wait(settings: Settings, job_id: UUID, *, within: float | None, as_json: bool) -> None:
    """Print the job's result when it has ended; leave with TIMED_OUT if it has not ended in time.

    Raises what `App.result` raises.
    """
    show.said(f"{job_id} is stored; waiting for its end")
    try:
        result = asyncio.run(_result(settings, job_id, within))
    except TimeoutError as error:
        if within is None:
            raise
        tell(f"{error}; it goes on", f"howdah jobs show {job_id} says how it is.")
        raise click.exceptions.Exit(TIMED_OUT) from error
    if as_json:
        show.document({"id": str(job_id), "state": "succeeded", "result": result})
    else:
        click.echo(printable_json(msgspec.json.encode(result).decode()))


async def _result(settings: Settings, job_id: UUID, within: float | None) -> object:
    app = App()
    app.use(settings)
    async with app:
        telling = asyncio.create_task(_say_why(app, job_id))
        try:
            return await app.result(job_id, within)
        finally:
            telling.cancel()


async def _say_why(app: App, job_id: UUID) -> None:
    """Once, when it has taken a while and the job does not run: it may never, as things stand."""
    await asyncio.sleep(SAY_WHY_AFTER)
    with suppress(Exception):  # who may not ask waits all the same
        why = await app.run(jobs.why(job_id))
        if not why.startswith(("running", "finished")):
            show.said(f"still waiting: {why}")
