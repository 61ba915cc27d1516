"""What the store must hold of keys and limits, beside jobs: turns, places, starts and cursors.

When a waiting job is let in is the store's affair; the model says who may be (`may_go`), and that
none is left who may, once somebody has looked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any
from uuid import UUID

from tests.model.world import Job, World, seconds

PER = 10.0  # seconds: the span of all rates


@dataclass
class KeyedJob(Job):
    """A job and its keys."""

    args: Any = None
    serial_key: str | None = None
    skips: bool = False  # the next one of its key goes on while it waits for its next try
    limit_keys: frozenset[str] = frozenset()
    waiting_key: tuple[str, ...] | None = None  # nobody else has it until the job starts
    cursor: Any = None  # as its attempt found it; None: it never started

    @property
    def is_keyed(self) -> bool:
        return self.serial_key is not None or bool(self.limit_keys)

    @property
    def is_in(self) -> bool:
        """Whether it has been let in and holds its places."""
        return self.state in ("ready", "running")


@dataclass
class Limit:
    """What was put for a key, or for all that begin as a pattern does."""

    most: int | None = None
    rate: int | None = None
    burst: int | None = None


@dataclass
class KeyedWorld(World):
    """A world in which some jobs wait for their turn, or for a place."""

    turns: dict[str, UUID] = field(default_factory=dict)  # of serial keys: who had it last
    may_have_passed: set[str] = field(default_factory=set)  # since who had it did not keep it
    cursors: dict[str, tuple[Any, int]] = field(default_factory=dict)  # and their versions
    limits: dict[str, Limit] = field(default_factory=dict)
    starts: dict[str, list[datetime]] = field(default_factory=dict)
    windows: dict[str, tuple[datetime, UUID]] = field(default_factory=dict)  # of unique_for
    let_in_by_the_store: Callable[[KeyedWorld], None] = lambda world: None
    next_look: Callable[[], datetime | None] = lambda: None  # at a key, for its rate

    def any_limits(self) -> bool:
        return bool(self.limits)

    def keyed(self) -> list[KeyedJob]:
        return [job for job in self.jobs.values() if isinstance(job, KeyedJob)]

    # The roads of a job

    def make_ready(self, job: Job, run_at: datetime | None = None, *, front: bool = False) -> None:
        assert isinstance(job, KeyedJob)
        came_back = not job.is_live
        if came_back:  # it never started, and new limits hold for it as well
            job.cursor, job.waiting_key = None, None
            job.limit_keys |= self.limits_of(job)
        super().make_ready(job, run_at, front=front)
        self.block(job)
        had_it = job.serial_key is not None and self.turns.get(job.serial_key) == job.id
        if had_it and (came_back or not keeps_its_turn(job)):
            self.may_have_passed.add(str(job.serial_key))

    def block(self, job: KeyedJob) -> None:
        """Where it would be ready it waits to be let in."""
        if job.state == "ready" and job.is_keyed:
            job.state = "blocked"

    def let_in(self, job: KeyedJob) -> None:
        """It has its turn and its places; its own place among the ready ones is drawn anew."""
        assert self.may_go(job), f"{job.id} is let in, and it is not its turn, or there is no place"
        before = [j for j in self.keyed() if self.may_go(j) and comes_before(j, job)]
        assert not before, f"{job.id} is let in before {before}"
        job.state, job.seq = "ready", self.draw()
        if job.serial_key is not None:
            self.turns[job.serial_key] = job.id
            self.may_have_passed.discard(job.serial_key)

    def start(self, jobs: list[Job]) -> list[Job]:
        """Those of the jobs that start now: the others are too early for their rate."""
        return [job for job in jobs if isinstance(job, KeyedJob) and self._starts(job)]

    def _starts(self, job: KeyedJob) -> bool:
        rated = [key for key in job.limit_keys if self.rate(key) is not None]
        if any(self.starts_left(key) < 1 for key in rated):
            return False
        for key in rated:
            self.starts.setdefault(key, []).append(self.now)
        job.waiting_key = None
        key = job.serial_key  # a replacement may have taken it away
        job.cursor = None if key is None else self.cursors.get(key, ({}, 0))[0]
        return True

    def tidy(self) -> None:
        """Whose turn it was is forgotten of keys of which nothing is left."""
        for key, job_id in list(self.turns.items()):
            of_it = [job for job in self.keyed() if job.serial_key == key and job.is_live]
            if key not in self.cursors and not any(
                job.id == job_id or job.state == "blocked" for job in of_it
            ):
                del self.turns[key]

    def next_due(self) -> datetime | None:
        return min((due for due in (super().next_due(), self.next_look()) if due), default=None)

    def look_who_was_let_in(self) -> None:
        self.let_in_by_the_store(self)

    # Who may go

    def may_go(self, job: KeyedJob) -> bool:
        return (
            job.state == "blocked" and self.has_turn(job)
            and all(self.is_free(key) for key in job.limit_keys)
        )  # fmt: skip

    def waits_in_vain(self, job: KeyedJob) -> bool:
        """Whoever has the turn of its key: of those that may have it, the store knows which."""
        of_it = [other for other in self.keyed() if other.serial_key == job.serial_key]
        return self.may_go(job) and (job.serial_key is None or all(
            self.may_go(o) for o in of_it if o.state == "blocked" and self.has_turn(o)
        ))  # fmt: skip

    def has_turn(self, job: KeyedJob) -> bool:
        """One of a key at a time: who had the turn keeps it until it ends, else who came first."""
        if job.serial_key is None:
            return True
        of_it = [other for other in self.keyed() if other.serial_key == job.serial_key]
        had_it = self.turns.get(job.serial_key)
        keepers = [j for j in of_it if j.id == had_it and keeps_its_turn(j)]
        if job in keepers:
            return True
        if keepers and job.serial_key not in self.may_have_passed:
            return False
        return job is min((j for j in of_it if j.state == "blocked"), key=lambda j: j.seq)

    def is_free(self, key: str) -> bool:
        return self._room(key) > 0

    def is_over(self, key: str) -> bool:
        return self._room(key) < 0

    def _room(self, key: str) -> float:
        """How many more may be let in; below zero: how many too many there are."""
        most, inside = self.most(key), [j for j in self.keyed() if key in j.limit_keys and j.is_in]
        about_to_start = sum(job.state == "ready" for job in inside)
        return min(
            inf if most is None else most - len(inside),
            inf if self.rate(key) is None else self.starts_left(key) - about_to_start,
        )

    # Limits

    def most(self, key: str) -> int | None:
        """What was put for the key itself, else for the longest of the patterns it fits."""
        found = [name for name in self.limits if fits(key, name) and self._most(name) is not None]
        return self._most(max(found, key=lambda n: (n == key, len(n)))) if found else None

    def _most(self, name: str) -> int | None:
        return self.limits[name].most

    def rate(self, key: str) -> Limit | None:
        limit = self.limits.get(key)  # the model puts rates for no patterns
        return limit if limit is not None and limit.rate is not None else None

    def starts_left(self, key: str) -> int:
        limit = self.rate(key)
        assert limit is not None
        assert limit.rate is not None
        assert limit.burst is not None
        spans = [(limit.rate, PER), (limit.burst, PER * limit.burst / limit.rate)]
        return min(
            most - sum(at > self.now - seconds(span) for at in self.starts.get(key, []))
            for most, span in spans
        )

    def limits_of(self, job: Job) -> frozenset[str]:
        """The limits that a job has without naming them."""
        return frozenset(
            key for key in (f"queue:{job.queue}", f"task:{job.task}")
            if any(fits(key, name) for name in self.limits)
        )  # fmt: skip


def keeps_its_turn(job: KeyedJob) -> bool:
    """Not when it was put off before it ever started, nor when it is to be skipped meanwhile."""
    return job.is_live and (job.state != "scheduled" or (job.cursor is not None and not job.skips))


def comes_before(one: KeyedJob, other: KeyedJob) -> bool:
    """Whether it is before the other at one limit, which is all that either waits for."""
    alike = one.limit_keys == other.limit_keys and len(one.limit_keys) == 1
    return (
        alike and one.serial_key is other.serial_key is None
        and (-one.priority, one.seq) < (-other.priority, other.seq)
    )  # fmt: skip


def fits(key: str, name: str) -> bool:
    return key.startswith(name[:-1]) if name.endswith("*") else key == name
