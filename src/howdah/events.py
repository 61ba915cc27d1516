"""What happens, said once, as events. Whoever wants log lines, metrics or traces subscribes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import msgspec

from howdah.outcome import Outcome
from howdah.rows import Claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStarted:
    """A worker has registered and claims from now on."""

    worker: UUID
    name: str
    queues: tuple[str, ...]
    slots: int
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStopping:
    """A worker claims no more; `why` says who asked.

    What runs has `within` seconds to end, as far as is known now; None: as long as it takes.
    """

    worker: UUID
    why: str
    running: int
    within: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStopped:
    """A worker has ended; `has_left`: and the store has taken its leave and its last outcomes."""

    worker: UUID
    released: int
    has_left: bool


class AttemptFinished(msgspec.Struct, frozen=True, kw_only=True):  # the quickest to make: one a job
    """An attempt ended; `took` is in seconds. The outcome is not yet stored."""

    job: Claimed
    outcome: Outcome
    took: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRefused:
    """The store did not take an outcome: the job had been given to somebody else."""

    job_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStuck:
    """A task went on after its timeout or its cancelling; its slot was given to another."""

    job: Claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopBlocked:
    """A coroutine lets nothing else run: so many seconds so far, in that job, at that place.

    `job` is None where it cannot be told. Said by another thread, while it lasts.
    """

    seconds: float
    job: Claimed | None
    where: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStarted:
    """A parent has started a process for a worker."""

    number: int
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSilent:
    """A process has been silent for so long that its jobs would soon be lost: it is killed."""

    number: int
    pid: int | None
    silent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildDied:
    """A process ended though nobody asked; `running` jobs count a crash.

    Another starts in `again_in` seconds; None: when a file has changed. `replaced`: or none does,
    since this one was to leave. `pid` is None where it could not even be started. `fenced`: its
    parent killed it for its silence, and has said so.
    """

    number: int
    pid: int | None
    how: str
    running: tuple[UUID, ...]
    again_in: float | None
    replaced: bool = True
    fenced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentStopping:
    """All processes are told to stop; `running` jobs get `within` seconds to end."""

    why: str
    running: int
    within: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentStopped:
    """All processes have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesChanged:
    """Files of the project have changed: the processes are replaced."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLost:
    """A loop of the worker cannot reach the database; it tries again in `again_in` seconds."""

    loop: str
    error: BaseException
    again_in: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseBack:
    """A loop of the worker has the database again."""

    loop: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSwept:
    """The worker was silent for so long that its jobs were given to others; it registered anew."""

    worker: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFailed:
    """A process for jobs could not be started, or could not load the app; `again_in` is seconds."""

    error: str
    again_in: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleFailed:
    """The next tick of a schedule could not be found, or its job not be made."""

    schedule: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Declarations:
    """What the store made of an app's schedules or listeners: new, changed, kept, vanished."""

    kind: str  # schedule, listener
    changes: tuple[tuple[str, str], ...]


Event = (
    WorkerStarted
    | WorkerStopping
    | WorkerStopped
    | AttemptFinished
    | LeaseRefused
    | TaskStuck
    | LoopBlocked
    | ChildStarted
    | ChildSilent
    | ChildDied
    | ParentStopping
    | ParentStopped
    | FilesChanged
    | DatabaseLost
    | DatabaseBack
    | WorkerSwept
    | ProcessFailed
    | ScheduleFailed
    | Declarations
)
Subscriber = Callable[[Event], None]
log = logging.getLogger("howdah")


class Events:
    """Hands each event to its subscribers, in the order in which they subscribed."""

    def __init__(self) -> None:
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call the subscriber with each event from now on; it must be quick and not raise."""
        self._subscribers.append(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Call it no more."""
        self._subscribers.remove(subscriber)

    def __bool__(self) -> bool:
        """Whether anybody listens: who makes many events may look before making one."""
        return bool(self._subscribers)

    def emit(self, event: Event) -> None:
        """Tell everybody."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:
                log.exception("a subscriber could not take %s", type(event).__name__)
