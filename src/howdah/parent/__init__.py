"""The parent of a worker's processes: runs none of the user's code, and so outlives it.

Children each run one worker. Their parent passes signals on, beats for them while they cannot,
kills one that is silent for longer than its jobs are safe, brings back the jobs of a dead one at
once, and replaces it.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from howdah import workers
from howdah.errors import HowdahError
from howdah.events import ChildDied, ChildSilent, ChildStarted, Events, FilesChanged, ParentStopping
from howdah.parent.child import Child, Death
from howdah.parent.messages import (
    FromChild,
    Go,
    Hello,
    Refused,
    Registered,
    Start,
    Stop,
    settings_of,
)
from howdah.parent.policy import LIVED_WELL, restart_after, silence_allowed
from howdah.runner import SIGNALS, say_json
from howdah.settings import Settings
from howdah.worker.link import Link, Patience

LOST_AFTER = 30.0  # seconds: the store's default, until the store has said
ANSWER_WITHIN = 1.0  # seconds for a child to say how it is
RESCUE_WITHIN = 3.0  # seconds for the last words to the store
OVERTIME = 10.0  # seconds beyond shutdown_after in which a child has to have left
TOLD_TO_LEAVE = {"drain", "kill", "now", "burst"}  # by the store, or because nothing was left to do


class Parent:
    """Starts `processes` children of `start`, and keeps so many alive until it is told to stop.

    `ready` makes sure of the database, in a thread: takes the app's settings, gives those to use.
    Where files are watched, one that cannot be loaded is waited for until `reload`.
    """

    def __init__(
        self,
        start: Start,
        processes: int,
        *,
        ready: Callable[[Settings], Settings],
        events: Events,
        watches_files: bool = False,
    ) -> None:
        self._watches_files = watches_files
        self._start, self._ready, self.events = start, ready, events
        self.processes = processes
        self.children: dict[int, Child] = {}
        self.beaten_at: float | None = None  # when the store last answered a heartbeat, monotonic
        self._settings: asyncio.Future[Settings] | None = None
        self._lost_after, self._shutdown_after = LOST_AFTER, 0.0
        self._link: Link | None = None
        self._is_stopping = False
        self._nudged = asyncio.Event()
        self._signals = 0
        self._status = 0
        self._was_up = False
        self._failure: HowdahError | None = None
        self._rescues: set[asyncio.Task[None]] = set()
        self._others: set[asyncio.Task[None]] = set()

    # What others look at

    @property
    def registered(self) -> int:
        """How many children are known to the store."""
        return sum(child.worker is not None for child in self.children.values())

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._is_stopping

    async def status(self) -> dict[str, object]:
        """What it and its children do at the moment, for people."""
        told = [child.status(ANSWER_WITHIN) for child in self.children.values()]
        return {
            "name": self._start.name,
            "stopping": self.is_stopping,
            "processes": await asyncio.gather(*told),
        }

    # The run

    async def run(self) -> int:
        """Until all children have left; gives the exit status."""
        self._catch_signals()
        helpers = [
            asyncio.create_task(self._beat(), name="howdah heartbeats"),
            asyncio.create_task(self._fence(), name="howdah fence"),
        ]
        self._settings = asyncio.get_running_loop().create_future()
        first = self._keeper(1)
        try:
            keepers = {first}
            either: set[asyncio.Future[Any]] = {first, self._settings}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self._settings.done() and not self.is_stopping:  # the app was loaded
                keepers |= {self._keeper(number) for number in range(2, self.processes + 1)}
            await asyncio.gather(*keepers)
            if self._failure is not None:
                raise self._failure
            if self._rescues:
                await asyncio.wait(self._rescues, timeout=RESCUE_WITHIN)
        finally:
            await self._end(helpers)
        return self._status

    async def _end(self, helpers: list[asyncio.Task[None]]) -> None:
        for helper in [*helpers, *self._rescues, *self._others]:
            helper.cancel()
        for child in self.children.values():
            child.kill()
        if self._link is not None:
            await self._link.close()

    def _keeper(self, number: int) -> asyncio.Task[None]:
        return asyncio.create_task(self._keep(number), name=f"howdah child {number}")

    async def _keep(self, number: int) -> None:
        """Have child `number` alive, until it was told to leave."""
        deaths = 0
        while not self.is_stopping:
            child = Child(number)
            self.children[number] = child
            start = msgspec.structs.replace(
                self._start, number=number, banner=number == 1 and not self._was_up
            )
            await child.start(start)
            self.events.emit(ChildStarted(number=number, pid=child.pid))
            death = await child.listen(self._heard)
            del self.children[number]
            if not self._is_to_return(child, death):
                return
            short = time.monotonic() - child.started_at < LIVED_WELL
            deaths = 0 if child.leaving is not None else deaths + 1 if short else 1
            await self._pause_after(child, death, restart_after(deaths))

    async def _pause_after(self, child: Child, death: Death, length: float) -> None:
        """Until another one is to be started: a while, or, where files are watched, until one that
        cannot even be loaded has changed."""
        broken = self._watches_files and child.worker is None and child.leaving is None
        if child.leaving is None:
            self._report(child, death, None if broken else length)
        if length > 0 or broken:
            self._nudged.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), None if broken else length)

    def _is_to_return(self, child: Child, death: Death) -> bool:
        """Whether another one is to take its place; its jobs are brought back in any case."""
        if child.worker is not None:
            if death.status != 0 or child.leaving is None:
                self._rescue(child.worker, death)
        elif not self._was_up and not self.is_stopping:  # it never got to work: nor would another
            self._status = death.status if death.status > 0 else 1
            self.stop("start")
        return not self.is_stopping and child.leaving not in TOLD_TO_LEAVE

    def _report(self, child: Child, death: Death, again_in: float | None) -> None:
        self.events.emit(
            ChildDied(
                number=child.number,
                pid=child.pid,
                how=child.refusal or death.how,
                running=death.running,
                again_in=again_in,
            )
        )

    # What children say

    def _heard(self, child: Child, message: FromChild) -> None:
        if isinstance(message, Hello):
            self._do(self._go(child, message))
        elif isinstance(message, Refused):
            child.refusal = message.message
            self._failure = self._failure or (None if self._was_up else message.error())
        elif isinstance(message, Registered):
            self._was_up = True

    async def _go(self, child: Child, hello: Hello) -> None:
        """Let it connect: to the database that the first child's settings led to."""
        assert self._settings is not None
        if not self._settings.done():
            try:
                settings = await asyncio.to_thread(self._ready, settings_of(hello))
            except HowdahError as error:
                self._failure = error
                self.stop("start")
                return
            self._lost_after = settings.lost_after or self._lost_after
            self._shutdown_after = settings.shutdown_after
            self._link = Link(settings, f"howdah worker {self._start.name} parent"[:63])
            self._settings.set_result(settings)
        url = (await self._settings).database_url
        own = settings_of(hello)
        use = own if own.database_url is not None else replace(own, database_url=url)
        child.tell(Go(settings=msgspec.to_builtins(use)))

    # Beating, fencing, bringing back

    async def _beat(self) -> None:
        """Keep the children's leases alive while their own loops cannot."""
        while True:
            await asyncio.sleep(self._lost_after / 15)
            alive = [child.worker for child in self.children.values() if child.worker is not None]
            if not alive or self._link is None:
                continue
            link = self._link
            told = await Patience("parent", self.events).until_done(
                partial(link.run, workers.heartbeats(alive))
            )
            self.beaten_at = time.monotonic()
            for child in [*self.children.values()]:
                if child.worker is not None and child.worker in told:
                    self._obey(child, told[child.worker])

    def _obey(self, child: Child, told: workers.Told) -> None:
        if told.lost_after is not None:
            self._lost_after = told.lost_after.total_seconds()
        if told.action == "swept":  # others run its jobs: nothing of it may go on
            child.kill()

    async def _fence(self) -> None:
        """End a child whose loop has not turned for so long that its jobs would soon be lost."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(min(0.25, self._lost_after / 20))
            slept, last = time.monotonic() - last, time.monotonic()
            for child in self.children.values():
                if slept > 1:  # it was us who did not hear: what they said may wait to be read
                    child.heard_at = last
            for child in [*self.children.values()]:
                if child.is_loaded and not child.fenced and child.worker is not None:
                    self._look_at(child)

    def _look_at(self, child: Child) -> None:
        if child.silent > silence_allowed(self._lost_after):
            child.fenced = True
            self.events.emit(ChildSilent(number=child.number, pid=child.pid, silent=child.silent))
            child.kill()

    def _rescue(self, worker: UUID, death: Death) -> None:
        task = asyncio.create_task(self._bring_back(worker, death), name="howdah rescue")
        self._rescues.add(task)
        task.add_done_callback(self._rescues.discard)

    async def _bring_back(self, worker: UUID, death: Death) -> None:
        assert self._link is not None
        call = workers.rescue(worker, death.running)
        await Patience("parent", self.events).until_done(partial(self._link.run, call))

    # Stopping and starting anew

    async def reload(self, changed: Sequence[str], *, within: float) -> None:
        """Replace the children: running jobs get so long to end, then they are handed back."""
        self.events.emit(FilesChanged(paths=tuple(changed)))
        old = [*self.children.values()]
        for child in old:
            child.tell(Stop(why="reload"))
        self._nudged.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(child.gone.wait() for child in old)), within)
        for child in old:
            child.tell(Stop(why="reload", hurry=True))

    def stop(self, why: str, *, hurry: bool = False) -> None:
        """Have all children stop; with `hurry` they hand back what runs."""
        first = not self.is_stopping
        if first and self._was_up:
            running = sum(len(child.running) for child in self.children.values())
            self.events.emit(ParentStopping(why=why, running=running, within=self._shutdown_after))
        self._is_stopping = True
        self._nudged.set()
        for child in self.children.values():
            child.tell(Stop(why=why, hurry=hurry))
            if not child.is_loaded:  # it would not hear, and holds nothing
                child.kill()
        if first:
            self._do(self._end_stragglers())

    async def _end_stragglers(self) -> None:
        await asyncio.sleep(self._shutdown_after + OVERTIME)
        for child in self.children.values():
            child.kill()

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._take, number)
        loop.add_signal_handler(signal.SIGUSR1, self._say_status)

    def _take(self, number: signal.Signals) -> None:
        """The first lets running jobs end, the second hands them back, the third leaves at once."""
        self._signals += 1
        if self._signals > 2:
            self._status = 128 + number
            for child in self.children.values():
                child.kill()
        self.stop(signal.Signals(number).name, hurry=self._signals > 1)

    def _say_status(self) -> None:
        self._do(self._said())

    async def _said(self) -> None:
        say_json(await self.status())

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        """Beside everything else; ended with the run."""
        task = asyncio.create_task(what)
        self._others.add(task)
        task.add_done_callback(self._others.discard)
