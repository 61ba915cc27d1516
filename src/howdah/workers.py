"""What can be asked about workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from howdah.call import Call, Row, function, one_bool, one_int, rows_of
from howdah.durations import Duration, span


class Worker(msgspec.Struct, frozen=True):
    """A worker process that is alive, or not yet known to be lost."""

    id: UUID
    name: str
    host: str | None
    pid: int | None
    version: str | None
    started_at: datetime
    beat_at: datetime
    running: int
    control: str
    slots: int | None
    queues: Sequence[str]
    tasks: Sequence[str] | None
    lost_after: timedelta
    idle: bool


class Running(msgspec.Struct, frozen=True):
    """A job that a worker runs, or holds to run it soon."""

    id: UUID
    worker: UUID
    task: str
    queue: str
    attempt: int
    max_attempts: int
    started_at: datetime


class Control(msgspec.Struct, frozen=True):
    """What a heartbeat answers.

    `action` is go, drain, kill, now (hand back at once), or swept: drop everything and register
    under a new id.
    """

    action: str
    cancel: Sequence[UUID] | None
    next_due_in: timedelta | None
    work: bool  # whether its queues hold ready jobs
    next_tick_in: timedelta | None = None  # until a schedule is due


class Told(msgspec.Struct, frozen=True):
    """What a worker is told by its parent's heartbeat; `lost_after` is None for one swept."""

    action: str
    lost_after: timedelta | None


COLUMNS = (
    "id, name, host, pid, version, started_at, beat_at, running, control, slots, queues, tasks, "
    "lost_after, idle"
)


def list() -> Call[Sequence[Worker]]:  # noqa: A001 - workers.list reads as it should
    """All workers, oldest first."""
    return Call(
        f"select {COLUMNS} from {{schema}}.workers order by started_at, id", (), rows_of(Worker)
    )


def _control(rows: Sequence[Row]) -> Control:
    return Control(*rows[0])


def heartbeat(
    worker: UUID,
    *,
    name: str | None = None,
    host: str | None = None,
    version: str | None = None,
    tasks: Sequence[str] | None = None,
    queues: Sequence[str] | None = None,
    slots: int | None = None,
    pid: int | None = None,
    lost_after: Duration | None = None,
    lock_key: int | None = None,
    leases: Sequence[UUID] | None = None,
    floors: str | None = None,
    stated: int | None = None,
) -> Call[Control]:
    """Keep a worker and its leases alive; with a name, register it.

    `leases` states all that it holds: jobs under any other lease of its are released. Not to be
    sent while a claim is under way. `stated` numbers these statements: one that arrives after
    another with a greater number releases nothing. `floors`, JSON, is below which its claims need
    not look.
    """
    return function(
        "heartbeat",
        "action, cancel, next_due_in, work, next_tick_in",
        _control,
        worker=("uuid", worker),
        name=("text", name),
        host=("text", host),
        version=("text", version),
        tasks=("text[]", None if tasks is None else [*tasks]),
        queues=("text[]", None if queues is None else [*queues]),
        slots=("int", slots),
        pid=("int", pid),
        lost_after=("interval", span(lost_after)),
        lock_key=("bigint", lock_key),
        leases=("uuid[]", None if leases is None else [*leases]),
        floors=("jsonb", floors),
        stated=("bigint", stated),
    )


def heartbeats(workers: Sequence[UUID]) -> Call[dict[UUID, Told]]:
    """Keep several workers alive; gives what each is told."""
    return function(
        "heartbeats",
        "worker, action, lost_after",
        lambda rows: {UUID(str(row[0])): Told(*row[1:]) for row in rows},
        workers=("uuid[]", [*workers]),
    )


def rescue(worker: UUID, running: Sequence[UUID]) -> Call[int]:
    """Bring back the jobs of a worker that is known to be dead; gives how many.

    Those in `running` count a crash; what had not started is released uncharged.
    """
    return function(
        "rescue", "rescue", one_int, worker=("uuid", worker), running=("uuid[]", [*running])
    )


def leave(worker: UUID) -> Call[bool]:
    """Take a worker out; what it still holds is released uncharged."""
    return function("leave", "leave", one_bool, worker=("uuid", worker))


def running(ids: Sequence[UUID]) -> Call[Sequence[Running]]:
    """The jobs that these workers hold, the longest first."""
    text = (
        "select id, worker, task, queue, attempt, max_attempts, started_at from {schema}.running "
        "where worker = any (cast($1 as uuid[])) order by started_at, id"
    )
    return Call(text, ([*ids],), rows_of(Running))


def drain(
    worker: UUID | None = None,
    *,
    name: str | None = None,
    host: str | None = None,
    version: str | None = None,
) -> Call[int]:
    """Tell workers to claim no more, finish what they run, and leave; gives how many were told.

    `name` may be a prefix with a trailing `*`; `version` is that of howdah.
    """
    return function("drain", "drain", one_int, **_whom(worker, name, host, version))


def kill(
    worker: UUID | None = None,
    *,
    name: str | None = None,
    host: str | None = None,
    version: str | None = None,
    now: bool = False,
) -> Call[int]:
    """Tell workers to leave within their `shutdown_after`; gives how many were told.

    What has not ended by then is stopped and released, uncharged; with `now`, or when it is said to
    the same worker again, at once. `name` and `version` are as for drain.
    """
    whom = _whom(worker, name, host, version)
    return function("kill", "kill", one_int, **whom, now=("boolean", now))


def _whom(
    worker: UUID | None, name: str | None, host: str | None, version: str | None
) -> dict[str, tuple[str, object]]:
    return {
        "worker": ("uuid", worker),
        "name": ("text", name),
        "host": ("text", host),
        "version": ("text", version),
    }
