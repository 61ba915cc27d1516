"""Threads for plain functions: as many as are needed, kept for the next, never waited for at exit.

The standard pool has a fixed size and joins its threads when the interpreter ends; here a thread
whose task ignores its timeout is left behind, and another takes its place.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any

from howdah.context import current

_Work = tuple[Future[Any], Callable[[], Any]]


class Threads:
    """Runs functions in daemon threads; `stop` lets idle ones end."""

    def __init__(self) -> None:
        self._idle: deque[SimpleQueue[_Work | None]] = deque()
        self._count = 0
        self._stopped = False

    def submit(self, do: Callable[[], Any]) -> Future[Any]:
        """Run it in an idle thread, or a new one; RuntimeError where none can be had."""
        future: Future[Any] = Future()
        try:
            box = self._idle.pop()
        except IndexError:
            box = self._new_thread()
        box.put((future, do))
        return future

    def stop(self) -> None:
        """End the idle threads, and the others as soon as they are idle."""
        self._stopped = True
        with suppress(IndexError):
            while True:
                self._idle.pop().put(None)

    def _new_thread(self) -> SimpleQueue[_Work | None]:
        box: SimpleQueue[_Work | None] = SimpleQueue()
        self._count += 1
        name = f"howdah thread {self._count}"
        _Thread(target=self._serve, args=(box,), name=name, daemon=True).start()
        return box

    def _serve(self, box: SimpleQueue[_Work | None]) -> None:
        while (work := box.get()) is not None:
            copy_context().run(_do, *work)  # what a job sets is not there for the next
            del work
            self._idle.append(box)
            if self._stopped:
                self.stop()


class _Thread(threading.Thread):
    """Has the id of the job that it runs in its name, as its own log records show it."""

    @property
    def name(self) -> str:
        """Of others' jobs, in other threads, it says nothing."""
        job = current() if threading.get_ident() == self.ident else None
        return super().name if job is None else f"{super().name} job {job.job_id}"

    @name.setter
    def name(self, name: str) -> None:
        threading.Thread.name.__set__(self, name)  # type: ignore[attr-defined]


class MainThread:
    """Runs functions in the main thread, one by one, while its event loop stands still."""

    def __init__(
        self, give: Callable[[Callable[[], None]], None], check: Callable[[], None]
    ) -> None:
        self._give, self._check = give, check

    def submit(self, do: Callable[[], Any]) -> Future[Any]:
        """Run it as soon as the main thread is free."""
        future: Future[Any] = Future()

        def work() -> None:
            try:
                self._check()
                result = do()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self._give(work)
        return future

    def stop(self) -> None:
        """There is nothing to end."""


def _do(future: Future[Any], do: Callable[[], Any]) -> None:
    """Give the future its result, unless it was cancelled before."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = do()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
