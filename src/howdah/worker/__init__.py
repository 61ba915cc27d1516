"""The worker: claims jobs, attempts them, and finishes them, on one event loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from howdah import jobs, store, workers
from howdah.connect import database_url
from howdah.errors import BadInput, WorkerUnknown
from howdah.events import (
    AttemptFinished,
    Events,
    TaskStuck,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
    WorkerSwept,
)
from howdah.jobs import Claimed
from howdah.listener import Listener
from howdah.outcome import Outcome, Released
from howdah.settings import Settings
from howdah.task import Task, declarations
from howdah.worker import chores
from howdah.worker.attempt import Attempt
from howdah.worker.fetcher import Fetcher
from howdah.worker.finisher import Finisher
from howdah.worker.identity import Identity
from howdah.worker.leases import Leases
from howdah.worker.link import Link, Patience
from howdah.worker.looker import Looker
from howdah.worker.slots import Slots
from howdah.worker.threads import Threads

if TYPE_CHECKING:
    from uuid import UUID

    from howdah.workers import Control

__all__ = ["Worker"]

SWEEP_EVERY = 0.05  # seconds between two looks at the running jobs' deadlines
GRACE = 1.0  # seconds that a task gets to end after it was told to
STATE_EVERY = 60.0  # seconds between two statements of the leases that are held


class Worker:
    """Runs an app's jobs inside this process: `async with app.worker(): …`.

    `queues` are names or patterns with a trailing `*`; "mail:10" gives a queue slots of its own, the
    others share `slots`. It has no parent process: a task that blocks the event loop blocks the
    heartbeat too, and after `lost_after` its jobs are given to others.
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
    ) -> None:
        self._tasks, self._settings, self.events = tasks, settings, events
        self._groups = _groups(queues, slots or settings.slots)
        patterns = [pattern for group in self._groups for pattern in group.queues]
        self.identity = Identity(
            name=name,
            queues=patterns,
            tasks=sorted(tasks),
            slots=sum(group.size for group in self._groups),
            lost_after=settings.lost_after,
        )
        self._leases, self._threads = Leases(), Threads()
        self._running: dict[UUID, Attempt] = {}
        self._sweeping = False
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._ended = asyncio.Event()
        self._why = "stop"
        self._loops: asyncio.Task[None] | None = None
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._claims = Link(settings, self._link_name("claims"), self._state_leases)
        self._finishes = Link(settings, self._link_name("finishes"))
        self._looks = Link(settings, self._link_name("looks"), self._hold_lock)
        self._finisher = Finisher(self._finishes, self._leases, events, self._stored)
        self._fetcher = Fetcher(
            self._claims,
            self.identity,
            self._groups,
            self._leases,
            Patience("fetcher", events),
            fill=self._fill,
            fell_idle=self._look,
        )
        self._looker = Looker(
            self._looks,
            self.identity,
            settings,
            Patience("looker", events),
            obey=self._obey,
            work=self._fetcher.poke,
        )
        self._listener = Listener(settings, self._heard, self._fetcher.poke)

    async def __aenter__(self) -> Self:
        database_url(self._settings)  # a worker that could never connect says so at once
        self._event_loop = asyncio.get_running_loop()
        await self._looks.run(store.declare_tasks(declarations(self._tasks)))
        await self._looks.run(self.identity.registration())
        self._loops = asyncio.create_task(self._run(), name="howdah worker")
        self.events.emit(
            WorkerStarted(
                worker=self.identity.id,
                name=self.identity.name,
                queues=self.identity.queues,
                tasks=self.identity.tasks,
            )
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        await self.wait()

    def stop(self, why: str = "stop", *, hurry: bool = False) -> None:
        """Claim no more, let running jobs end, leave; with `hurry` hand them back at once.

        May be called from any thread, and again to hurry.
        """
        if self._event_loop is None:
            return
        self._event_loop.call_soon_threadsafe(self._stop_now, why, hurry)

    async def wait(self) -> None:
        """Until the worker has left; raises what ended it, if something of ours broke."""
        if self._loops is not None:
            await asyncio.shield(self._loops)

    async def idle(self) -> None:
        """Until no work was found and nothing is running or waiting to be stored."""
        while not self._stop.is_set():
            await self._fetcher.found_nothing.wait()
            await self._finisher.stored()
            if not self._running and self._fetcher.found_nothing.is_set():
                return
            await asyncio.sleep(0.01)

    def status(self) -> dict[str, object]:
        """What it does at the moment, for people."""
        return {
            "id": str(self.identity.id),
            "name": self.identity.name,
            "queues": list(self.identity.queues),
            "slots": self.identity.slots,
            "running": [str(job_id) for job_id in self._running],
            "waiting": sum(len(group.waiting) for group in self._groups),
            "listening": self._listener.up.is_set(),
            "stopping": self._stop.is_set(),
        }

    async def _run(self) -> None:
        loops = asyncio.create_task(self._loop_together())
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({loops, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not loops.done():
                await self._shut_down()
        finally:
            stopped.cancel()
            loops.cancel()
            await asyncio.wait({loops})
            self._threads.stop()
            for link in (self._claims, self._finishes, self._looks):
                await link.close()
            self._ended.set()
        if not loops.cancelled() and (error := loops.exception()) is not None:
            raise error

    async def _loop_together(self) -> None:
        often = partial(Patience, events=self.events)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._finisher.run(), name="finisher")
            group.create_task(self._fetch(), name="fetcher")
            group.create_task(self._looker.run(), name="looker")
            group.create_task(self._listener.run(), name="listener")
            group.create_task(self._restate(), name="leases")
            for names, every in ((chores.OFTEN, chores.OFTEN_EVERY), (chores.SELDOM, chores.SELDOM_EVERY)):
                group.create_task(chores.keep_doing(self._looks, often("chores"), names, every), name="chores")

    async def _fetch(self) -> None:
        while not self._stop.is_set():
            try:
                await self._fetcher.run()
            except WorkerUnknown:
                await self._swept()

    # Starting and ending attempts

    def _fill(self) -> None:
        if self._stop.is_set():
            return
        for group in self._groups:
            group.fill(self._start, self._may_start)
            if group.wants():
                self._fetcher.poke()

    def _stored(self, outcomes: Sequence[Outcome]) -> None:
        self._fill()
        if any(outcome.retry_in is not None for outcome in outcomes):
            self._look()  # it may be due before the next look

    def _look(self) -> None:
        self._looker.poke()

    def _may_start(self) -> bool:
        return self._finisher.has_room

    def _start(self, slots: Slots, job: Claimed) -> None:
        attempt = Attempt(job, self._tasks.get(job.task), self._threads, self._extend)
        handle = asyncio.get_running_loop().create_task(attempt.run())
        attempt.handle = handle
        self._running[job.id] = attempt
        handle.add_done_callback(partial(self._done, slots, attempt))
        if attempt.ends_at is not None and not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(SWEEP_EVERY, self._sweep)

    def _done(self, slots: Slots, attempt: Attempt, handle: asyncio.Task[Outcome]) -> None:
        if self._running.get(attempt.job.id) is not attempt:
            return  # given up before: its slot is another's
        del self._running[attempt.job.id]
        # A task cancelled before its first step never reaches its own code.
        outcome = attempt.stopped() if handle.cancelled() else handle.result()
        self._take(slots, attempt, outcome)

    def _take(self, slots: Slots, attempt: Attempt, outcome: Outcome) -> None:
        slots.ended()
        if attempt.stopping != "lost":
            self._finisher.put(outcome)
        if self.events:
            took = time.monotonic() - attempt.started
            self.events.emit(AttemptFinished(job=attempt.job, outcome=outcome, took=took))
        if not self._stop.is_set():
            slots.fill(self._start, self._may_start)
            if not slots.waiting:
                self._fetcher.poke()

    def _sweep(self) -> None:
        """One timer for all deadlines."""
        now = time.monotonic()
        for attempt in [*self._running.values()]:
            if attempt.stopping is None and attempt.ends_at is not None and now >= attempt.ends_at:
                attempt.stop("timeout")
            elif attempt.stopping is not None and now >= attempt.stopped_at + GRACE:
                self._give_up(attempt)
        self._sweeping = bool(self._running)
        if self._sweeping:
            asyncio.get_running_loop().call_later(SWEEP_EVERY, self._sweep)

    def _give_up(self, attempt: Attempt) -> None:
        """It does not end although it was told to: report it, and give its slot to another."""
        del self._running[attempt.job.id]
        self.events.emit(TaskStuck(job=attempt.job))
        slots = next(group for group in self._groups if group.serves(attempt.job.queue))
        self._take(slots, attempt, attempt.stopped())

    async def _extend(self, attempt: Attempt, duration: float) -> None:
        await self._looks.run(jobs.extend(attempt.job.id, attempt.job.lease, duration))

    # Being told things

    def _heard(self, payload: str) -> None:
        if self.identity.short in payload[1:]:
            if payload.startswith("w"):
                self._fetcher.poke()
                self._looker.poke()
            elif payload.startswith("c"):
                self._looker.poke()

    async def _obey(self, control: Control) -> None:
        for job_id in control.cancel or ():
            if job_id in self._running:
                self._running[job_id].stop("cancel")
        if control.action == "swept":
            await self._swept()
        elif control.action in {"drain", "kill"} and not self._stop.is_set():
            self._stop_now(control.action, control.action == "kill")

    async def _swept(self) -> None:
        """Our jobs were given to others: drop everything and register under a new id."""
        self.events.emit(WorkerSwept(worker=self.identity.id))
        for group in self._groups:
            group.take_back()
        for attempt in [*self._running.values()]:
            attempt.stop("lost")
        self._leases.forget()
        self.identity.renew()
        await Patience("looker", self.events).until_done(
            lambda: self._looks.run(self.identity.registration())
        )
        await self._claims.close()  # its next opening states what is held: nothing
        self._fetcher.poke()

    async def _state_leases(self, link: Link) -> None:
        """After each reconnect: a claim whose answer never arrived is released."""
        await link.run_now(workers.heartbeat(self.identity.id, leases=self._leases.held()))

    async def _restate(self) -> None:
        """And once a minute, as a net."""
        while True:
            await asyncio.sleep(STATE_EVERY)
            await self._fetcher.state(self._leases.held)

    async def _hold_lock(self, link: Link) -> None:
        """A lock of this session: gone with it, so that a death shows sooner than by silence."""
        await link.run_now(_session_lock(self.identity.lock_key))
        await link.run_now(workers.heartbeat(self.identity.id, lock_key=self.identity.lock_key))

    # Stopping, in three steps

    def _stop_now(self, why: str, hurry: bool) -> None:
        again = self._stop.is_set()
        self._why = why if not again else self._why
        self._fetcher.stop()
        self._stop.set()
        if hurry or again:
            self._hurry.set()

    async def _shut_down(self) -> None:
        """Hand back what has not started; let attempts end; cancel and release the rest."""
        self.events.emit(
            WorkerStopping(worker=self.identity.id, why=self._why, running=len(self._running))
        )
        released = 0
        for group in self._groups:
            for job in group.take_back():
                released += 1
                self._finisher.put(Released(id=job.id, lease=job.lease, reason="released"))
        deadline = time.monotonic() + self._settings.shutdown_after
        while self._running and not self._hurry.is_set() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for attempt in [*self._running.values()]:
            released += 1
            attempt.stop("shutdown")
        while self._running:
            await asyncio.sleep(0.02)
        await self._leave()
        self.events.emit(WorkerStopped(worker=self.identity.id, released=released))

    async def _leave(self) -> None:
        """Store what there is, as long as there is patience for it, and take the worker out."""
        try:
            async with asyncio.timeout(self._settings.shutdown_after):
                await self._finisher.stored()
                await self._looks.run(workers.leave(self.identity.id))
        except Exception:  # the database is away: others will rescue what we could not hand back
            return

    def _link_name(self, what: str) -> str:
        return f"howdah worker {os.getpid()} {what}"


def _session_lock(key: int) -> jobs.Call[None]:
    return jobs.Call("select pg_try_advisory_lock(cast($1 as bigint))", (key,), lambda _: None)


def _groups(queues: Sequence[str] | None, slots: int) -> list[Slots]:
    """Queues with slots of their own, and one group for those that share."""
    shared, groups = [], []
    for text in queues or ["*"]:
        queue, colon, size = text.rpartition(":")
        if colon and size.isdigit():
            groups.append(Slots([_pattern(queue)], _size(int(size))))
        else:
            shared.append(_pattern(text))
    return [*groups, Slots(shared, _size(slots))] if shared else groups


def _pattern(text: str) -> str:
    if not 1 <= len(text) <= 120 or "*" in text[:-1] or "\x00" in text:
        raise BadInput(
            f"{text!r} is no queue or pattern", hint="Write a name, or a prefix with a trailing *."
        )
    return text


def _size(slots: int) -> int:
    if not 1 <= slots <= 10_000:
        raise BadInput(f"{slots} slots cannot be had", hint="Use 1 to 10000.")
    return slots
