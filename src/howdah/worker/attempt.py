"""Runs one job once and says what came of it, as a value; touches no database."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from howdah.context import Context, enter
from howdah.errors import BadArguments
from howdah.jobs import storable
from howdah.outcome import Cancelled, Failed, Outcome, Released, Retrying, Snoozed, Word
from howdah.rows import Claimed, Note
from howdah.task import Task
from howdah.worker.judging import judged, judged_word, object_of, out_of_memory, tasks_traceback
from howdah.worker.means import Means

GRACE = 1.0  # seconds that one gets to end by itself after it was told to
UNKNOWN_TASK_DELAY = 30.0  # seconds until a job that nobody here knows is offered again


class Attempt:
    """One attempt at one job: `run` gives its outcome, `stop` ends it early.

    Attributes:
        where: what runs it: "loop", "thread", "process", "http" or "command".
        started: monotonic seconds.
        ends_at: when its time is up, monotonic; None without a timeout.
        stopping: why it was told to stop: "timeout", "cancel", "shutdown", "lost"; else None.
        in_thread: whether a thread is at it; one that was told to stop may still be.
        is_stored: whether its outcome was stored already, with the task's own transaction.
        connection: of that transaction, while it is open.
        place: where it stands on the board.
    """

    __slots__ = (
        "_context", "_told", "connection", "ends_at", "handle", "in_thread", "is_stored", "job",
        "means", "place", "started", "stopped_at", "stopping", "task", "where",
    )  # fmt: skip

    def __init__(
        self, job: Claimed, task: Task[..., Any] | None, means: Means, where: str | None = None
    ) -> None:
        self.job, self.task, self.means = job, task, means
        self.where = where or ("loop" if task is None else task.executor)
        self.started = time.monotonic()
        self.ends_at = None if job.timeout_ms is None else self.started + job.timeout_ms / 1000
        self.stopping: str | None = None
        self.stopped_at = 0.0
        self.handle: asyncio.Task[Any] | None = None
        self.in_thread = self.is_stored = False
        self.place = -1
        self.connection: Any = None
        self._context: Context | None = None
        self._told: Callable[[str], None] | None = None

    @property
    def remaining(self) -> float | None:
        """Seconds until its time is up; None without a timeout."""
        return None if self.ends_at is None else max(0.0, self.ends_at - time.monotonic())

    @property
    def connection_kind(self) -> str | None:
        """Which connection its transaction is on; None where it has none of its own.

        A job enqueued as transactional for a task that is not declared so gets asyncpg's if the
        task is a coroutine function; a plain function runs as at_least_once.
        """
        assert self.task is not None
        if self.task.connection is not None or self.job.delivery != "transactional":
            return self.task.connection
        return "asyncpg" if inspect.iscoroutinefunction(self.task.function) else None

    def wait(self) -> None:
        """Its time does not count until `begin`: it waits for something before the task starts."""
        self.ends_at = None

    def begin(self, at_most: float | None = None) -> None:
        """Count its time from now; `at_most` seconds, where the job itself has no timeout."""
        self.started = time.monotonic()
        if self.job.timeout_ms is not None:
            self.ends_at = self.started + self.job.timeout_ms / 1000
        elif at_most is not None:
            self.ends_at = self.started + at_most

    def stop(self, why: str) -> None:
        """End it: cancels a coroutine, and tells a thread, which cannot be stopped from outside.

        Once only: being told again would interrupt a task that cleans up.
        """
        if self.stopping is not None:
            return
        self.stopping, self.stopped_at = why, time.monotonic()
        if self._context is not None:
            self._context.stop()
        if self._told is not None:
            self._told(why)
        elif self.handle is not None:
            self.handle.cancel()

    def tell(self, told: Callable[[str], None] | None) -> None:
        """Have `stop` call this with its reason, instead of cancelling the attempt; None: not."""
        self._told = told
        if told is not None and self.stopping is not None:
            told(self.stopping)

    async def run(self) -> Outcome:
        """Decode, call, judge. Never raises, whatever the task, its types and its result do."""
        job, task = self.job, self.task
        if task is None:
            return self.end(Snoozed, error=f"no task {job.task!r} here", reason="unknown task",
                            retry_in=UNKNOWN_TASK_DELAY)  # fmt: skip
        if self.where not in {"loop", "thread"}:
            return await self.means.runs(self.where).run(self)
        try:
            given = task.arguments.decode(job.args)
        except asyncio.CancelledError:
            return self.stopped()
        except BaseException as error:  # types may run code of their own
            return self.unreadable(error)
        try:
            return await (self._on_loop if self.where == "loop" else self._in_thread)(given)
        except asyncio.CancelledError:
            return self.stopped()

    def _on_loop(self, given: dict[str, Any]) -> Coroutine[Any, Any, Outcome]:
        if self.connection_kind is None:
            return self._perform(given)
        assert self.means.transactions is not None
        return self.means.transactions.perform(self, partial(self._perform, given))

    async def _perform(self, given: dict[str, Any]) -> Outcome:
        """Call a coroutine function with its decoded arguments, and judge what it does."""
        task = self._entered(given)
        try:
            returned = await task.arguments.call(task.body, given)
        except asyncio.CancelledError:
            return self.stopped()
        except BaseException as error:  # SystemExit too: a task does not end its worker
            return self.failed_by(error)
        return judged(self, self._context, returned)

    def perform_here(self, given: dict[str, Any]) -> Any:
        """The same of a plain function, in the thread that asks. An outcome, or a coroutine."""
        if self.connection_kind is None:
            return self._perform_here(given)
        assert self.means.transactions is not None
        return self.means.transactions.perform_here(self, partial(self._plainly, given))

    def _plainly(self, given: dict[str, Any]) -> Outcome:
        """Inside a transaction of this thread: nothing can be awaited there."""
        ended = self._perform_here(given)
        if not asyncio.iscoroutine(ended):
            outcome: Outcome = ended
            return outcome
        ended.close()
        said = "a plain function with a transaction returned a coroutine: declare it as async def"
        return self.end(Failed, error=said, reason="error")

    def _perform_here(self, given: dict[str, Any]) -> Any:
        task = self._entered(given)
        try:
            returned = task.arguments.call(task.body, given)
        except BaseException as error:
            return self.failed_by(error)
        return returned if asyncio.iscoroutine(returned) else judged(self, self._context, returned)

    def called(self, given: dict[str, Any]) -> Any:
        """What the function itself returns, here and now."""
        task = self._entered(given)
        return task.arguments.call(task.function, given)

    def _entered(self, given: dict[str, Any]) -> Task[..., Any]:
        assert self.task is not None
        enter(self.context)
        if self.task.arguments.context_name is not None:
            given[self.task.arguments.context_name] = self.context()
        return self.task

    def context(self) -> Context:
        """The context, made when first asked for."""
        if self._context is None:
            is_elsewhere = self.where != "loop"  # a thread asks the loop for what it extends
            self._context = Context(
                self.job,
                object_of(self.job.args),
                object_of(self.job.headers),
                extend=self.extend,
                progress=self._note_progress,
                loop=self.handle.get_loop() if is_elsewhere and self.handle else None,
                resources=self.means.resources,
                connection=self.connection,
                ends_at=self.ends_at,
            )
            if self.stopping is not None:
                self._context.stop()
        return self._context

    def _note_progress(self, done: float, total: float | None, note: str | None) -> None:
        if self.means.progress is not None:
            said = None if note is None else storable(note)
            self.means.progress(Note(self.job.id, self.job.lease, done, total, said))

    def stopped(self) -> Outcome:
        """What came of an attempt that was told to stop, by why it was."""
        if self.stopping == "timeout":
            limit = (self.job.timeout_ms or 0) / 1000
            return self._failed(f"timed out after {limit:g} s", reason="timeout")
        if self.stopping == "cancel":
            return self.end(Cancelled, error="cancelled while it ran", reason="cancelled")
        if self.stopping == "lost" or (self.stopping == "shutdown" and not self._is_final):
            return self.end(Released, reason="released")
        if self.stopping == "shutdown":
            return self.end(Failed, error="lost: its worker was stopped", reason="lost")
        return self._failed("asyncio.CancelledError: the task cancelled itself", reason="error")

    def broken(self, error: BaseException) -> Outcome:
        """What came of an attempt that we ourselves could not bring to an end."""
        return self.end(Failed, error=storable(tasks_traceback(error)), reason="error")

    def not_now(self, what: str, error: BaseException | str) -> Outcome:
        """What came of an attempt for which the system had no such thing: later, uncharged."""
        said = storable(f"no {what} could be started: {error}")
        later = random.uniform(1.0, 3.0)
        return self.end(Snoozed, error=said, reason=f"no {what}", retry_in=later)

    def bad_result(self, problem: str) -> Outcome:
        """What came of an attempt whose result cannot be stored."""
        said = storable(f"the result cannot be stored: {problem}")
        return self.end(Failed, error=said, reason="bad result")

    def end(self, kind: type[Outcome], **facts: Any) -> Outcome:
        """An outcome of this attempt."""
        return kind(id=self.job.id, lease=self.job.lease, hooks=self.job.hooks, **facts)

    async def _in_thread(self, given: dict[str, Any]) -> Outcome:
        def perform() -> Any:
            self.in_thread = True
            try:
                return self.perform_here(given)
            finally:
                self.in_thread = False

        try:
            asked = self.means.threads.submit(perform)
        except RuntimeError as error:  # this process, or the whole container, has too many
            return self.not_now("thread", error)
        ended = await asyncio.wrap_future(asked)
        if asyncio.iscoroutine(ended):  # a plain function that returned a coroutine
            return await self._awaited(ended)
        outcome: Outcome = ended
        return outcome

    async def _awaited(self, returned: Coroutine[Any, Any, Any]) -> Outcome:
        enter(self.context)
        try:
            return judged(self, self._context, await returned)
        except asyncio.CancelledError:
            return self.stopped()
        except BaseException as error:
            return self.failed_by(error)

    def unreadable(self, error: BaseException) -> Outcome:
        """What came of an attempt that could not begin."""
        if (ended := out_of_memory(self, error)) is not None:
            return ended
        said = str(error) if isinstance(error, BadArguments) else tasks_traceback(error)
        return self.end(Failed, error=storable(said), reason="bad arguments")

    def failed_by(self, error: BaseException) -> Outcome:
        """What came of an attempt that ended with this error, of the task's or at its commit."""
        assert self.task is not None
        if self.stopping:
            return self.stopped()
        if isinstance(error, Word):
            return judged_word(self, self._context, error)
        if (ended := out_of_memory(self, error)) is not None:
            return ended
        text = storable(tasks_traceback(error))
        if isinstance(error, self.task.retry.never):
            return self.end(Failed, error=text, reason="error")
        return self._failed(text, reason="error")

    def _failed(self, error: str, *, reason: str) -> Outcome:
        """Failed, to be tried again as far as the job's attempts go; the store sees to that."""
        assert self.task is not None
        delay = self.task.retry.delay(self.job.failures)
        return self.end(Retrying, error=error, reason=reason, retry_in=delay)

    @property
    def _is_final(self) -> bool:
        """Whether it has begun and may not be begun again."""
        begun = self.handle is not None and not self.handle.cancelled()
        return begun and self.job.delivery == "at_most_once"

    async def extend(self, duration: float) -> None:
        """Give it so many seconds from now; raises LeaseLost if the job is no longer its own."""
        if self.means.extend is not None:
            await self.means.extend(self, duration)
        if self.ends_at is not None:
            self.ends_at = time.monotonic() + duration
