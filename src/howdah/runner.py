"""Runs a worker in the foreground: signals, bursts, and uvloop where it is installed."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from howdah.worker import Worker

SIGNALS = (signal.SIGTERM, signal.SIGINT)
REMIND_EVERY = 5.0  # seconds between two lines that say what a stopping worker waits for
log = logging.getLogger("howdah.worker")


def run_worker(worker: Worker, *, burst: bool = False) -> None:
    """Run it until SIGTERM or SIGINT, or with `burst` until nothing is left to do. Blocks.

    The first signal lets running jobs end, the second hands them back, the third leaves at once.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run(worker, burst=burst))


async def _run(worker: Worker, *, burst: bool) -> None:
    stopper = Stopper(worker)
    if not await stopper.entered():
        return
    async with asyncio.TaskGroup() as group:
        helpers = [group.create_task(stopper.remind(), name="howdah stopping")]
        if burst:
            helpers.append(group.create_task(_stop_when_idle(worker), name="howdah burst"))
        try:
            await worker.wait()
        finally:
            for helper in helpers:
                helper.cancel()


async def _stop_when_idle(worker: Worker) -> None:
    await worker.idle()
    worker.stop("burst")


class Stopper:
    """Turns signals into a worker's stopping, from before it connects until it has left."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._asked = asyncio.Event()
        self._by = ""
        self._entered = False
        self._loop = asyncio.get_running_loop()
        for number in SIGNALS:
            self._loop.add_signal_handler(number, self._take, number)

    async def entered(self) -> bool:
        """Let the worker connect and start; False if it was told to stop before that was done."""
        entering = asyncio.ensure_future(self._worker.__aenter__())
        asked = asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait({entering, asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        if entering.done():
            entering.result()
            self._entered = True
            if self._asked.is_set():
                self._worker.stop(self._by)
            return True
        entering.cancel()
        await asyncio.wait({entering})
        return False

    async def remind(self) -> None:
        """Once it stops, say now and then what it still waits for."""
        await self._asked.wait()
        while True:
            await asyncio.sleep(REMIND_EVERY)
            running = self._worker.status()["running"]
            if isinstance(running, list) and running:
                log.info("still waiting for %d: %s", len(running), ", ".join(running[:5]))

    def _take(self, number: signal.Signals) -> None:
        again, self._by = self._asked.is_set(), signal.Signals(number).name
        self._asked.set()
        if self._entered:
            self._worker.stop(self._by)
        if again:  # the third does what it does to any program
            for each in SIGNALS:
                self._loop.remove_signal_handler(each)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
