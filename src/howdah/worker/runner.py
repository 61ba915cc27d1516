"""The attempts that run now: starts them in their slots, ends them in time, takes outcomes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from howdah.events import AttemptFinished, Events, LoopBlocked, TaskStuck
from howdah.outcome import Outcome, Released
from howdah.rows import Claimed
from howdah.task import Task
from howdah.worker.attempt import GRACE, Attempt
from howdah.worker.board import APART, HERE, Board
from howdah.worker.carrier import Carriers
from howdah.worker.finisher import Finisher
from howdah.worker.means import Means
from howdah.worker.slots import Slots
from howdah.worker.watchdog import Block, Watchdog

SWEEP_EVERY = 0.05  # seconds between two looks at the deadlines


class Runner:
    """Keeps slots filled with attempts.

    `has_room` is called when a slot stays free because nothing waits for it.
    """

    def __init__(
        self,
        *,
        tasks: Mapping[str, Task[..., Any]],
        groups: Sequence[Slots],
        means: Means,
        finisher: Finisher,
        events: Events,
        has_room: Callable[[], None],
        board: Board | None = None,
    ) -> None:
        self._board = board
        self.watchdog = Watchdog(lambda: self._turned_at, self._blocked, self._kill_overdue)
        self._turned_at: float | None = None  # the loop's last turn; None while nothing runs
        self._tasks, self._groups, self._finisher, self._events = tasks, groups, finisher, events
        self._means, self._has_room = means, has_room
        self._turns = deque(groups)
        self._carriers = Carriers(self._following, self._ended, self.fill)
        # By attempt: a job may come back before its last attempt has ended.
        self._running: dict[Attempt, Slots] = {}
        self._sweeping = self._closed = False
        self._may_be_empty = asyncio.Event()

    def __len__(self) -> int:
        return len(self._running)

    def status(self) -> list[dict[str, object]]:
        """The jobs that run now, and for how many seconds."""
        now = time.monotonic()
        return [
            {
                "id": str(each.job.id),
                "task": each.job.task,
                "queue": each.job.queue,
                "attempt": each.job.attempt,
                "seconds": round(now - each.started, 3),
            }
            for each in self._running
        ]

    def fill(self) -> None:
        """Start waiting jobs wherever there is room for them, and for their outcomes."""
        if self._closed:
            self._hand_back(self.drop_waiting())  # what a late claim brought in
            return
        for slots in self._groups:
            if slots.waiting:
                self._carriers.go()
            if slots.wants():
                self._has_room()

    def stop(self, job_id: UUID, why: str) -> None:
        """End what runs here of a job."""
        for attempt in [*self._running]:
            if attempt.job.id == job_id:
                attempt.stop(why)

    def stop_all(self, why: str) -> int:
        """End all attempts; how many there were."""
        for attempt in [*self._running]:
            attempt.stop(why)
        return len(self._running)

    def close(self) -> int:
        """Start nothing more, and hand back what has not started; how many those were."""
        self._closed = True
        back = self.drop_waiting()
        self._hand_back(back)
        return len(back)

    def _hand_back(self, jobs: Sequence[Claimed]) -> None:
        for job in jobs:
            self._finisher.put(Released(id=job.id, lease=job.lease, reason="released"))

    def drop_waiting(self) -> list[Claimed]:
        """Take out all that has not started."""
        self._may_be_empty.set()
        return [job for slots in self._groups for job in slots.take_back()]

    @property
    def is_empty(self) -> bool:
        """Whether nothing runs, nor waits for a slot."""
        return not self._running and not any(slots.waiting for slots in self._groups)

    async def empty(self) -> None:
        """Wait until it is empty."""
        while not self.is_empty:
            self._may_be_empty.clear()
            await self._may_be_empty.wait()

    def end(self) -> None:
        """Let idle threads end."""
        self.watchdog.stop()
        self._means.threads.stop()

    def _following(self) -> Attempt | None:
        """The attempt that begins now; None: nothing waits, or there is no room."""
        if self._closed or not self._finisher.has_room:
            return None
        for _ in self._groups:  # in turns: a group that never runs dry must not keep others waiting
            slots = self._turns[0]
            self._turns.rotate(-1)
            if (job := slots.take()) is not None:
                return self._begun(slots, job)
        return None

    def _begun(self, slots: Slots, job: Claimed) -> Attempt:
        task = self._tasks.get(job.task)
        is_command = task is not None and task.executor == "command"  # a process of its own anyway
        where = "process" if slots.in_processes and not is_command else None
        attempt = Attempt(job, task, self._means, where)
        self._running[attempt] = slots
        if self._board is not None:
            attempt.place = self._board.enter(job.id, APART if attempt.where == "process" else HERE)
        if not self._sweeping:
            self._sweeping = True
            self._turned_at = attempt.started
            self.watchdog.wake()
            asyncio.get_running_loop().call_later(SWEEP_EVERY, self._sweep)
        return attempt

    def _ended(self, attempt: Attempt, outcome: Outcome) -> None:
        if attempt not in self._running:
            return  # it was given up before
        self._take(attempt, outcome)
        if attempt.in_thread:
            asyncio.get_running_loop().call_later(GRACE, self._report_thread, attempt)

    def _take(self, attempt: Attempt, outcome: Outcome) -> None:
        """The slot is free before the outcome is stored."""
        slots = self._running.pop(attempt)
        slots.ended()
        if self._board is not None:
            self._board.leave(attempt.place)
        if attempt.stopping != "lost":
            self._finisher.put(outcome, is_stored=attempt.is_stored)
        if not self._running:
            self._may_be_empty.set()
        if self._events:
            took = time.monotonic() - attempt.started
            self._events.emit(AttemptFinished(job=attempt.job, outcome=outcome, took=took))

    def _sweep(self) -> None:
        """One timer for all deadlines, and none while nothing runs."""
        now = time.monotonic()
        self._sweeping = bool(self._running)
        self._turned_at = now if self._sweeping else None
        if self._sweeping:
            asyncio.get_running_loop().call_later(SWEEP_EVERY, self._sweep)
        for attempt in [*self._running]:
            if attempt.stopping is None and attempt.ends_at is not None and now >= attempt.ends_at:
                attempt.stop("timeout")
            elif attempt.where in {"process", "command"}:
                continue  # who runs it sees to its end
            elif attempt.stopping is not None and now >= attempt.stopped_at + GRACE:
                self._take(attempt, attempt.stopped())
                self._events.emit(TaskStuck(job=attempt.job))
        if self._finisher.has_room:  # else it is the store that holds everything up
            for slots in self._groups:
                self._hand_back(slots.take_back_held())
            self._may_be_empty.set()

    def _blocked(self, block: Block) -> None:
        """In the watchdog's thread."""
        job = next((each.job for each in [*self._running] if each.handle is block.handle), None)
        self._events.emit(LoopBlocked(seconds=block.seconds, job=job, where=block.where))

    def _kill_overdue(self) -> None:
        """In the watchdog's thread."""
        if self._means.processes is not None:
            self._means.processes.kill_overdue()

    def _report_thread(self, attempt: Attempt) -> None:
        if attempt.in_thread:
            self._events.emit(TaskStuck(job=attempt.job))
