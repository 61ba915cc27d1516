"""Room for running jobs: a local queue of claimed ones, and so many of them running at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from howdah.errors import BadInput
from howdah.job import check_patterns
from howdah.rows import Claimed
from howdah.task import Task

MOST_ASKED = 1000
COVER = 0.15  # seconds that the local queue is to last at the measured pace
SUSPECTS = 10  # that run at once, each in a process of its own
HELD = 0.5  # seconds in which no slot came free: what waits is better off with another worker


def prefetch(pace: float, cover: float = COVER) -> int:
    """How many jobs to hold beside the running ones, at so many jobs a second.

    Slow tasks prefetch nothing (another worker could start them); no-ops come in hundreds.
    """
    return int(pace * cover)


def wanted(*, free: int, waiting: int, pace: float) -> int:
    """How many jobs to ask for: nothing until half of what was held is used up, then the whole."""
    target = free + prefetch(pace)
    if waiting > target // 2:
        return 0
    return min(MOST_ASKED, target - waiting)


class Slots:
    """Some queues (names and patterns, `but` not these), and how many of their jobs run at once.

    Attributes:
        tasks: whose jobs are claimed for it; None: all that the worker knows.
        in_processes: whether its jobs run in the pool.
        isolates: whether suspects among them run alone; what only calls URLs kills nobody.
    """

    def __init__(
        self,
        queues: Sequence[str],
        size: int,
        but: Sequence[str] = (),
        *,
        tasks: Sequence[str] | None = None,
        in_processes: bool = False,
        isolates: bool = True,
    ) -> None:
        self.queues, self.size, self.but = tuple(queues), size, tuple(but)
        self.isolates = isolates
        self.tasks = None if tasks is None else tuple(tasks)
        self.in_processes = in_processes
        self._rests_until = 0.0
        self.running = 0
        self.waiting: deque[Claimed] = deque()
        self._moved_at = time.monotonic()
        self._pace = 0.0
        self._ended, self._since = 0, time.monotonic()

    def wants(self) -> int:
        """How many more jobs to claim now."""
        if self.tasks == () or self._rests_until > time.monotonic():
            return 0
        return wanted(
            free=self.size - self.running, waiting=len(self.waiting), pace=self._measured_pace()
        )

    @property
    def free(self) -> int:
        """How many more jobs could start now."""
        if self._rests_until > time.monotonic():
            return 0
        return max(0, self.size - self.running - len(self.waiting))

    def hold(self, jobs: Sequence[Claimed]) -> None:
        """Let them wait for a slot."""
        if jobs:
            self._moved_at = time.monotonic()
            self.waiting.extend(jobs)

    def take(self) -> Claimed | None:
        """The next job, which takes a slot; None: there is none, or no room for it."""
        if not self.waiting or self.running >= self.size:
            return None
        self.running += 1
        self._moved_at = time.monotonic()
        return self.waiting.popleft()

    def ended(self) -> None:
        """A job has left its slot."""
        self.running -= 1
        self._ended += 1

    def rest(self, length: float) -> None:
        """Want no more for so many seconds."""
        self._rests_until = time.monotonic() + length

    def take_back(self) -> list[Claimed]:
        """All that has not started; it is to be released."""
        back = [*self.waiting]
        self.waiting.clear()
        return back

    def take_back_held(self) -> list[Claimed]:
        """What has waited for long although nothing moves: the pace of its claim is over."""
        if self.running < self.size or time.monotonic() - self._moved_at < HELD:
            return []
        return self.take_back()

    def _measured_pace(self) -> float:
        """Jobs a second, smoothed over some tenths of a second."""
        now = time.monotonic()
        passed = now - self._since
        if passed >= 0.05:
            weight = min(1.0, passed / 0.3)
            self._pace += weight * (self._ended / passed - self._pace)
            self._ended, self._since = 0, now
        return self._pace


def groups_of(queues: Sequence[str] | None, slots: int) -> list[Slots]:
    """Queues with slots of their own, and one group for those that share; None: all share."""
    if isinstance(queues, str):
        check_patterns(queues)  # refuses it
    if queues is not None and not queues:
        raise BadInput(
            "a worker without queues has nothing to do", hint="Leave out queues for all."
        )
    _size(slots)
    shared, groups = [], []
    for text in ["*"] if queues is None else queues:
        queue, colon, size = str(text).rpartition(":")  # what is no text is no name: refused below
        if colon and size.isdigit():
            groups.append(Slots(check_patterns([queue]), _size(int(size))))
        else:
            shared += check_patterns([text])
    own = [queue for group in groups for queue in group.queues]
    return [*groups, Slots(shared, slots, but=own)] if shared else groups


def with_processes(
    groups: Sequence[Slots],
    tasks: Mapping[str, Task[..., Any]],
    size: int,
    *,
    isolate: bool,
    urls: int = 0,
) -> list[Slots]:
    """The same groups, and one that claims for the tasks whose executor is "process", alone.

    Another one, of `urls` slots, for the task that calls URLs, if it is among them.

    With `isolate` one more, the last, for suspects that the others claim: larger, since a process
    that died leaves as many of them as it ran jobs, and most wait more than they compute.
    """
    queues = [queue for group in groups for queue in group.queues]
    there = sorted(name for name, task in tasks.items() if task.executor == "process")
    calls = sorted(name for name, task in tasks.items() if task.executor == "http")
    made = [*groups]
    if there or calls:
        others = sorted(tasks.keys() - {*there, *calls})
        made = [Slots(group.queues, group.size, group.but, tasks=others) for group in groups]
    if calls:
        made.append(Slots(queues, urls, tasks=calls, isolates=False))
    if there:
        made.append(Slots(queues, size, tasks=there, in_processes=True))
    if isolate:
        made.append(Slots(queues, max(size, SUSPECTS), tasks=(), in_processes=True))
    return made


def _size(slots: int) -> int:
    if type(slots) is not int or not 1 <= slots <= 10_000:
        raise BadInput(f"{slots!r} slots cannot be had", hint="Use 1 to 10000.")
    return slots
