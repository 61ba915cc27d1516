"""The parts of a worker, put together, and what passes between them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from howdah import jobs
from howdah.errors import WorkerUnknown
from howdah.events import Events, WorkerSwept
from howdah.http import store
from howdah.listener import Listener
from howdah.outcome import Outcome
from howdah.settings import Settings
from howdah.task import Task
from howdah.worker import chores
from howdah.worker.attempt import Attempt
from howdah.worker.board import Board
from howdah.worker.commands import Commands
from howdah.worker.fetcher import Fetcher
from howdah.worker.finisher import Finisher
from howdah.worker.hints import Hints
from howdah.worker.identity import Identity, session_lock
from howdah.worker.leases import Leases
from howdah.worker.lifespan import AnyContextManager, Lifespan
from howdah.worker.link import LONGEST_WAIT, Link, Patience
from howdah.worker.looker import Looker
from howdah.worker.means import Means
from howdah.worker.notes import Notes
from howdah.worker.own_tasks import with_http
from howdah.worker.processes import Processes, slots_of
from howdah.worker.runner import Runner
from howdah.worker.slots import groups_of, with_processes
from howdah.worker.stopping import Stopping
from howdah.worker.threads import Threads
from howdah.worker.ticker import Ticker
from howdah.worker.transactions import Transactions
from howdah.worker.urls import Urls, urls_at_once

if TYPE_CHECKING:
    from howdah.workers import Control

STATE_EVERY = 60.0  # seconds between two statements of the leases that are held


class Parts:
    """What a worker is made of. `run` has them all work, `close` ends them."""

    def __init__(
        self,
        tasks: Mapping[str, Task[..., Any]],
        settings: Settings,
        events: Events,
        *,
        queues: Sequence[str] | None,
        slots: int | None,
        name: str | None,
        board: Board | None,
        lifespan: Callable[[], AnyContextManager] | None,
        source: Callable[[], msgspec.Struct],
        isolate: bool,
        siblings: int,
    ) -> None:
        tasks = with_http(tasks) if settings.http else tasks
        self.tasks, self.settings, self.events, self.board = tasks, settings, events, board
        self._siblings = siblings
        groups = groups_of(queues, settings.slots if slots is None else slots)
        urls = urls_at_once(groups, settings, slots) if settings.http else 0
        self.groups = with_processes(groups, tasks, slots_of(settings), isolate=isolate, urls=urls)
        self.identity = Identity(
            name=name,
            queues=[pattern for group in groups for pattern in group.queues],
            tasks=sorted(tasks),
            slots=sum(group.size for group in self.groups if group.tasks != ()),
            lost_after=settings.lost_after,
            direct=settings.prepare and settings.listen_url is None,
        )
        self._leases = Leases()
        self._make_means(lifespan, source, isolate=isolate, urls=urls)
        self._make_links()
        self._make_loops()
        self.stopping = Stopping(
            identity=self.identity,
            events=events,
            fetcher=self.fetcher,
            runner=self.runner,
            finisher=self.finisher,
            link=self.looks,
            within=settings.shutdown_after,
        )

    def _make_means(
        self,
        lifespan: Callable[[], AnyContextManager] | None,
        source: Callable[[], msgspec.Struct],
        *,
        isolate: bool,
        urls: int,
    ) -> None:
        self.processes: Processes | None = None
        self.urls = (
            Urls(self.settings, urls, lambda: self.looks.run(store.targets())) if urls else None
        )
        self._in_pool = [group for group in self.groups if group.in_processes]
        self._suspects = self._in_pool[-1] if isolate else None
        if self._in_pool:
            self.processes = Processes(
                self.settings, self.events, source=source, rests=self._rest_pool
            )
        self.commands = Commands(self.settings.commands)
        self._transactions = Transactions(self.settings)
        self._means = Means(
            threads=Threads(),
            processes=self.processes,
            urls=self.urls,
            commands=self.commands,
            transactions=self._transactions,
            extend=self._extend,
            progress=lambda note: self.notes.put(note),  # noqa: PLW0108 - made below
        )
        self.lifespan = Lifespan(lifespan)

    def _make_links(self) -> None:
        def link(what: str, opened: Callable[[Link], Awaitable[None]] | None = None) -> Link:
            return Link(self.settings, f"howdah worker {os.getpid()} {what}", opened)

        self._claims = link("claims", self._state_leases)
        self._finishes = link("finishes")
        self.looks = link("looks", self._hold_lock)
        self._chores = link("chores")  # their own: a slow one must not stop the heart

    def _make_loops(self) -> None:
        settings, events = self.settings, self.events
        self.finisher = Finisher(self._finishes, self._leases, events, self._stored)
        self.runner = Runner(
            tasks=self.tasks,
            groups=self.groups,
            means=self._means,
            finisher=self.finisher,
            events=events,
            has_room=lambda: self.fetcher.has_room(),  # noqa: PLW0108 - made below
            board=self.board,
        )
        self.fetcher = Fetcher(
            link=self._claims,
            identity=self.identity,
            groups=self.groups,
            suspects=self._suspects,
            leases=self._leases,
            patience=Patience("fetcher", events),
            fill=self.runner.fill,
            fell_idle=lambda: self.looker.poke(),  # noqa: PLW0108 - made below
        )
        self.notes = Notes(self._chores.run, Patience("progress", events))
        self.ticker = Ticker(self._chores, Patience("ticker", events), events)
        self.looker = Looker(
            self.looks,
            self.identity,
            settings,
            Patience("looker", events, min(LONGEST_WAIT, (settings.lost_after or 30.0) / 4)),
            obey=self._obey,
            work=self.fetcher.poke,
            floors=self.fetcher.floors,
            turns=self.turns,
            ticks=self.ticker.look,
        )
        self._work_hints, self._order_hints = Hints(self.fetcher.hinted), Hints(self.looker.poke)
        self.listener = Listener(settings, self._heard, self._look_again)

    async def open(self) -> None:
        """Find the app for other processes, enter its lifespan, make room on the board."""
        if self.processes is not None:
            self.processes.find_app()
        if self.urls is not None:
            await self.urls.open()
        self._means.resources = await self.lifespan.open()
        if self.board is not None:
            self.board.make_room(sum(group.size for group in self.groups))

    async def run(self) -> None:
        """All loops together, until one of them breaks or this is cancelled."""
        often = partial(Patience, events=self.events)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.finisher.run(), name="finisher")
            group.create_task(self._fetch(), name="fetcher")
            group.create_task(self.looker.run(), name="looker")
            group.create_task(self.listener.run(), name="listener")
            group.create_task(self.ticker.run(), name="ticker")
            group.create_task(self.notes.run(), name="progress")
            group.create_task(self._restate(), name="leases")
            for names, every in chores.rounds(self.settings.lost_after):
                doing = chores.keep_doing(self._chores, often("chores"), names, every, self.turns)
                group.create_task(doing, name="chores")

    async def close(self) -> None:
        """End what may still be open; with little patience where the store did not answer."""
        within = 0.1 if self.stopping.gave_up else 2.0
        self.runner.end()
        await self._transactions.close(within)
        self.commands.close()
        if self.urls is not None:
            await self.urls.close()
        if self.processes is not None:
            await self.processes.close()
        links = (self._claims, self._finishes, self.looks, self._chores)
        await asyncio.gather(*(link.close(within) for link in links))
        await self.lifespan.close()

    def turns(self) -> float:
        """How many times as seldom it need look around, while it sleeps and would be woken."""
        asleep = self.fetcher.found_nothing.is_set() and not len(self.runner)
        return chores.turns_of(self._siblings) if asleep and self.listener.up.is_set() else 1.0

    async def _fetch(self) -> None:
        try:
            while not self.stopping.asked.is_set():
                try:
                    await self.fetcher.run()
                except WorkerUnknown:
                    self.looker.poke()  # its answer will say so too, and then we are renewed
                    await asyncio.sleep(0.1)
        finally:
            self.stopping.claimed_last.set()

    async def _extend(self, attempt: Attempt, duration: float) -> None:
        await self.looks.run(jobs.extend(attempt.job.id, attempt.job.lease, duration))

    def _rest_pool(self, length: float) -> None:
        """No process can be started for so long: leave its jobs to others."""
        for group in self._in_pool:
            group.rest(length)
        asyncio.get_running_loop().call_later(length, self.fetcher.poke)

    def _stored(self, outcomes: Sequence[Outcome]) -> None:
        self.runner.fill()
        self._work_hints.paid_off(len(outcomes))
        if hooks := {outcome.hooks for outcome in outcomes if outcome.hooks is not None}:
            self.fetcher.keys_ended(hooks)
        if any(outcome.retry_in is not None for outcome in outcomes):
            self.looker.poke()  # it may be due before the next look

    # Being told things

    def _heard(self, payload: str) -> None:
        if self.identity.short in payload[1:]:
            if payload.startswith("w"):
                self._work_hints.heard()
            elif payload.startswith("c"):
                self._order_hints.heard()

    def _look_again(self) -> None:
        """Something may have been missed."""
        self.fetcher.poke()
        self.looker.poke()

    async def _obey(self, control: Control) -> None:
        for job_id in control.cancel or ():
            self.runner.stop(job_id, "cancel")
        if control.action == "swept":
            await self._swept()
        elif control.action in {"drain", "kill", "now"}:
            self.stopping.tell(control.action)

    async def _swept(self) -> None:
        """Our jobs were given to others: drop everything and register under a new id."""
        self.events.emit(WorkerSwept(worker=self.identity.id))
        self.runner.drop_waiting()
        self.runner.stop_all("lost")
        self._leases.forget()
        self.identity.renew()
        await self.looks.close()  # its next opening takes the new identity's lock
        await Patience("looker", self.events).until_done(
            lambda: self.looks.run(self.identity.registration())
        )
        self.fetcher.renewed()

    async def _state_leases(self, link: Link) -> None:
        """After each reconnect: a claim whose answer never arrived is released."""
        await link.run_now(self._leases.statement(self.identity.id))

    async def _restate(self) -> None:
        """And once a minute, as a net."""
        while True:
            await asyncio.sleep(STATE_EVERY)
            await self.fetcher.state()

    async def _hold_lock(self, link: Link) -> None:
        """A lock of this session: gone with it, so that a death shows sooner than by silence."""
        if self.identity.lock_key is not None:
            await link.run_now(session_lock(self.identity.lock_key))
