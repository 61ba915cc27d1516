"""What can go wrong, in few classes: each takes facts, writes its sentence, and keeps the facts.

HowdahError
├── BadInput                refused where it enters; nothing was stored
│   ├── BadArguments        the arguments do not fit the task
│   ├── TooLarge            over a size or depth limit
│   └── BadItem             one of a stream's items; those before it are enqueued
├── Conflict                clashes with something that is already there
├── LeaseLost               the lease is not, or no longer, yours
├── NotFound                no such job, worker, schedule …
├── UnknownTask             this process declares no such task
├── WorkerUnknown           the store has swept, or never knew, this worker
├── JobFailed / JobCancelled   how the job that was waited for ended
└── DatabaseError           the store cannot be used as it is
    ├── NoDatabase          nothing is configured, or nothing answers
    ├── SchemaMismatch      the schema is missing, too old or too new
    ├── ReadOnly            the server accepts no writes
    ├── CommitUncertain     committed here, but no standby has confirmed it
    └── Denied              the role lacks a grant
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from howdah.printable import gist

if TYPE_CHECKING:
    from uuid import UUID


class HowdahError(Exception):
    """The root of all our errors; `hint`, where there is one, says what to do or type next."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args, vars(self))


class BadInput(HowdahError, ValueError):
    """What was given cannot be accepted; nothing was stored."""


class BadArguments(BadInput):
    """The arguments do not fit the task's signature."""

    def __init__(self, task: str, problem: str) -> None:
        super().__init__(f"bad arguments for {task}: {problem}")
        self.task = task
        self.problem = problem


class TooLarge(BadInput):
    """Over a limit of size, depth or count."""


class BadItem(BadInput):
    """A stream stopped at an item that was refused; its error is the cause.

    `first` and `last` say where it stands, counted from 1: the same number, or a batch that the
    store refused. Of the items before it, `enqueued` are enqueued: go on behind those.
    """

    def __init__(self, error: BadInput, *, first: int, last: int, enqueued: int) -> None:
        where = f"item {first}" if first == last else f"one of the items {first} to {last}"
        before = f"The first {enqueued} are enqueued" if enqueued else "Nothing was enqueued"
        hint = f" {error.hint}" if error.hint else ""
        super().__init__(f"{where}: {error.message}", hint=f"{before}.{hint}")
        self.first, self.last, self.enqueued = first, last, enqueued


class Conflict(HowdahError):
    """Clashes with something that is already there."""


class LeaseLost(HowdahError):
    """The lease is not, or no longer, the caller's; nothing was changed."""


class NotFound(HowdahError, LookupError):
    """There is no such thing."""


def no_job(job_id: UUID | str) -> NotFound:
    """For a job that is not there."""
    return NotFound(
        f"there is no job {job_id}", hint="It never was, was deleted, or has left history."
    )


class UnknownTask(HowdahError, LookupError):
    """No task of that name is declared in this process."""

    def __init__(self, name: str, *, hint: str | None = None) -> None:
        super().__init__(
            f"no task {name!r} is declared here",
            hint=hint or "Declare it with @app.task, or import the module that does.",
        )
        self.name = name


class WorkerUnknown(HowdahError):
    """The store does not know this worker: it was swept, or never registered."""


class JobFailed(HowdahError):
    """The job that was waited for failed.

    `error` is its last error; `result` what its task has said beside it, with `Fail`.
    """

    def __init__(self, job_id: UUID, error: str | None, result: Any = None) -> None:
        super().__init__(f"job {job_id} failed: {gist(error) or 'no error was recorded'}")
        self.job_id = job_id
        self.error, self.result = error, result


class JobCancelled(HowdahError):
    """The job that was waited for was cancelled."""

    def __init__(self, job_id: UUID, reason: str | None) -> None:
        super().__init__(f"job {job_id} was cancelled" + (f": {reason}" if reason else ""))
        self.job_id = job_id
        self.reason = reason


class DatabaseError(HowdahError):
    """The store cannot be used as it is."""


class NoDatabase(DatabaseError):
    """Nothing is configured, or nothing answers."""


class SchemaMismatch(DatabaseError):
    """The schema is missing, too old or too new for this version of the package."""


class ReadOnly(DatabaseError):
    """The server, or the session, accepts no writes."""


class CommitUncertain(DatabaseError):
    """Committed on this server; the wait for its synchronous standby was cancelled.

    Others see what was done, and it survives a crash; a failover may lose it. `warning` is what
    the server said.
    """

    def __init__(self, warning: str) -> None:
        super().__init__(
            "this was committed on the server's own disk, but no standby has confirmed it: "
            f"a failover may lose it ({warning})",
            hint="Asking again is safe, now or after a failover; for enqueue, with options(id=…).",
        )
        self.warning = warning


class Denied(DatabaseError):
    """The role may not do this, or could not log in."""


def _again(kind: type[HowdahError], args: tuple[Any, ...], facts: dict[str, Any]) -> HowdahError:
    """The same error in another process: its __init__ takes facts, not its own sentence."""
    error = kind.__new__(kind, *args)
    vars(error).update(facts)
    return error
