"""Runs a worker in the foreground: signals, bursts, and uvloop where it is installed."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from howdah.errors import Conflict
from howdah.system import hear_of_children

if TYPE_CHECKING:
    from howdah.worker import Worker

T = TypeVar("T")
SIGNALS = (signal.SIGTERM, signal.SIGINT)
REMIND_EVERY = 5.0  # seconds between two lines that say what a stopping worker waits for
LEFT_WITHIN = 1.0  # seconds in which asyncio tasks that jobs have left behind end when cancelled
log = logging.getLogger("howdah.worker")


def run_worker(worker: Worker, *, burst: bool = False) -> None:
    """Run it until SIGTERM or SIGINT, or with `burst` until nothing is left to do. Blocks.

    The first signal lets running jobs end, the second hands them back, the third leaves at once.
    SIGUSR1 writes the worker's state to stderr, as JSON. In another thread than the main one no
    signal is heard: signals are the program's there, and the worker leaves when it is drained.
    Raises Conflict where a loop runs that it would block.
    """
    _check_place()
    run_on_a_loop(Foreground(worker).run(burst=burst))


def run_on_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """Its result, from a loop of its own; jobs cannot keep that from ending.

    What they have left behind there is cancelled, and not waited for if that does not end it.
    """
    runner = asyncio.Runner(loop_factory=loop_factory())
    loop = runner.get_loop()
    try:
        return _run_to_the_end(loop, work)
    finally:
        if deaf := _run_to_the_end(loop, _cancelled_all()):
            log.warning("asyncio tasks of jobs go on although cancelled: %d left behind", deaf)
            loop.set_exception_handler(lambda *_: None)  # it would complain, once for each
            loop.close()
        else:
            runner.close()


async def _cancelled_all() -> int:
    """Cancel all that is left on the loop; how many do not end by that."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    return len((await asyncio.wait(left, timeout=LEFT_WITHIN))[1]) if left else 0


def _run_to_the_end(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Its result. A SystemExit in an asyncio task that a job has made, which asyncio lets out of
    the loop, goes no further: the job has it too, if it waits for that."""
    working = loop.create_task(work)
    while not working.done():
        try:
            loop.run_until_complete(working)
        except SystemExit as error:
            if working.done():
                raise
            log.warning("an asyncio task of a job has called sys.exit(%r): not here", error.code)
    return working.result()


def _check_place() -> None:
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise Conflict(
            "run_worker blocks, and would block the event loop that runs here",
            hint="Start it on that loop instead: async with app.worker(): …",
        )


class Foreground:
    """Turns signals into a worker's stopping, from before it connects until it has left."""

    def __init__(self, worker: Worker, signals: Sequence[signal.Signals] = SIGNALS) -> None:
        self._worker, self._signals = worker, signals
        self._asked = asyncio.Event()
        self._why, self._hurry = "", False
        self._taken = 0  # signals
        self._entered = False

    async def run(self, *, burst: bool = False) -> None:
        """Until the worker has left."""
        if threading.current_thread() is threading.main_thread():
            self._hear()
        if not await self._enter():
            return
        try:
            await self._wait(burst=burst)
        except ExceptionGroup as group:
            if len(group.exceptions) > 1:
                raise
            raise group.exceptions[0] from None

    def _hear(self) -> None:
        hear_of_children()
        loop = asyncio.get_running_loop()
        for number in self._signals:
            loop.add_signal_handler(number, self._take, number)
        loop.add_signal_handler(signal.SIGUSR1, self._say_status)

    async def _wait(self, *, burst: bool) -> None:
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(self._remind(), name="howdah stopping")]
            if burst:
                beside.append(group.create_task(self._stop_when_idle(), name="howdah burst"))
            try:
                await self._worked()
            finally:
                for each in beside:
                    each.cancel()

    def stop(self, why: str, *, hurry: bool = False) -> None:
        """Have the worker stop, whether it has started yet or not; twice is no hurry by itself.

        A parent and systemd, which signals every process of a service, may both say so.
        """
        if self._asked.is_set() and not hurry:
            return
        self._why, self._hurry = self._why or why, hurry
        self._asked.set()
        if self._entered:
            self._worker.stop(why, hurry=hurry)

    async def _enter(self) -> bool:
        """Let the worker connect and start; False if it was told to stop before that was done."""
        entering = asyncio.ensure_future(self._worker.__aenter__())
        asked = asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait({entering, asked}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._withdraw(entering)
            raise
        finally:
            asked.cancel()
        if entering.done():
            entering.result()
            self._entered = True
            if self._asked.is_set():
                self._worker.stop(self._why, hurry=self._hurry)
            return True
        await self._withdraw(entering)
        return False

    async def _withdraw(self, entering: asyncio.Future[Worker]) -> None:
        """Give up a start; the store is not to know of the worker afterwards."""
        entering.cancel()
        await asyncio.wait({entering})
        if not entering.cancelled() and entering.exception() is None:  # just then it was done
            self._worker.stop(self._why or "cancelled", hurry=self._hurry or not self._why)
            await self._worker.wait()

    async def _worked(self) -> None:
        try:
            await self._worker.wait()
        except asyncio.CancelledError:  # nobody waits for its jobs any more
            self._worker.stop("cancelled", hurry=True)
            await self._worker.wait()
            raise

    async def _stop_when_idle(self) -> None:
        await self._worker.idle()
        self._worker.stop("burst")

    async def _remind(self) -> None:
        """Once it stops, say now and then what it still waits for."""
        await self._asked.wait()
        while True:
            await asyncio.sleep(REMIND_EVERY)
            running = self._worker.status()["running"]
            if isinstance(running, list) and running:
                named = ", ".join(f"{job['task']} {job['id']}" for job in running[:5])
                log.info("still waiting for %d: %s", len(running), named)

    def _take(self, number: signal.Signals) -> None:
        self._taken += 1
        self.stop(signal.Signals(number).name, hurry=self._taken > 1)
        if self._taken > 1:  # the third does what it does to any program
            for each in self._signals:
                asyncio.get_running_loop().remove_signal_handler(each)

    def _say_status(self) -> None:
        say_json(self._worker.status())


def say_json(value: object) -> None:
    """One line of JSON on stderr, for whoever sent a signal to hear it."""
    with suppress(OSError, ValueError):
        print(msgspec.json.encode(value).decode(), file=sys.stderr, flush=True)  # noqa: T201


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
