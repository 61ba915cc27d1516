"""Waits for the end of a URL job, on the channel that is its own, and prints what was answered."""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import UUID

from howdah import jobs
from howdah.call import Call
from howdah.cli import show
from howdah.cli.exits import FAILED, TIMED_OUT, tell
from howdah.connect import check_version, closed, open_connection
from howdah.doors import on
from howdah.http import store
from howdah.http.store import Ended
from howdah.urls import answered

if TYPE_CHECKING:
    from howdah.answer import Answer
    from howdah.settings import Settings

POLL = 1.0  # seconds: behind a pooler nothing is heard
SAY_WHY_AFTER = 2.0
ENDED = {"succeeded", "failed", "cancelled"}


def wait(
    settings: Settings, job_id: UUID, *, within: float | None, fail: bool, as_json: bool
) -> int:
    """Print the answer when there is one; gives the exit code. Raises as `app.http.answer` does."""
    try:
        ended = asyncio.run(_ended(settings, job_id, within))
    except TimeoutError:
        tell(f"job {job_id} has not ended in time; it goes on", f"howdah http wait {job_id}")
        return TIMED_OUT
    if ended is not None and ended.answer is not None:
        _print(job_id, ended, as_json=as_json)
    answer = answered(job_id, ended)
    return FAILED if fail and answer.status >= 400 else 0


def _print(job_id: UUID, ended: Ended, *, as_json: bool) -> None:
    answer = ended.answer
    assert answer is not None
    if as_json:
        show.document({"id": str(job_id), "state": ended.state, **_fields(answer)})
        return
    with suppress(ValueError):
        phrase = HTTPStatus(answer.status).phrase
        show.said(f"{answer.status} {phrase}, {len(answer.body)} bytes, {answer.duration:.3f} s")
    sys.stdout.flush()
    sys.stdout.buffer.write(answer.body)
    sys.stdout.buffer.flush()


def _fields(answer: Answer) -> dict[str, Any]:
    try:
        body: dict[str, str] = {"body": answer.body.decode()}
    except UnicodeDecodeError:
        body = {"body_base64": base64.b64encode(answer.body).decode()}
    return {
        "status": answer.status,
        "url": answer.url,
        "headers": [list(pair) for pair in answer.headers],
        "duration": answer.duration,
        "attempts": answer.attempts,
        **body,
    }


async def _ended(settings: Settings, job_id: UUID, within: float | None) -> Ended | None:
    connection = await open_connection(settings, name="howdah http", url=settings.listen_url)
    try:
        await check_version(connection, settings.schema)
        told = asyncio.Event()
        await connection.add_listener(f"howdah_job_{job_id}", lambda *_: told.set())
        async with asyncio.timeout(within):
            return await _until_ended(on(connection, schema=settings.schema).run, job_id, told)
    finally:
        await closed(connection)


async def _until_ended(run: Any, job_id: UUID, told: asyncio.Event) -> Ended | None:
    say_why_at = time.monotonic() + SAY_WHY_AFTER
    while True:
        told.clear()
        call: Call[Ended | None] = store.answer(job_id)
        ended: Ended | None = await run(call)
        if ended is None or ended.state in ENDED:
            return ended
        if time.monotonic() >= say_why_at:
            say_why_at = float("inf")
            await _say_why(run, job_id)
        with suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), POLL)


async def _say_why(run: Any, job_id: UUID) -> None:
    with suppress(Exception):  # who may not ask waits all the same
        why = await run(jobs.why(job_id))
        if why.startswith("no worker"):
            why += "; howdah worker --http is one that calls URLs"
        if not why.startswith(("running", "finished")):
            show.said(f"still waiting: {why}")
