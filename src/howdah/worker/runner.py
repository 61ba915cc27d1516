"""The attempts that run now: starts them in their slots, ends them in time, takes outcomes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from howdah.events import AttemptFinished, Events, TaskStuck
from howdah.jobs import Claimed
from howdah.outcome import Outcome, Released
from howdah.task import Task
from howdah.worker.attempt import Attempt
from howdah.worker.finisher import Finisher
from howdah.worker.slots import Slots
from howdah.worker.threads import Threads

SWEEP_EVERY = 0.05  # seconds between two looks at the deadlines
GRACE = 1.0  # seconds that a task gets to end after it was told to


class Runner:
    """Keeps slots filled with attempts.

    `has_room` is called when a slot stays free because nothing waits for it.
    """

    def __init__(
        self,
        *,
        tasks: Mapping[str, Task[..., Any]],
        groups: Sequence[Slots],
        finisher: Finisher,
        events: Events,
        has_room: Callable[[], None],
        extend: Callable[[Attempt, float], Awaitable[None]],
    ) -> None:
        self._tasks, self._groups, self._finisher, self._events = tasks, groups, finisher, events
        self._has_room, self._extend = has_room, extend
        self._threads = Threads()
        self._running: dict[UUID, tuple[Slots, Attempt]] = {}
        self._sweeping = self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._running)

    @property
    def job_ids(self) -> list[UUID]:
        """The jobs that run now."""
        return [*self._running]

    def fill(self) -> None:
        """Start waiting jobs wherever there is room for them, and for their outcomes."""
        if self._closed:
            return
        for slots in self._groups:
            slots.fill(self._start, self._may_start)
            if slots.wants():
                self._has_room()

    def stop(self, job_id: UUID, why: str) -> None:
        """End one attempt, if it runs here."""
        if job_id in self._running:
            self._running[job_id][1].stop(why)

    def stop_all(self, why: str) -> int:
        """End all attempts; how many there were."""
        for _, attempt in [*self._running.values()]:
            attempt.stop(why)
        return len(self._running)

    def close(self) -> int:
        """Start nothing more, and hand back what has not started; how many those were."""
        self._closed = True
        back = self.drop_waiting()
        for job in back:
            self._finisher.put(Released(id=job.id, lease=job.lease, reason="released"))
        return len(back)

    def drop_waiting(self) -> list[Claimed]:
        """Take out all that has not started."""
        return [job for slots in self._groups for job in slots.take_back()]

    async def empty(self) -> None:
        """Wait until nothing runs."""
        await self._empty.wait()

    def end(self) -> None:
        """Let idle threads end."""
        self._threads.stop()

    def _may_start(self) -> bool:
        return self._finisher.has_room

    def _start(self, slots: Slots, job: Claimed) -> None:
        loop = asyncio.get_running_loop()
        attempt = Attempt(job, self._tasks.get(job.task), self._threads, self._extend)
        attempt.handle = loop.create_task(attempt.run())
        attempt.handle.add_done_callback(partial(self._done, slots, attempt))
        self._running[job.id] = (slots, attempt)
        self._empty.clear()
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(SWEEP_EVERY, self._sweep)

    def _done(self, slots: Slots, attempt: Attempt, handle: asyncio.Task[Outcome]) -> None:
        # Cancelled before its first step, it never reached its own code.
        outcome = attempt.stopped() if handle.cancelled() else handle.result()
        entry = self._running.get(attempt.job.id)
        if entry is not None and entry[1] is attempt:  # else it was given up before
            self._take(slots, attempt, outcome)

    def _take(self, slots: Slots, attempt: Attempt, outcome: Outcome) -> None:
        """The slot is free before the outcome is stored."""
        del self._running[attempt.job.id]
        slots.ended()
        if attempt.stopping != "lost":
            self._finisher.put(outcome)
        if self._events:
            took = time.monotonic() - attempt.started
            self._events.emit(AttemptFinished(job=attempt.job, outcome=outcome, took=took))
        if not self._running:
            self._empty.set()
        if not self._closed:
            slots.fill(self._start, self._may_start)
            if not slots.waiting:
                self._has_room()

    def _sweep(self) -> None:
        """One timer for all deadlines, and none while nothing runs."""
        now = time.monotonic()
        for slots, attempt in [*self._running.values()]:
            if attempt.stopping is None and attempt.ends_at is not None and now >= attempt.ends_at:
                attempt.stop("timeout")
            elif attempt.stopping is not None and now >= attempt.stopped_at + GRACE:
                self._events.emit(TaskStuck(job=attempt.job))
                self._take(slots, attempt, attempt.stopped())
        self._sweeping = bool(self._running)
        if self._sweeping:
            asyncio.get_running_loop().call_later(SWEEP_EVERY, self._sweep)
