"""Any number of jobs into the store: batch by batch, in order, in bounded memory.

While the store works on a batch the next one is made. No more than two are in memory, and no more
than one is on its way: so the jobs keep the order in which they came.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from uuid import UUID

from howdah.call import Call
from howdah.enqueuing import enqueue_many
from howdah.errors import BadInput, BadItem
from howdah.job import MAX_BATCH, Job

BATCH = 1_000  # jobs in one round trip: more gain nothing, and their transaction is open longer
Progress = Callable[[int], object]  # is told how many are in
Enqueue = Call[list[UUID]]


async def stream(
    run: Callable[[Enqueue], Awaitable[list[UUID]]],
    jobs: Iterable[Job] | AsyncIterable[Job],
    *,
    batch: int = BATCH,
    progress: Progress | None = None,
    in_own_task: bool = True,
) -> int:
    """Enqueue the jobs with `run`; gives how many. Raises BadItem.

    `run` is called in a task of its own, unless `in_own_task` is false: a session of SQLAlchemy
    may belong to its caller's task. Then nothing is made while the store works.
    """
    cut, tally = Cut(batch), Tally(progress)
    sending: asyncio.Task[None] | None = None
    try:
        async with aclosing(cut.async_batches(jobs)) as batches:
            async for some in batches:
                call = enqueue_many(some)
                if not in_own_task:
                    await _send(run, call, tally, len(some))
                    continue
                if sending is not None:
                    await sending
                sending = asyncio.create_task(
                    _send(run, call, tally, len(some)), name="enqueue a batch"
                )
                await asyncio.sleep(0)  # it is on its way before the next is made
        if sending is not None:
            await sending
    finally:
        if sending is not None and not sending.done():
            sending.cancel()
            with suppress(BaseException):
                await sending
    cut.raise_error(tally)
    return tally.stored


async def _send(
    run: Callable[[Enqueue], Awaitable[list[UUID]]], call: Enqueue, tally: Tally, count: int
) -> None:
    try:
        await run(call)
    except BadInput as error:
        raise tally.refusal(error, count) from error
    except Exception as error:
        error.add_note(tally.doubt(count))
        raise
    tally.add(count)


def stream_sync(
    run: Callable[[Enqueue], list[UUID]],
    jobs: Iterable[Job],
    *,
    batch: int = BATCH,
    progress: Progress | None = None,
) -> int:
    """The same where there is no event loop; one batch after the other."""
    cut, tally = Cut(batch), Tally(progress)
    for some in cut.batches(jobs):
        try:
            run(enqueue_many(some))
        except BadInput as error:
            raise tally.refusal(error, len(some)) from error
        except Exception as error:
            error.add_note(tally.doubt(len(some)))
            raise
        tally.add(len(some))
    cut.raise_error(tally)
    return tally.stored


class Tally:
    """How many are in, and what is said when something stops it."""

    def __init__(self, progress: Progress | None) -> None:
        self.stored = 0
        self._progress = progress

    def add(self, count: int) -> None:
        """So many more are in."""
        self.stored += count
        if self._progress is not None:
            self._progress(self.stored)

    def refusal(self, error: BadInput, count: int) -> BadItem:
        """For a batch of so many that the store refused."""
        first, last = self.stored + 1, self.stored + count
        return BadItem(error, first=first, last=last, enqueued=self.stored)

    def doubt(self, count: int) -> str:
        """For a batch of so many that had no answer."""
        return (
            f"{self.stored} jobs of the stream were enqueued before; "
            f"whether the next {count} were is not known."
        )


class Cut:
    """Cuts jobs into batches. An error of whatever gives the jobs ends them, and is kept."""

    def __init__(self, size: int) -> None:
        if not 1 <= size <= MAX_BATCH:
            raise BadInput(
                f"a batch cannot have {size} jobs", hint=f"Give batch a number up to {MAX_BATCH}."
            )
        self._size = size
        self._taken = 0
        self._error: Exception | None = None

    def batches(self, jobs: Iterable[Job]) -> Iterator[list[Job]]:
        """The jobs, so many at a time."""
        some: list[Job] = []
        try:
            for job in jobs:
                self._take(job, some)
                if len(some) == self._size:
                    yield some
                    some = []
        except Exception as error:
            self._error = error
        else:
            if some:
                yield some

    async def async_batches(
        self, jobs: Iterable[Job] | AsyncIterable[Job]
    ) -> AsyncGenerator[list[Job], None]:
        """The same, also from what has to be waited for."""
        if not isinstance(jobs, AsyncIterable):
            for some in self.batches(jobs):
                yield some
            return
        some = []
        try:
            async for job in jobs:
                self._take(job, some)
                if len(some) == self._size:
                    yield some
                    some = []
        except Exception as error:
            self._error = error
        else:
            if some:
                yield some

    def _take(self, job: Job, some: list[Job]) -> None:
        if not isinstance(job, Job):
            raise BadInput(f"{job!r} is no job", hint="Make jobs of it: task.job(…), task.map(…).")
        some.append(job)
        self._taken += 1

    def raise_error(self, tally: Tally) -> None:
        """Raise what ended the jobs, if something did."""
        error = self._error
        if isinstance(error, BadInput):
            at = self._taken + 1
            raise BadItem(error, first=at, last=at, enqueued=tally.stored) from error
        if error is not None:
            error.add_note(f"{tally.stored} jobs of the stream were enqueued before.")
            raise error
