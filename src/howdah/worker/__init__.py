"""The worker: claims jobs, attempts them, and finishes them, on one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Self

import msgspec

from howdah import store, workers
from howdah.call import Call
from howdah.connect import database_url
from howdah.errors import Conflict
from howdah.events import Declarations, Events, WorkerStarted
from howdah.schedules import Declared
from howdah.settings import Settings
from howdah.task import Task, declarations
from howdah.worker.board import Board
from howdah.worker.identity import Identity
from howdah.worker.lifespan import AnyContextManager
from howdah.worker.parts import Parts
from howdah.worker.processes import Processes
from howdah.worker.starting import Starting
from howdah.worker.stopping import BEREFT, LEAVE_WITHIN

__all__ = ["Worker"]


class Worker:
    """Runs an app's jobs inside this process: `async with app.worker(): …`.

    `queues` are names or patterns with a trailing `*`; "mail:10" gives a queue slots of its own,
    the others share `slots`. It has no parent process: a task that blocks the event loop blocks the
    heartbeat too, and after `lost_after` its jobs are given to others. Nor are suspects isolated: a
    job that has crashed before runs beside the others again, unless its task has an executor of
    "process".

    With `isolate`, such a job runs alone, in a process of the pool. `source` says where the app can
    be loaded from by the pool's processes; it is called when the worker starts, if it has a pool.
    `siblings` is how many workers alike a parent keeps, which beats for them: asleep, they share
    the looking around. `declares` keeps the
    app's schedules and listeners, by what they are called.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task[..., Any]],
        settings: Settings,
        events: Events,
        *,
        queues: Sequence[str] | None = None,
        slots: int | None = None,
        name: str | None = None,
        board: Board | None = None,
        lifespan: Callable[[], AnyContextManager] | None = None,
        source: Callable[[], msgspec.Struct],
        isolate: bool = False,
        siblings: int = 1,
        declares: Mapping[str, Call[list[Declared]]] | None = None,
    ) -> None:
        self.events, self._declares = events, declares or {}
        self._parts = Parts(
            tasks,
            settings,
            events,
            queues=queues,
            slots=slots,
            name=name,
            board=board,
            lifespan=lifespan,
            source=source,
            isolate=isolate,
            siblings=siblings,
        )
        self._loops: asyncio.Task[None] | None = None
        self._event_loop: asyncio.AbstractEventLoop | None = None

    @property
    def identity(self) -> Identity:
        """Who it is."""
        return self._parts.identity

    @property
    def processes(self) -> Processes | None:
        """The pool; None if there is no task for it and suspects are not isolated."""
        return self._parts.processes

    def tell_groups(self, tell: Callable[[frozenset[int]], None]) -> None:
        """Call this with the process groups of its jobs, whenever they change."""
        processes, commands = self._parts.processes, self._parts.commands

        def changed(_: frozenset[int]) -> None:
            tell(commands.groups if processes is None else commands.groups | processes.groups)

        commands.on_groups = changed
        if processes is not None:
            processes.on_groups = changed

    @property
    def broken_lifespan(self) -> Exception | None:
        """What the app's lifespan raised."""
        return self._parts.lifespan.broke

    async def __aenter__(self) -> Self:
        database_url(self._parts.settings)  # a worker that could never connect says so at once
        if self._event_loop is not None:
            raise Conflict(
                "this worker was started already", hint="Make another one: app.worker(…)."
            )
        self._event_loop = asyncio.get_running_loop()
        parts = self._parts
        try:
            await parts.open()
            await self._register()
        except BaseException:
            self._event_loop = None
            await parts.close()
            raise
        parts.runner.watchdog.start()
        self._loops = asyncio.create_task(self._run(), name="howdah worker")
        self.events.emit(
            WorkerStarted(
                worker=self.identity.id,
                name=self.identity.name,
                queues=self.identity.queues,
                slots=self.identity.slots,
                tasks=self.identity.tasks,
            )
        )
        return self

    async def _register(self) -> None:
        parts = self._parts
        starting = Starting(self.events, is_over=parts.stopping.asked.is_set)
        declare = store.declare_tasks(declarations(parts.tasks))
        await starting.until_done(lambda: parts.looks.run(declare))
        for kind, call in self._declares.items():
            told = await starting.until_done(partial(parts.looks.run, call))
            if told:
                changes = tuple((each.name, each.outcome) for each in told)
                self.events.emit(Declarations(kind=kind, changes=changes))
        try:
            await starting.until_done(lambda: parts.looks.run(self.identity.registration()))
        except BaseException:  # it may have arrived all the same: nobody is to be seen there
            with suppress(Exception):
                async with asyncio.timeout(LEAVE_WITHIN):
                    await parts.looks.run(workers.leave(self.identity.id))
            raise

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)  # a stop that was just asked for comes first: this one is no second
        if not self._parts.stopping.asked_here:  # a drain has no end of its own
            self._parts.stopping.ask("stop", hurry=False)
        await self.wait()

    def stop(self, why: str = "stop", *, hurry: bool = False) -> None:
        """Claim no more, let running jobs end, leave; with `hurry` hand them back at once.

        May be called from any thread, and again to hurry.
        """
        if self._event_loop is None:  # before it began: it will leave at once
            self._parts.stopping.ask(why, hurry=hurry)
            return
        with suppress(RuntimeError):  # the loop has ended, and the worker with it
            self._event_loop.call_soon_threadsafe(
                partial(self._parts.stopping.ask, why, hurry=hurry)
            )

    async def wait(self) -> None:
        """Until the worker has left; raises what ended it, if something of ours broke."""
        if self._loops is not None:
            await asyncio.shield(self._loops)

    async def idle(self) -> None:
        """Until no work was found and all that ran is stored; or the worker has left."""
        assert self._loops is not None
        quiet = asyncio.create_task(self._quiet())
        await asyncio.wait({quiet, self._loops}, return_when=asyncio.FIRST_COMPLETED)
        quiet.cancel()

    async def _quiet(self) -> None:
        while True:
            await self._parts.fetcher.found_nothing.wait()
            await self._parts.finisher.stored()
            await self._parts.runner.empty()
            self._parts.fetcher.poke()  # for what the last of them enqueued
            await self._parts.fetcher.found_nothing.wait()
            if self._parts.finisher.is_empty and self._parts.runner.is_empty:
                return

    @property
    def turns(self) -> float:
        """How many times as seldom as usual it need stir: above 1 while it and siblings sleep."""
        return self._parts.turns()

    def status(self) -> dict[str, object]:
        """What it does at the moment, for people."""
        return {
            "id": str(self.identity.id),
            "name": self.identity.name,
            "pid": self.identity.pid,
            "queues": list(self.identity.queues),
            "slots": self.identity.slots,
            "idle_slots": self.identity.slots - len(self._parts.runner),
            "running": self._parts.runner.status(),
            "waiting": sum(len(group.waiting) for group in self._parts.groups),
            "listening": self._parts.listener.up.is_set(),
            "stopping": self._parts.stopping.asked.is_set(),
            "processes": [] if self.processes is None else self.processes.status(),
        }

    async def _run(self) -> None:
        loops = asyncio.create_task(self._parts.run())
        stopped = asyncio.create_task(self._parts.stopping.asked.wait())
        bereft = asyncio.create_task(self._parts.lifespan.ended())
        try:
            await asyncio.wait({loops, stopped, bereft}, return_when=asyncio.FIRST_COMPLETED)
            if bereft.done():
                self._parts.stopping.ask(BEREFT, hurry=True)
            if not loops.done():
                await self._parts.stopping.shut_down()
            else:
                self._parts.runner.close()
                self._parts.runner.stop_all("shutdown")
        finally:
            bereft.cancel()
            stopped.cancel()
            loops.cancel()
            await asyncio.wait({loops})
            await self._parts.close()
        if not loops.cancelled() and (error := loops.exception()) is not None:
            raise error
