"""The worker: claims jobs, attempts them, and finishes them, on one event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import msgspec

from howdah import jobs, store, workers
from howdah.connect import database_url
from howdah.errors import Conflict, WorkerUnknown
from howdah.events import Events, WorkerStarted, WorkerSwept
from howdah.listener import Listener
from howdah.outcome import Outcome
from howdah.settings import Settings
from howdah.task import Task, declarations
from howdah.worker import chores
from howdah.worker.attempt import Attempt
from howdah.worker.board import Board
from howdah.worker.fetcher import Fetcher
from howdah.worker.finisher import Finisher
from howdah.worker.identity import Identity, session_lock
from howdah.worker.leases import Leases
from howdah.worker.lifespan import AnyContextManager, Lifespan
from howdah.worker.link import LONGEST_WAIT, Link, Patience
from howdah.worker.looker import Looker
from howdah.worker.means import Means
from howdah.worker.processes import Processes, slots_of
from howdah.worker.runner import Runner
from howdah.worker.slots import groups_of, with_processes
from howdah.worker.stopping import Stopping
from howdah.worker.threads import Threads
from howdah.worker.transactions import Transactions

if TYPE_CHECKING:
    from howdah.workers import Control

__all__ = ["Worker"]

STATE_EVERY = 60.0  # seconds between two statements of the leases that are held


class Worker:
    """Runs an app's jobs inside this process: `async with app.worker(): …`.

    `queues` are names or patterns with a trailing `*`; "mail:10" gives a queue slots of its own,
    the others share `slots`. It has no parent process: a task that blocks the event loop blocks the
    heartbeat too, and after `lost_after` its jobs are given to others. Nor are suspects isolated: a
    job that has crashed before runs beside the others again, unless its task has an executor of
    "process".

    With `isolate`, such a job runs alone, in a process of the pool. `source` says where the app can
    be loaded from by the pool's processes; it is called when the worker starts, if it has a pool.

    Attributes:
        processes: the pool; None if there is no task for it and suspects are not isolated.
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
    ) -> None:
        self._board = board
        self._tasks, self._settings, self.events = tasks, settings, events
        groups = groups_of(queues, settings.slots if slots is None else slots)
        self._groups = with_processes(groups, tasks, slots_of(settings), isolate=isolate)
        self._make_means(lifespan, source, isolate=isolate)
        self.identity = Identity(
            name=name,
            queues=[pattern for group in groups for pattern in group.queues],
            tasks=sorted(tasks),
            slots=sum(group.size for group in self._groups if group.tasks != ()),
            lost_after=settings.lost_after,
            direct=settings.prepare and settings.listen_url is None,
        )
        self._leases = Leases()
        self._loops: asyncio.Task[None] | None = None
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._make_links()
        self._make_loops()
        self._stopping = Stopping(
            identity=self.identity,
            events=events,
            fetcher=self._fetcher,
            runner=self._runner,
            finisher=self._finisher,
            link=self._looks,
            within=settings.shutdown_after,
        )

    def _make_means(
        self,
        lifespan: Callable[[], AnyContextManager] | None,
        source: Callable[[], msgspec.Struct],
        *,
        isolate: bool,
    ) -> None:
        self.processes: Processes | None = None
        self._in_pool = next((group for group in self._groups if group.in_processes), None)
        self._suspects = self._in_pool if isolate else None
        if self._in_pool is not None:
            self.processes = Processes(
                self._settings, self.events, source=source, rests=self._rest_pool
            )
        self._transactions = Transactions(self._settings)
        self._means = Means(
            threads=Threads(),
            processes=self.processes,
            transactions=self._transactions,
            extend=self._extend,
        )
        self._lifespan = Lifespan(lifespan)

    def _make_links(self) -> None:
        def link(what: str, opened: Callable[[Link], Awaitable[None]] | None = None) -> Link:
            return Link(self._settings, f"howdah worker {os.getpid()} {what}", opened)

        self._claims = link("claims", self._state_leases)
        self._finishes = link("finishes")
        self._looks = link("looks", self._hold_lock)
        self._chores = link("chores")  # their own: a slow one must not stop the heart

    def _make_loops(self) -> None:
        settings, events = self._settings, self.events
        self._finisher = Finisher(self._finishes, self._leases, events, self._stored)
        self._runner = Runner(
            tasks=self._tasks,
            groups=self._groups,
            means=self._means,
            finisher=self._finisher,
            events=events,
            has_room=lambda: self._fetcher.poke(),  # noqa: PLW0108 - made below
            board=self._board,
        )
        self._fetcher = Fetcher(
            link=self._claims,
            identity=self.identity,
            groups=self._groups,
            suspects=self._suspects,
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
        if self._event_loop is not None:
            raise Conflict(
                "this worker was started already", hint="Make another one: app.worker(…)."
            )
        if self.processes is not None:
            self.processes.find_app()
        self._event_loop = asyncio.get_running_loop()
        try:
            self._means.resources = await self._lifespan.open()
            await self._looks.run(store.declare_tasks(declarations(self._tasks)))
            await self._looks.run(self.identity.registration())
        except BaseException:
            self._event_loop = None
            await self._looks.close()
            await self._lifespan.close()
            raise
        if self._board is not None:
            self._board.make_room(self.identity.slots)
        self._runner.watchdog.start()
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
        if not self._stopping.asked_here:  # a drain has no end of its own
            self._stopping.ask("stop", hurry=False)
        await self.wait()

    def stop(self, why: str = "stop", *, hurry: bool = False) -> None:
        """Claim no more, let running jobs end, leave; with `hurry` hand them back at once.

        May be called from any thread, and again to hurry.
        """
        if self._event_loop is None:  # before it began: it will leave at once
            self._stopping.ask(why, hurry=hurry)
            return
        with suppress(RuntimeError):  # the loop has ended, and the worker with it
            self._event_loop.call_soon_threadsafe(partial(self._stopping.ask, why, hurry=hurry))

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
            "pid": self.identity.pid,
            "queues": list(self.identity.queues),
            "slots": self.identity.slots,
            "idle_slots": self.identity.slots - len(self._runner),
            "running": self._runner.status(),
            "waiting": sum(len(group.waiting) for group in self._groups),
            "listening": self._listener.up.is_set(),
            "stopping": self._stopping.asked.is_set(),
            "processes": [] if self.processes is None else self.processes.status(),
        }

    async def _run(self) -> None:
        loops = asyncio.create_task(self._loop_together())
        stopped = asyncio.create_task(self._stopping.asked.wait())
        try:
            await asyncio.wait({loops, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not loops.done():
                await self._stopping.shut_down()
            else:
                self._runner.close()
                self._runner.stop_all("shutdown")
        finally:
            stopped.cancel()
            loops.cancel()
            await asyncio.wait({loops})
            self._runner.end()
            await self._transactions.close()
            if self.processes is not None:
                await self.processes.close()
            for link in (self._claims, self._finishes, self._looks, self._chores):
                await link.close()
            await self._lifespan.close()
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
            for names, every in chores.ROUNDS:
                group.create_task(
                    chores.keep_doing(self._chores, often("chores"), names, every), name="chores"
                )

    async def _fetch(self) -> None:
        try:
            while not self._stopping.asked.is_set():
                try:
                    await self._fetcher.run()
                except WorkerUnknown:
                    self._looker.poke()  # its answer will say so too, and then we are renewed
                    await asyncio.sleep(0.1)
        finally:
            self._stopping.claimed_last.set()

    async def _extend(self, attempt: Attempt, duration: float) -> None:
        await self._looks.run(jobs.extend(attempt.job.id, attempt.job.lease, duration))

    def _rest_pool(self, length: float) -> None:
        """No process can be started for so long: leave its jobs to others."""
        assert self._in_pool is not None
        self._in_pool.rest(length)
        asyncio.get_running_loop().call_later(length, self._fetcher.poke)

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
        elif control.action in {"drain", "kill", "now"}:
            self._stopping.tell(control.action)

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
            await link.run_now(session_lock(self.identity.lock_key))
