"""Waiting for the ends of jobs: one listener per event loop, and a poll behind it."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID, uuid4

import msgspec

from howdah import jobs
from howdah.client import AsyncClient
from howdah.durations import Duration, seconds
from howdah.errors import JobCancelled, JobFailed, no_job
from howdah.listener import Listener
from howdah.rows import End

FIRST_POLL, LONGEST_POLL = 0.01, 1.0  # seconds: a finish under way when we registered tells nobody
ONE_LOOK = 1.0  # seconds for the store to answer, also of who gives no time at all
ENDED = {"succeeded", "failed", "cancelled"}


class Waits:
    """Hands out results on one event loop. Opens its listener with the first who waits."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._me = uuid4()
        self._ends: dict[UUID, set[asyncio.Event]] = {}
        self._listening: asyncio.Task[None] | None = None

    async def result(self, job_id: UUID, timeout: Duration | None = None) -> Any:
        """What the job's task returned, as JSON types.

        Raises JobFailed, JobCancelled, NotFound, and TimeoutError when it has not ended in time.
        """
        until = None if timeout is None else time.monotonic() + seconds(timeout)
        ended = asyncio.Event()
        self._ends.setdefault(job_id, set()).add(ended)
        try:
            self._listen()
            poll = FIRST_POLL
            while True:
                ended.clear()
                end = await self._look(job_id, until)
                if end is None or end.state in ENDED:
                    return _value(job_id, end)
                await _wait(ended, job_id, poll, until)
                poll = min(LONGEST_POLL, poll * 3)
        finally:
            self._ends[job_id].discard(ended)
            if not self._ends[job_id]:
                del self._ends[job_id]

    async def _look(self, job_id: UUID, until: float | None) -> End | None:
        """What became of it, so far; TimeoutError where the store does not say so in time."""
        left = None if until is None else max(ONE_LOOK, until - time.monotonic())
        try:
            async with asyncio.timeout(left):
                return await self._client.run(jobs.outcome(job_id, waiter=self._me))
        except TimeoutError:
            raise _late(job_id) from None

    async def close(self) -> None:
        """Stop listening."""
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            await asyncio.wait({listening})

    def _listen(self) -> None:
        if self._listening is None or self._listening.done():
            listener = Listener(self._client.settings, self._heard, self._look_again)
            self._listening = asyncio.create_task(listener.run(), name="howdah results")

    def _heard(self, payload: str) -> None:
        if payload.startswith("f"):
            for text in payload[1:].split(","):
                for ended in self._ends.get(_uuid(text), ()):
                    ended.set()

    def _look_again(self) -> None:
        for waiting in self._ends.values():
            for ended in waiting:
                ended.set()


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:  # anybody may notify: what is no id is nobody's
        return UUID(int=0)


async def _wait(ended: asyncio.Event, job_id: UUID, poll: float, until: float | None) -> None:
    left = poll if until is None else min(poll, until - time.monotonic())
    if left <= 0:
        raise _late(job_id)
    try:
        async with asyncio.timeout(left):  # wait_for may swallow its cancelling
            await ended.wait()
    except TimeoutError:
        return


def _late(job_id: UUID) -> TimeoutError:
    return TimeoutError(f"job {job_id} has not ended in time")


def _value(job_id: UUID, end: End | None) -> Any:
    if end is None:
        raise no_job(job_id)
    result = None if end.result is None else msgspec.json.decode(end.result)
    if end.state == "failed":
        raise JobFailed(job_id, end.error, result)
    if end.state == "cancelled":
        raise JobCancelled(job_id, end.error)
    return result
