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


class Control(msgspec.Struct, frozen=True):
    """What a heartbeat answers.

    `action` is go, drain, kill, or swept: drop everything and register under a new id.
    """

    action: str
    cancel: Sequence[UUID] | None
    next_due_in: timedelta | None
    work: bool  # whether its queues hold ready jobs


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
) -> Call[Control]:
    """Keep a worker and its leases alive; with a name, register it.

    `leases` states all that it holds: jobs under any other lease of its are released. Not to be
    sent while a claim is under way.
    """
    return function(
        "heartbeat",
        "action, cancel, next_due_in, work",
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


def drain(
    worker: UUID | None = None, *, name: str | None = None, host: str | None = None
) -> Call[int]:
    """Tell workers to finish what they run and leave; gives how many were told."""
    return _tell("drain", worker, name, host)


def kill(
    worker: UUID | None = None, *, name: str | None = None, host: str | None = None
) -> Call[int]:
    """Tell workers to stop at once and hand back; gives how many were told."""
    return _tell("kill", worker, name, host)


def _tell(verb: str, worker: UUID | None, name: str | None, host: str | None) -> Call[int]:
    return function(
        verb, verb, one_int, worker=("uuid", worker), name=("text", name), host=("text", host)
    )
