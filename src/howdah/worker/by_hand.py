"""Attempts a job that was claimed by hand: here and now, without a worker's loops around it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from howdah import jobs
from howdah.call import Call
from howdah.outcome import Json, Outcome
from howdah.rows import Claimed
from howdah.settings import Settings
from howdah.task import Task
from howdah.worker.attempt import Attempt
from howdah.worker.commands import Commands
from howdah.worker.means import Means
from howdah.worker.notes import Notes
from howdah.worker.threads import Threads
from howdah.worker.transactions import Transactions

LOOK_EVERY = 0.5  # seconds: whether its time is up, for it may be extended meanwhile


async def perform(
    claimed: Claimed,
    task: Task[..., Any],
    settings: Settings,
    run: Callable[[Call[Any]], Awaitable[Any]],
) -> Outcome:
    """What came of it, its result as `Json`; nothing is finished here. `run` asks the store."""

    async def extend(attempt: Attempt, duration: float) -> None:
        await run(jobs.extend(attempt.job.id, attempt.job.lease, duration))

    transactions = Transactions(settings, size=1)
    notes = Notes(run)
    means = Means(
        threads=Threads(),
        commands=Commands(settings.commands),
        transactions=transactions,
        extend=extend,
        progress=notes.put,
    )
    noting = asyncio.create_task(notes.run())
    attempt = Attempt(claimed, task, means, _where(task))
    try:
        ended = await _ended(attempt)
        result = None if ended.result is None else Json(ended.result)
        return msgspec.structs.replace(ended, result=result)
    finally:
        noting.cancel()
        means.threads.stop()
        await transactions.close()


def _where(task: Task[..., Any]) -> str:
    """Here, whatever its executor; but for a command, which is a program of its own anyway."""
    if task.executor == "command":
        return "command"
    return "loop" if inspect.iscoroutinefunction(task.function) else "thread"


async def _ended(attempt: Attempt) -> Outcome:
    """Run it, and stop it when its time is up."""
    attempt.handle = handle = asyncio.create_task(attempt.run())
    try:
        while not handle.done():
            left = LOOK_EVERY if attempt.remaining is None else min(LOOK_EVERY, attempt.remaining)
            await asyncio.wait({handle}, timeout=left)
            if attempt.remaining == 0 and not handle.done():
                attempt.stop("timeout")
                await asyncio.wait({handle})
        return attempt.stopped() if handle.cancelled() else handle.result()
    finally:
        handle.cancel()
