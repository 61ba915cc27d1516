"""Asyncio tasks that carry attempts: one after another, until one of them waits for something.

To make an asyncio task takes longer than most of what a short job does. So one is made for the
first attempt, and goes on with the next when that has ended without waiting. As soon as one waits,
the asyncio task is that attempt's alone, to be cancelled like any other, and another one is made
for those behind it. Tasks that have been seen to wait are given one of their own from the start.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import Any

from howdah.context import leave
from howdah.outcome import Outcome
from howdah.worker.attempt import Attempt

SLICE = 0.002  # seconds after which the loop gets its turn
SEEN = 100  # so many attempts have an asyncio task of their own after one that waited


class Carriers:
    """Runs what `following` gives, until that gives None; tells each end by `ended`.

    `rested` is called when a carrier starts nothing more: it has to `go` again if anything is left.
    """

    def __init__(
        self,
        following: Callable[[], Attempt | None],
        ended: Callable[[Attempt, Outcome], None],
        rested: Callable[[], None],
    ) -> None:
        self._following, self._ended, self._rested = following, ended, rested
        self._attempt: Attempt | None = None  # that the newest carrier is at
        self._first: Attempt | None = None  # of the newest carrier
        self._is_under_way = False
        self._clean = copy_context()
        self._waits: dict[str, int] = {}  # by task: how many more to have an asyncio task alone

    def go(self) -> None:
        """Start what there is to start, in the loop's next turn."""
        if self._is_under_way:
            return
        while (attempt := self._following()) is not None:
            if self._will_wait(attempt):
                self._make(self._carry_alone(attempt), attempt)
                continue
            self._is_under_way, self._first = True, attempt
            self._make(self._carry(attempt), attempt)
            asyncio.get_running_loop().call_soon(self._leave_alone)
            break

    def _make(self, carrying: Coroutine[Any, Any, None], attempt: Attempt) -> None:
        """An asyncio task for it, which sees no context variable that a job has set."""
        # Not by the loop's task factory, which may begin it here and now.
        loop = asyncio.get_running_loop()
        task = asyncio.Task(carrying, loop=loop, context=self._clean.copy())
        task.add_done_callback(partial(self._made, attempt))

    def _made(self, attempt: Attempt, task: asyncio.Task[None]) -> None:
        """It has ended; who was cancelled before the first step never reached code of ours."""
        if task.cancelled() and attempt.handle is None:
            if attempt is self._first:
                self._is_under_way = False
            self._ended(attempt, attempt.stopped())
            self._rested()

    def _will_wait(self, attempt: Attempt) -> bool:
        if attempt.where != "loop":
            return True
        left = self._waits.get(attempt.job.task)
        if left is None:
            return False
        if left > 1:
            self._waits[attempt.job.task] = left - 1
        else:
            del self._waits[attempt.job.task]
        return True

    def _leave_alone(self) -> None:
        """Directly behind a carrier's first step: an attempt that has not ended by now waits."""
        if self._attempt is not None:
            self._waits[self._attempt.job.task] = SEEN
            self._attempt = None
            self._is_under_way = False
            self._rested()

    async def _carry(self, first: Attempt) -> None:
        handle = asyncio.current_task()
        assert handle is not None
        leave()
        clean = copy_context()  # as it is to be found after each
        until = time.monotonic() + SLICE
        attempt: Attempt | None = first
        is_mine = True  # to go on with; not any more once an attempt has waited
        try:
            while attempt is not None:
                self._attempt = attempt
                outcome = await _outcome(attempt, handle)
                is_mine = self._attempt is attempt
                if not is_mine:
                    self._ended(attempt, outcome)
                    return
                self._attempt = None
                is_cancelled = handle.cancelling() > 0  # by the task, and before it could feel it
                self._ended(attempt, attempt.stopped() if is_cancelled else outcome)
                leave()
                if time.monotonic() >= until or is_cancelled or copy_context() != clean:
                    return
                attempt = self._following()
        finally:
            if is_mine:
                self._attempt = None
                self._is_under_way = False
            self._rested()

    async def _carry_alone(self, attempt: Attempt) -> None:
        handle = asyncio.current_task()
        assert handle is not None
        try:
            self._ended(attempt, await _outcome(attempt, handle))
        finally:
            self._rested()


async def _outcome(attempt: Attempt, handle: asyncio.Task[None]) -> Outcome:
    if attempt.stopping is not None:  # before it began
        return attempt.stopped()
    attempt.handle = handle
    try:
        return await attempt.run()
    except asyncio.CancelledError:
        return attempt.stopped()
    except BaseException as error:
        return attempt.broken(error)
