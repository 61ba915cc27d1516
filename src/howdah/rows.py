"""Jobs as the store gives them: rows, in the order of their columns."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import msgspec


class Claimed(msgspec.Struct, frozen=True):
    """A leased job. `args` is JSON text, decoded at the attempt, so that a bad row fails alone."""

    id: UUID
    lease: UUID
    queue: str
    task: str
    args: str
    priority: int
    attempt: int
    base_attempt: int  # attempts used before the last retry by hand
    max_attempts: int
    timeout_ms: int | None  # None: no timeout
    delivery: str
    leased_until: datetime | None  # None: as long as the worker's heart beats
    headers: str | None  # JSON text
    tags: list[str] | None
    suspect: bool = False  # may have killed its worker: to be run alone
    hooks: int | None = None  # which kinds of keys it has; None: a plain job
    serial_key: str | None = None
    cursor: str | None = None  # of the serial key, JSON text

    @property
    def failures(self) -> int:
        """Attempts since the job was enqueued, or last retried by hand, this one included."""
        return self.attempt - self.base_attempt


class Found(msgspec.Struct, frozen=True):
    """A job as it stands, live or finished. `args`, `result` and `headers` are JSON text."""

    id: UUID
    queue: str
    task: str
    args: str
    state: str
    priority: int
    attempt: int
    max_attempts: int
    timeout: timedelta | None
    run_at: datetime
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    worker: UUID | None
    result: str | None
    error: str | None
    tags: list[str] | None
    headers: str | None
    delivery: str
    unique_key: str | None
    crashes: int
    leased_until: datetime | None
    serial_key: str | None
    limit_keys: list[str] | None
    cursor: str | None  # of the serial key when it started, JSON text


class Attempt(msgspec.Struct, frozen=True):
    """An attempt that did not simply succeed."""

    job_id: UUID
    attempt: int
    outcome: str
    error: str | None
    started_at: datetime | None
    finished_at: datetime
    worker: UUID | None


class Refused(msgspec.Struct, frozen=True):
    """A finish not taken: `lost` (no longer yours), `done` (taken before), `busy` (send again)."""

    id: UUID
    reason: str


class End(msgspec.Struct, frozen=True):
    """What became of a job, so far. `result` is JSON text."""

    state: str
    result: str | None
    error: str | None


CLAIMED_COLUMNS = (
    "id, lease, queue, task, args::text, priority, attempt, base_attempt, max_attempts, "
    "timeout_ms, delivery, leased_until, headers::text, tags, suspect, "
    "hooks, serial_key, cursor::text"
)
FOUND_COLUMNS = (
    "id, queue, task, args::text, state, priority, attempt, max_attempts, timeout, run_at, "
    "created_at, started_at, finished_at, worker, result::text, error, tags, headers::text, "
    "delivery, unique_key, crashes, leased_until, serial_key, limit_keys, cursor::text"
)
ATTEMPT_COLUMNS = "job_id, attempt, outcome, error, started_at, finished_at, worker"
STATES = ("scheduled", "blocked", "ready", "running", "succeeded", "failed", "cancelled")
