"""What a task may know of its own run: asked for by annotating a parameter with Context."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, overload
from uuid import UUID

import msgspec

from howdah.durations import Duration, seconds
from howdah.errors import BadInput
from howdah.workflow import Growth

if TYPE_CHECKING:
    from howdah.rows import Claimed

MEMBER = 32  # in a job's hooks: it is part of a workflow
_current: ContextVar[Callable[[], Context] | None] = ContextVar("howdah_context", default=None)


def current() -> Context | None:
    """The context of the job that runs here; None outside of one."""
    make = _current.get()
    return None if make is None else make()


def enter(make: Callable[[], Context]) -> None:
    """Let `current()` give this context in this asyncio task or thread; made when asked for."""
    _current.set(make)


def leave() -> None:
    """No job runs here any more."""
    _current.set(None)


class Context:
    """One attempt at one job.

    Attributes:
        job_id, queue, task, attempt, max_attempts, tags, headers: of the job.
        args: the arguments, as JSON types.
        fence: the lease, a random token that no later attempt has: store it beside outside effects.
        log: a logger whose records carry job_id, task, queue and attempt.
        serial_key: of the job; None without one.
        workflow: of a job that is part of one, else None: `ctx.workflow.add(name, job, after=…)`
            adds steps to it, if this attempt succeeds.
        cursor: what the last job of the serial key that succeeded left for this one, JSON types; {}
            for the first. Change it, or set another, and it is handed on if this attempt succeeds;
            None keeps the old one.
        resources: what the app's lifespan gave, once per process; None without one.
        connection: of a transactional task, else None. It is in a transaction, which the worker
            commits, with the job's success in it, when the task has returned, and rolls back when
            the task raises, is told to stop, or its lease is lost. Do not commit or roll back on it
            (savepoints are fine), and do not use it after the task has returned.
    """

    def __init__(
        self,
        job: Claimed,
        args: Mapping[str, Any],
        headers: Mapping[str, Any],
        *,
        extend: Callable[[float], Awaitable[None]] | None = None,
        progress: Callable[[float, float | None, str | None], None] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        resources: Any = None,
        connection: Any = None,
        ends_at: float | None = None,
    ) -> None:
        self.job_id: UUID = job.id
        self.queue, self.task = job.queue, job.task
        self.attempt, self.max_attempts = job.attempt, job.max_attempts
        self.args, self.headers = args, headers
        self.tags = tuple(job.tags or ())
        self.fence: UUID = job.lease
        self.serial_key = job.serial_key
        self.workflow = Growth() if (job.hooks or 0) & MEMBER else None
        self.cursor: dict[str, Any] | None = msgspec.json.decode(job.cursor) if job.cursor else {}
        self.log = _JobLogger(logging.getLogger(f"howdah.task.{job.task}"), self)
        self._ends_at = ends_at  # monotonic seconds
        self._cancelled = threading.Event()
        self._extend, self._loop, self._progress = extend, loop, progress
        self.resources, self.connection = resources, connection

    def __getattr__(self, name: str) -> Any:
        """What `extend` added; an error that says how for what nobody did."""
        raise AttributeError(
            f"this context has no {name!r}: add what your functions need with ctx.extend({name}=…)"
        )

    @property
    def remaining(self) -> float | None:
        """Seconds until the timeout; None without one."""
        return None if self._ends_at is None else self._ends_at - time.monotonic()

    @property
    def deadline(self) -> datetime | None:
        """When the timeout ends this attempt, by the clock of this machine; None without one."""
        left = self.remaining
        return None if left is None else datetime.now(UTC) + timedelta(seconds=left)

    @property
    def cancelled(self) -> bool:
        """Whether this attempt is to stop: cancelled, out of time, or its lease lost."""
        return self._cancelled.is_set()

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """Say how far this attempt is: `ctx.progress(30, 100, "resizing")`.

        Cheap, in coroutines and threads alike: it is noted here, and about once a second the store
        is told the latest. Seen in `howdah.jobs` and by `howdah jobs show ID --follow`.
        """
        for what, number in (("done", done), ("total", total)):
            if number is None and what == "total":
                continue
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise BadInput(f"{what} is no number: {number!r}", hint="For example 3 of 10.")
            if not 0 <= number < 1e300:  # NaN is neither
                raise BadInput(f"{what} is no number from 0 on: {number!r}")
        if self._progress is not None:
            said = None if note is None else str(note)[:200]
            self._progress(float(done), None if total is None else float(total), said)

    def wait_cancelled(self, timeout: Duration) -> bool:
        """Sleep in a thread, but wake up at once when the attempt is to stop; True if it is."""
        return self._cancelled.wait(seconds(timeout))

    @overload
    def extend(self, duration: Duration, /) -> Awaitable[None]: ...

    @overload
    def extend(self, /, **values: Any) -> Self: ...

    def extend(self, duration: Duration | None = None, /, **values: Any) -> Any:
        """Give this attempt so much time from now: `await ctx.extend("5m")`.

        LeaseLost if the job is no longer its own. With names instead, `ctx.extend(session=s)`, the
        context carries those values for the functions that the task calls, and is returned; a name
        that it has already is refused with BadInput.
        """
        if duration is not None and not values:
            return self._prolong(seconds(duration))
        if duration is not None:
            raise BadInput(
                "extend takes a duration or values, not both", hint="Call it once for each."
            )
        for name in values:
            if hasattr(type(self), name) or name in _OWN:
                raise BadInput(f"{name!r} is the context's own", hint="Use another name.")
        vars(self).update(values)
        return self

    async def _prolong(self, more: float) -> None:
        if self._extend is not None:
            await self._extend(more)
        if self._ends_at is not None:
            self._ends_at = time.monotonic() + more

    def extend_sync(self, duration: Duration) -> None:
        """The same in a thread."""
        if self._loop is None:
            raise RuntimeError("extend_sync is for tasks in threads; await extend instead")
        asyncio.run_coroutine_threadsafe(self._prolong(seconds(duration)), self._loop).result()

    def stop(self) -> None:
        """Tell the task to stop; for the worker, not for tasks."""
        self._cancelled.set()


_OWN = {
    "job_id", "queue", "task", "attempt", "max_attempts", "args", "headers", "tags", "fence", "log",
    "resources", "connection", "serial_key", "cursor", "workflow",
}  # fmt: skip


class _JobLogger(logging.LoggerAdapter[logging.Logger]):
    """Adds what identifies the job to each record."""

    def __init__(self, logger: logging.Logger, context: Context) -> None:
        super().__init__(logger, {})
        self._context = context

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        c = self._context
        known = {"job_id": str(c.job_id), "task": c.task, "queue": c.queue, "attempt": c.attempt}
        kwargs["extra"] = {**known, **(kwargs.get("extra") or {})}
        return msg, kwargs
