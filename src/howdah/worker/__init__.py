"""The worker: claims jobs, attempts them, and finishes them, on one event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from howdah import jobs, store, workers
from howdah.call import Call
from howdah.connect import database_url
from howdah.errors import BadInput, WorkerUnknown
from howdah.events import (
    Events,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
    WorkerSwept,
)
from howdah.job import check_patterns
from howdah.listener import Listener
from howdah.outcome import Outcome
from howdah.settings import Settings
from howdah.task import Task, declarations
from howdah.worker import chores
from howdah.worker.attempt import Attempt
from howdah.worker.fetcher import Fetcher
from howdah.worker.finisher import Finisher
from howdah.worker.identity import Identity
from howdah.worker.leases import Leases
from howdah.worker.link import LONGEST_WAIT, Link, Patience
from howdah.worker.looker import Looker
from howdah.worker.runner import Runner
from howdah.worker.slots import Slots

if TYPE_CHECKING:
    from howdah.workers import Control

__all__ = ["Worker"]

STATE_EVERY = 60.0  # seconds between two statements of the leases that are held
LEAVE_WITHIN = 3.0  # seconds for the last word to the store


class Worker:
    """Runs an app's jobs inside this process: `async with app.worker(): …`.

    `queues` are names or patterns with a trailing `*`; "mail:10" gives a queue slots of its own,
    the others share `slots`. It has no parent process: a task that blocks the event loop blocks the
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
            direct=settings.prepare and settings.listen_url is None,
        )
        self._leases = Leases()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._fetched = asyncio.Event()
        self._why, self._asked = "stop", False
        self._loops: asyncio.Task[None] | None = None
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._claims = Link(settings, self._link_name("claims"), self._state_leases)
        self._finishes = Link(settings, self._link_name("finishes"))
        self._looks = Link(settings, self._link_name("looks"), self._hold_lock)
        # Chores have their own: a slow one must not stop the heart.
        self._chores = Link(settings, self._link_name("chores"))
        self._finisher = Finisher(self._finishes, self._leases, events, self._stored)
        self._runner = Runner(
            tasks=tasks,
            groups=self._groups,
            finisher=self._finisher,
            events=events,
            has_room=lambda: self._fetcher.poke(),  # noqa: PLW0108 - made below
            extend=self._extend,
        )
        self._fetcher = Fetcher(
            link=self._claims,
            identity=self.identity,
            groups=self._groups,
            leases=self._leases,
            patience=Patience("fetcher", events),
            fill=self._runner.fill,
            fell_idle=lambda: self._looker.poke(),  # noqa: PLW0108 - made below
        )
        self._looker = Looker(
            self._looks,
            self.identity,
            settings,
            Patience("looker", events, min(LONGEST_WAIT, (settings.lost_after or 30.0) / 4)),
            obey=self._obey,
            work=self._fetcher.poke,
        )
        self._listener = Listener(settings, self._heard, self._look_again)

    async def __aenter__(self) -> Self:
        database_url(self._settings)  # a worker that could never connect says so at once
        self._event_loop = asyncio.get_running_loop()
        try:
            await self._looks.run(store.declare_tasks(declarations(self._tasks)))
            await self._looks.run(self.identity.registration())
        except BaseException:
            await self._looks.close()
            raise
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
        await asyncio.sleep(0)  # a stop that was just asked for comes first: this one is no second
        if not self._stop.is_set():
            self._stop_now("stop", False)
        await self.wait()

    def stop(self, why: str = "stop", *, hurry: bool = False) -> None:
        """Claim no more, let running jobs end, leave; with `hurry` hand them back at once.

        May be called from any thread, and again to hurry.
        """
        if self._event_loop is None:  # before it began: it will leave at once
            self._stop_now(why, hurry)
            return
        with suppress(RuntimeError):  # the loop has ended, and the worker with it
            self._event_loop.call_soon_threadsafe(self._stop_now, why, hurry)

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
            await self._fetcher.found_nothing.wait()
            await self._finisher.stored()
            await self._runner.empty()
            if self._finisher.is_empty and self._fetcher.found_nothing.is_set():
                return

    def status(self) -> dict[str, object]:
        """What it does at the moment, for people."""
        return {
            "id": str(self.identity.id),
            "name": self.identity.name,
            "queues": list(self.identity.queues),
            "slots": self.identity.slots,
            "running": [str(job_id) for job_id in self._runner.job_ids],
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
            else:
                self._runner.close()
                self._runner.stop_all("shutdown")
        finally:
            stopped.cancel()
            loops.cancel()
            await asyncio.wait({loops})
            self._runner.end()
            for link in (self._claims, self._finishes, self._looks, self._chores):
                await link.close()
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
            for names, every in (
                (chores.OFTEN, chores.OFTEN_EVERY),
                (chores.SELDOM, chores.SELDOM_EVERY),
            ):
                group.create_task(
                    chores.keep_doing(self._chores, often("chores"), names, every), name="chores"
                )

    async def _fetch(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    await self._fetcher.run()
                except WorkerUnknown:
                    self._looker.poke()  # its answer will say so too, and then we are renewed
                    await asyncio.sleep(0.1)
        finally:
            self._fetched.set()

    async def _extend(self, attempt: Attempt, duration: float) -> None:
        await self._looks.run(jobs.extend(attempt.job.id, attempt.job.lease, duration))

    def _stored(self, outcomes: Sequence[Outcome]) -> None:
        self._runner.fill()
        if any(outcome.retry_in is not None for outcome in outcomes):
            self._looker.poke()  # it may be due before the next look

    # Being told things

    def _heard(self, payload: str) -> None:
        if self.identity.short in payload[1:]:
            if payload.startswith("w"):
                self._look_again()
            elif payload.startswith("c"):
                self._looker.poke()

    def _look_again(self) -> None:
        """Something may have been missed."""
        self._fetcher.poke()
        self._looker.poke()

    async def _obey(self, control: Control) -> None:
        for job_id in control.cancel or ():
            self._runner.stop(job_id, "cancel")
        if control.action == "swept":
            await self._swept()
        elif control.action == "kill":
            self._begin_to_stop("kill", hurry=True)
        elif control.action == "drain":
            self._begin_to_stop("drain", hurry=False)

    async def _swept(self) -> None:
        """Our jobs were given to others: drop everything and register under a new id."""
        self.events.emit(WorkerSwept(worker=self.identity.id))
        self._runner.drop_waiting()
        self._runner.stop_all("lost")
        self._leases.forget()
        self.identity.renew()
        await self._looks.close()  # its next opening takes the new identity's lock
        await Patience("looker", self.events).until_done(
            lambda: self._looks.run(self.identity.registration())
        )
        self._fetcher.renewed()

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
        if self.identity.lock_key is not None:
            await link.run_now(_session_lock(self.identity.lock_key))

    # Stopping, in three steps

    def _stop_now(self, why: str, hurry: bool) -> None:
        again, self._asked = self._asked, True
        self._begin_to_stop(why, hurry=hurry or again)

    def _begin_to_stop(self, why: str, *, hurry: bool) -> None:
        if not self._stop.is_set():
            self._why = why
        self._fetcher.stop()
        self._stop.set()
        if hurry:
            self._hurry.set()

    async def _shut_down(self) -> None:
        """Hand back what has not started; let attempts end; cancel and release the rest."""
        self.events.emit(
            WorkerStopping(worker=self.identity.id, why=self._why, running=len(self._runner))
        )
        released = self._runner.close()
        await asyncio.wait({asyncio.ensure_future(self._fetched.wait())}, timeout=1)
        released += self._runner.close()  # what a claim under way brought in
        ended = asyncio.ensure_future(self._runner.empty())
        hurry = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait(
            {ended, hurry},
            timeout=self._settings.shutdown_after,
            return_when=asyncio.FIRST_COMPLETED,
        )
        hurry.cancel()
        released += self._runner.stop_all("shutdown")
        await ended
        await self._leave()
        self.events.emit(WorkerStopped(worker=self.identity.id, released=released))

    async def _leave(self) -> None:
        """Store what there is, as long as there is patience for it, and take the worker out."""
        try:
            async with asyncio.timeout(self._settings.shutdown_after):
                await self._finisher.stored()
            async with asyncio.timeout(LEAVE_WITHIN):
                await Patience("looker", self.events).until_done(
                    lambda: self._looks.run(workers.leave(self.identity.id))
                )
        except Exception:  # the database is away: others will rescue what we could not hand back
            return

    def _link_name(self, what: str) -> str:
        return f"howdah worker {os.getpid()} {what}"


def _session_lock(key: int) -> Call[None]:
    return Call("select pg_try_advisory_lock(cast($1 as bigint))", (key,), lambda _: None)


def _groups(queues: Sequence[str] | None, slots: int) -> list[Slots]:
    """Queues with slots of their own, and one group for those that share."""
    if isinstance(queues, str):
        check_patterns(queues)  # refuses it
    shared, groups = [], []
    for text in queues or ["*"]:
        queue, colon, size = text.rpartition(":")
        if colon and size.isdigit():
            groups.append(Slots(check_patterns([queue]), _size(int(size))))
        else:
            shared += check_patterns([text])
    own = [queue for group in groups for queue in group.queues]
    return [*groups, Slots(shared, _size(slots), but=own)] if shared else groups


def _size(slots: int) -> int:
    if not 1 <= slots <= 10_000:
        raise BadInput(f"{slots} slots cannot be had", hint="Use 1 to 10000.")
    return slots
