"""The parent of a worker's processes: runs none of the user's code, and so outlives it.

Children each run one worker. Their parent passes signals on, beats for them while they cannot,
kills one that is silent for longer than its jobs are safe, brings back the jobs of a dead one at
once, and replaces it.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec

from howdah.errors import DatabaseError, HowdahError
from howdah.events import (
    ChildDied,
    ChildStarted,
    Events,
    FilesChanged,
    ParentStopped,
    ParentStopping,
)
from howdah.foreground import SIGNALS, say_json
from howdah.parent.child import Child, Death
from howdah.parent.guard import Guard
from howdah.parent.heart import Heart
from howdah.parent.messages import (
    FromChild,
    Go,
    Groups,
    Hello,
    Refused,
    Registered,
    Start,
    settings_of,
)
from howdah.parent.policy import (
    LIVED_WELL,
    LONGEST_AGAIN,
    LONGEST_WITHOUT_DATABASE,
    knock_after,
    restart_after,
)
from howdah.settings import Settings
from howdah.system import hear_of_children
from howdah.worker.link import Link
from howdah.worker.starting import Starting

ANSWER_WITHIN = 1.0  # seconds for a child to say how it is
RESCUE_WITHIN = 3.0  # seconds for the last words to the store
OVERTIME = 10.0  # seconds beyond shutdown_after in which a child has to have left
HURRY_WITHIN = 6.0  # seconds for a child that is to hand back what it runs
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
        self._heart = Heart(self.children, events)
        self._guard = Guard()
        self._settings: asyncio.Future[Settings] | None = None
        self._shutdown_after = 0.0
        self._is_stopping = False
        self._nudged = asyncio.Event()
        self._changes = 0  # how often files have changed
        self._signals = 0
        self._status = 0
        self._was_up = False
        self._failure: Exception | None = None
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

    @property
    def beaten_at(self) -> float | None:
        """When the store last answered, monotonic seconds."""
        return self._heart.beaten_at

    @property
    def lost_after(self) -> float:
        """Seconds of silence after which a process is taken for lost."""
        return self._heart.lost_after

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
        self._settings = asyncio.get_running_loop().create_future()
        beside = [
            asyncio.create_task(self._heart.beat(), name="howdah heartbeats"),
            asyncio.create_task(self._heart.fence(), name="howdah fence"),
        ]
        work = asyncio.create_task(self._keep_all(), name="howdah children")
        try:
            await asyncio.wait({work, *beside}, return_when=asyncio.FIRST_COMPLETED)
            for each in beside:
                if each.done():  # by a mistake of ours: nothing may go on without it
                    each.result()
            work.result()
            if self._failure is not None:
                raise self._failure
        finally:
            await self._end([work, *beside])
        if self._was_up:
            self.events.emit(ParentStopped())
        return self._status

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in [*tasks, *self._others]:
            task.cancel()
        for child in self.children.values():
            child.kill()
        await self._heart.close(RESCUE_WITHIN)
        self._guard.close()

    async def _keep_all(self) -> None:
        """The first child loads the app and finds the database; then the others start."""
        assert self._settings is not None
        first = self._keeper(1)
        either: set[asyncio.Future[Any]] = {first, self._settings}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        keepers = {first}
        if self._settings.done() and not self.is_stopping:
            keepers |= {self._keeper(number) for number in range(2, self.processes + 1)}
        await asyncio.gather(*keepers)

    def _keeper(self, number: int) -> asyncio.Task[None]:
        return asyncio.create_task(self._keep(number), name=f"howdah child {number}")

    async def _keep(self, number: int) -> None:
        """Have child `number` alive, until it was told to leave."""
        deaths = 0
        while not self.is_stopping:
            changes, child = self._changes, Child(number)
            death = await self._life_of(child)
            if not self._is_to_return(child, death):
                return
            short = time.monotonic() - child.started_at < LIVED_WELL
            deaths = 0 if child.leaves_well else deaths + 1 if short else 1
            await self._pause_after(child, death, deaths, changes)

    async def _life_of(self, child: Child) -> Death:
        """From its start to its end."""
        self.children[child.number] = child
        banner = child.number == 1 and not self._was_up
        try:
            await child.start(
                msgspec.structs.replace(
                    self._start, number=child.number, siblings=self.processes, banner=banner
                )
            )
        except OSError as error:  # too little memory, too many processes: in a while, perhaps
            child.refusal = f"could not be started: {error}"
            return Death(status=1, running=())
        else:
            self._watch_groups()
            self.events.emit(ChildStarted(number=child.number, pid=child.pid or 0))
            return await child.listen(self._heard)
        finally:
            child.close()
            del self.children[child.number]
            self._watch_groups()

    def _watch_groups(self) -> None:
        self._guard.watch(
            [
                group
                for child in self.children.values()
                if child.pid is not None
                for group in (child.pid, *child.groups)
            ]
        )

    async def _pause_after(self, child: Child, death: Death, deaths: int, changes: int) -> None:
        """Until another one is to be started: a while, or, where files are watched, until one that
        cannot even be loaded has changed."""
        if child.leaves_well or changes != self._changes:
            return
        broken = self._watches_files and child.worker is None and not child.without_database
        length = restart_after(
            deaths, LONGEST_WITHOUT_DATABASE if child.without_database else LONGEST_AGAIN
        )
        if child.refused_for_now:
            length = knock_after(deaths, random.random())
        self._report(child, death, None if broken else length)
        if length > 0 or broken:
            self._nudged.clear()
            with suppress(TimeoutError):  # before 3.12 wait_for may lose a cancelling
                async with asyncio.timeout(None if broken else length):
                    await self._nudged.wait()

    def _is_to_return(self, child: Child, death: Death) -> bool:
        """Whether another one is to take its place; its jobs are brought back in any case."""
        if child.worker is not None:
            if death.status != 0 or not child.has_left:
                self._heart.rescue(child.worker, death)
        elif not (self._was_up or self.is_stopping or child.leaving or child.refused_for_now):
            self._give_up(child, death)  # it never got to work: nor would another
        told = child.leaving or child.ordered
        if not self.is_stopping and told not in TOLD_TO_LEAVE:
            return True
        if death.status != 0 and not child.blameless and child.worker is not None:
            self._report(child, death, None, replaced=False)
        return False

    def _give_up(self, child: Child, death: Death) -> None:
        self._failure = self._failure or HowdahError(
            f"process {child.number} {child.refusal or death.how} before it could work",
            hint="What it wrote above may say more; so does importing the app by itself.",
        )
        self.stop("start")

    def _report(
        self, child: Child, death: Death, again_in: float | None, *, replaced: bool = True
    ) -> None:
        self.events.emit(
            ChildDied(
                number=child.number,
                pid=child.pid,
                how=child.refusal or child.killed_for or death.how,
                fenced=child.fenced,
                running=death.running,
                again_in=again_in,
                replaced=replaced,
            )
        )

    # What children say

    def _heard(self, child: Child, message: FromChild) -> None:
        if isinstance(message, Hello):
            self._do(self._go(child, message))
        elif isinstance(message, Refused):
            error = message.error()
            child.refusal = error.message
            child.refused_for_now = message.for_now
            child.without_database = message.for_now or isinstance(error, DatabaseError)
            if not (self._was_up or message.for_now):
                self._failure = self._failure or error
        elif isinstance(message, Registered):
            self._was_up = True
            self._heart.poke()
        elif isinstance(message, Groups):
            self._watch_groups()

    async def _go(self, child: Child, hello: Hello) -> None:
        """Let it connect: to the database that the first child's settings led to."""
        assert self._settings is not None
        if not self._settings.done():
            starting, asked = Starting(self.events, lambda: self.is_stopping), settings_of(hello)
            try:
                settings = await starting.until_done(lambda: asyncio.to_thread(self._ready, asked))
            except Exception as error:
                self._failure = error
                self.stop("start")
                return
            self._shutdown_after = settings.shutdown_after
            link = Link(settings, f"howdah worker {self._start.name} parent"[:63])
            self._heart.connect(link, settings.lost_after)
            self._settings.set_result(settings)
        url = (await self._settings).database_url
        own = settings_of(hello)
        use = own if own.database_url is not None else replace(own, database_url=url)
        child.tell(Go(settings=msgspec.to_builtins(use)))

    # Stopping and starting anew

    async def reload(self, changed: Sequence[str], *, within: float) -> None:
        """Replace the children: running jobs get so long to end, then they are handed back."""
        self.events.emit(FilesChanged(paths=tuple(changed)))
        self._changes += 1
        old = [*self.children.values()]
        for hurry in (False, True):
            for child in old:
                child.stop("reload", hurry=hurry)
            self._nudged.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await asyncio.gather(*(child.gone.wait() for child in old))
                return
        for child in old:
            child.kill(blameless=True)

    def stop(self, why: str, *, hurry: bool = False) -> None:
        """Have all children stop; with `hurry` they hand back what runs."""
        first = not self.is_stopping
        if first and self._was_up:
            running = sum(child.runs for child in self.children.values())
            self.events.emit(ParentStopping(why=why, running=running, within=self._shutdown_after))
        self._is_stopping = True
        self._nudged.set()
        for child in self.children.values():
            child.stop(why, hurry=hurry)
        if first or hurry:
            self._do(self._end_stragglers(HURRY_WITHIN if hurry else None))

    async def _end_stragglers(self, within: float | None) -> None:
        await asyncio.sleep(self._shutdown_after + OVERTIME if within is None else within)
        for child in self.children.values():
            child.kill(blameless=True)

    def _catch_signals(self) -> None:
        hear_of_children()
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
                child.kill(blameless=True)
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
