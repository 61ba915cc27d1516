"""The jobs of a test: which were enqueued, run them all, move the time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from howdah import jobs as verbs
from howdah import store
from howdah.app import App
from howdah.durations import Duration, seconds
from howdah.outcome import Outcome
from howdah.rows import Claimed, Found
from howdah.task import Task
from howdah.testing.looking import all_jobs, clock_ahead, with_args
from howdah.testing.performing import MOST, Watched, check_count, known
from howdah.worker.lifespan import Lifespan
from howdah.worker.means import Means
from howdah.worker.threads import Threads
from howdah.worker.transactions import Transactions


class Jobs:
    """Looks at an app's jobs, and runs them without a worker."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._ahead = 0.0

    def enqueued(
        self,
        task: Task[..., Any] | str | None = None,
        *,
        args: Mapping[str, Any] | None = None,
        queue: str | None = None,
        state: str | None = None,
        tag: str | None = None,
    ) -> list[Found]:
        """The jobs, live or finished, that fit, in order; with `args` those that have at least
        these arguments: `assert jobs.enqueued(send_welcome, args={"user_id": 42})`.
        """
        call = all_jobs(task, queue=queue, state=state, tag=tag)
        return with_args(self.app.sync_client.run(call), args)

    def advance(self, duration: Duration) -> None:
        """Move the store's clock forward: what is due by then is run by the next run_all."""
        self._ahead += seconds(duration)
        self.app.sync_client.run(clock_ahead(self._ahead))

    async def run_all(
        self,
        *,
        queues: Sequence[str] | None = None,
        raises: bool = True,
        most: int = MOST,
    ) -> int:
        """Run what is ready, one by one, and what that enqueues, until nothing is left; gives how
        many attempts there were.

        What a task raises is raised here, once its failure is stored; with `raises=False` it is
        left to the job's retries, which run_all finds when they are due (see `advance`).
        """
        lifespan = Lifespan(
            None if self.app.lifespan is None else partial(self.app.lifespan, self.app)
        )
        transactions = Transactions(self.app.settings, size=1)
        means = Means(threads=Threads(), transactions=transactions)
        means.resources = await lifespan.open()
        try:
            return await self._run_all(means, queues, raises=raises, most=most)
        finally:
            means.threads.stop()
            await transactions.close()
            await lifespan.close()

    def run_all_sync(self, **how: Any) -> int:
        """The same for who cannot await; an event loop that runs here stands still meanwhile."""
        work = partial(asyncio.run, self._run_all_and_close(**how))
        if not _loop_runs_here():
            return work()
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(work).result()

    @contextmanager
    def inline(self) -> Iterator[None]:
        """Inside, what the app enqueues is run before `enqueue` returns, and raises there.

        Not what is enqueued on a connection of the caller's: it is there when that commits.
        """
        app = self.app
        instead = {
            "enqueue": self._then_run(app.enqueue),
            "enqueue_many": self._then_run(app.enqueue_many),
            "enqueue_stream": self._then_run(app.enqueue_stream),
            "enqueue_sync": self._then_run_sync(app.enqueue_sync),
            "enqueue_stream_sync": self._then_run_sync(app.enqueue_stream_sync),
        }
        vars(app).update(instead)
        try:
            yield
        finally:
            for name in instead:
                del vars(app)[name]

    def _then_run(self, enqueue: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def stored_and_run(what: Any, **how: Any) -> Any:
            answer = await enqueue(what, **how)
            await self.run_all(most=_most(answer))
            return answer

        return stored_and_run

    def _then_run_sync(self, enqueue: Callable[..., Any]) -> Callable[..., Any]:
        def stored_and_run(what: Any, **how: Any) -> Any:
            answer = enqueue(what, **how)
            self.run_all_sync(most=_most(answer))
            return answer

        return stored_and_run

    async def _run_all_and_close(self, **how: Any) -> int:
        try:
            return await self.run_all(**how)
        finally:
            await self.app.client.close()

    async def _run_all(
        self, means: Means, queues: Sequence[str] | None, *, raises: bool, most: int
    ) -> int:
        ran = 0
        while True:
            await self.app.run(store.stage())
            claimed = await self.app.run(verbs.claim(queues, n=1))
            if not claimed:
                return ran
            check_count(ran, most)
            ran += 1
            attempt = self._attempt(claimed[0], means)
            outcome = await _ended(attempt)
            if not attempt.is_stored:
                await self.app.run(verbs.finish([outcome]))
            if raises:
                attempt.surface(outcome)

    def _attempt(self, claimed: Claimed, means: Means) -> Watched:
        task = known(self.app.tasks, claimed)
        is_async = inspect.iscoroutinefunction(task.function)
        return Watched(claimed, task, means, "loop" if is_async else "thread")


def _loop_runs_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _most(stored: Any) -> int:
    """Jobs to run at most, where an enqueue gave this: an id, ids, or how many there are."""
    return MOST + stored if isinstance(stored, int) else MOST


async def _ended(attempt: Watched) -> Outcome:
    """In an asyncio task of its own, stopped when its time is up."""
    attempt.handle = asyncio.create_task(attempt.run())
    await asyncio.wait({attempt.handle}, timeout=attempt.remaining)
    if not attempt.handle.done():
        attempt.stop("timeout")
        await asyncio.wait({attempt.handle})
    return attempt.stopped() if attempt.handle.cancelled() else attempt.handle.result()
