"""What the store must hold: jobs, attempts and workers in plain Python, and how they move.

Pure: it knows nothing of SQL. The features beside it (enqueuing, claiming, …) change it by the
three roads that a job has: `settle`, `make_ready` and `end_attempts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

FRONT = 2**62  # what release and rescue take from a job's place
MAX_CRASHES = 3
LOST_AFTER = 30.0
BACKOFF = {"work": (3, 2, 3600), "play": (1, 10, 20)}  # seconds, without chance
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def seconds(n: float) -> timedelta:
    return timedelta(seconds=n)


@dataclass
class Job:
    """A job, live or finished; `seq` is its place within a priority."""

    id: UUID
    task: str
    queue: str
    created_at: datetime
    seq: int
    state: str = "ready"
    priority: int = 0
    run_at: datetime | None = None
    delivery: str = "at_least_once"
    unique_key: str | None = None
    timeout: float | None = 60.0
    max_attempts: int = 4
    attempt: int = 0
    base: int = 0
    crashes: int = 0
    suspect: bool = False
    lease: UUID | None = None
    worker: UUID | None = None
    leased_until: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: Any = None
    error: str | None = None
    asked: bool = False  # to be cancelled, in the attempt that runs

    @property
    def waits(self) -> bool:
        return self.state in ("ready", "scheduled", "blocked")

    @property
    def is_live(self) -> bool:
        return self.waits or self.state == "running"

    @property
    def due(self) -> datetime:
        return self.run_at or self.created_at

    def ran_out(self, now: datetime) -> bool:
        """Whether the clock has ended its lease."""
        return self.leased_until is not None and self.leased_until <= now


@dataclass(frozen=True)
class Attempt:
    """One row of howdah.attempts, and the lease it was made under."""

    job_id: UUID
    attempt: int
    outcome: str
    error: str | None
    started_at: datetime | None
    finished_at: datetime
    worker: UUID | None
    lease: UUID | None

    @property
    def row(self) -> tuple[Any, ...]:
        return (self.job_id, self.attempt, self.outcome, self.error, self.started_at,
                self.finished_at, self.worker)  # fmt: skip


@dataclass
class Worker:
    """A registered worker."""

    id: UUID
    name: str
    beat_at: datetime
    queues: list[str]
    tasks: list[str] | None = None
    lost_after: float = LOST_AFTER
    session: str = "none"  # its advisory lock: none was named, held, or let go
    control: str = "go"

    def is_silent(self, now: datetime) -> bool:
        return self.beat_at + seconds(self.lost_after) < now


@dataclass
class Queue:
    """What was said about a queue."""

    paused: bool = False
    keep_history: bool = True


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an attempt ended, as finish is told."""

    kind: str
    reason: str | None = None
    error: str | None = None
    result: Any = None
    again_at: datetime | None = None

    @property
    def outcome(self) -> str:
        return self.reason or ("error" if self.kind in ("retry", "failed") else self.kind)


@dataclass
class World:
    """All of it, at a moment that only the test moves."""

    now: datetime
    jobs: dict[UUID, Job] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    workers: dict[UUID, Worker] = field(default_factory=dict)
    queues: dict[str, Queue] = field(default_factory=dict)
    given: set[UUID] = field(default_factory=set)
    beat_at: datetime = EPOCH  # of the pulse, and its last gap
    gap_began_at: datetime = EPOCH
    gap_ended_at: datetime = EPOCH
    last_seq: int = 0
    order_of: Callable[[list[UUID]], list[UUID]] = list  # of jobs that are due at one instant

    # Looking

    def live(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.is_live]

    def in_state(self, *states: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.state in states]

    def holder(self, unique_key: str) -> Job | None:
        """The unfinished job that has a unique key."""
        return next((job for job in self.live() if job.unique_key == unique_key), None)

    def held(self, job_id: UUID, lease: UUID) -> Job | None:
        """The job that runs under this lease, whether or not the clock has ended it."""
        job = self.jobs.get(job_id)
        return job if job is not None and job.lease == lease and job.state == "running" else None

    def queue(self, name: str) -> Queue:
        return self.queues.get(name, Queue())

    def draw(self) -> int:
        self.last_seq += 1
        return self.last_seq

    def look_who_was_let_in(self) -> None:
        """Where jobs wait to be let in: those that the store has let in."""

    def any_limits(self) -> bool:
        """Whether there are any."""
        return False

    def tidy(self) -> None:
        """What is of no use any more goes."""

    def start(self, jobs: list[Job]) -> list[Job]:
        """Those of the jobs to be claimed that may start now."""
        return jobs

    def next_due(self) -> datetime | None:
        return min((job.due for job in self.in_state("scheduled")), default=None)

    # The roads of a job

    def settle(self, job: Job, state: str, *, result: Any = None, error: str | None = None) -> None:
        """To its end: into history, or, where the queue keeps none, out of the world."""
        if state != "failed" and not self.queue(job.queue).keep_history:
            del self.jobs[job.id]
            return
        job.state, job.finished_at = state, self.now
        job.result, job.error, job.asked, job.leased_until = result, error, False, None

    def make_ready(self, job: Job, run_at: datetime | None = None, *, front: bool = False) -> None:
        """Back to waiting; the place is drawn anew, or is before all others."""
        job.seq = (job.seq if job.seq < 0 else job.seq - FRONT) if front else self.draw()
        job.run_at = run_at or job.run_at
        job.state = "scheduled" if run_at is not None and run_at > self.now else "ready"
        job.lease = job.worker = job.leased_until = job.started_at = None
        job.asked = False

    def is_hindered(self, job: Job) -> bool:
        """Whether a finished job cannot come back, because of others that ended badly."""
        return False

    def bring_back(self, job: Job) -> None:
        """A finished job waits again."""
        self.make_ready(job)

    def end_attempts(self, endings: Iterable[tuple[Job, Ending]]) -> None:
        """Ends attempts that did not simply succeed, all at one moment.

        Places are drawn for those to be tried again first, then for the snoozed.
        """
        judged = [(self._verdict(job, ending), job, ending) for job, ending in endings]
        for _, job, ending in judged:
            self.attempts.append(
                Attempt(
                    *(job.id, job.attempt, ending.outcome, ending.error, job.started_at),
                    *(self.now, job.worker, job.lease),
                )
            )
        order = ["failed", "cancelled", "retry", "snoozed", "released", "lost"]
        for verdict, job, ending in sorted(judged, key=lambda j: order.index(j[0])):
            getattr(self, f"_{verdict}")(job, ending)

    def _verdict(self, job: Job, ending: Ending) -> str:
        kind = ending.kind
        died = kind in ("lost", "crashed", "hung")
        if kind in ("failed", "cancelled"):
            return kind
        if job.asked:
            return "cancelled"
        if (
            (job.delivery == "at_most_once" and (died or kind == "retry"))
            or (kind in ("retry", "hung") and job.attempt >= job.max_attempts)
            or (died and job.crashes + 1 >= MAX_CRASHES)
        ):
            return "failed"
        return {"crashed": "lost", "hung": "retry"}.get(kind, kind)

    def _failed(self, job: Job, ending: Ending) -> None:
        if ending.kind in ("lost", "crashed", "hung"):
            job.crashes += 1
        self.settle(
            job, "failed", error=_last_words(job, ending),
            result=ending.result if ending.kind == "failed" else None,
        )  # fmt: skip

    def _cancelled(self, job: Job, ending: Ending) -> None:
        self.settle(job, "cancelled", error=ending.error)

    def _retry(self, job: Job, ending: Ending) -> None:
        if ending.kind == "hung":
            job.suspect, job.crashes = True, job.crashes + 1
        first, factor, longest = BACKOFF[job.task]
        wait = min(first * factor ** (job.attempt - job.base - 1), longest)
        self.make_ready(job, max(ending.again_at or self.now + seconds(wait), self.now))

    def _snoozed(self, job: Job, ending: Ending) -> None:
        job.attempt -= 1
        self.make_ready(job, ending.again_at and max(ending.again_at, self.now))

    def _released(self, job: Job, ending: Ending) -> None:
        job.attempt -= 1
        self.make_ready(job, front=True)

    def _lost(self, job: Job, ending: Ending) -> None:
        job.suspect = job.suspect or job.crashes > 0 or ending.kind == "crashed"
        job.attempt, job.crashes = job.attempt - 1, job.crashes + 1
        self.make_ready(job, front=True)


def _last_words(job: Job, ending: Ending) -> str | None:
    if ending.kind == "crashed" and job.delivery == "at_most_once":
        return f"lost: {ending.error}" if ending.error else "lost"
    if ending.outcome not in ("lost", "expired"):
        return ending.error
    if job.delivery == "at_most_once":
        return "lost"
    return "worker lost" if ending.outcome == "lost" else ending.error
