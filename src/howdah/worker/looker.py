"""Looks around once a second: says that the worker lives, hears what to do, readies what is due."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

from howdah import store, workers
from howdah.call import Call
from howdah.settings import LOST_AFTER, Settings
from howdah.worker.identity import Identity
from howdah.worker.link import Link, Patience
from howdah.workers import Control

FIRST_AGAIN = 0.02  # seconds until what is due and could not be staged is tried again, then twice
ADMITTED = 0  # jobs of queues that are served in shares: those are let in as somebody has room


class Looker:
    """The heartbeat, the poll and the alarm clock of scheduled jobs, in one call.

    `obey` is awaited with each answer; `work` is called when there may be something to claim;
    `floors` says where to look for that, `turns` how many times as seldom it need look; `ticks` is
    told when the next schedule is due.
    """

    def __init__(
        self,
        link: Link,
        identity: Identity,
        settings: Settings,
        patience: Patience,
        *,
        obey: Callable[[Control], Awaitable[None]],
        work: Callable[[], None],
        floors: Callable[[], str],
        turns: Callable[[], float] = lambda: 1.0,
        ticks: Callable[[timedelta | None], None] = lambda _: None,
    ) -> None:
        self._floors, self._turns = floors, turns
        self._link, self._identity, self._patience = link, identity, patience
        self._obey, self._work, self._ticks = obey, work, ticks
        self._longest = (settings.lost_after or LOST_AFTER) / 6
        self._every = min(settings.poll_every, self._longest)
        self._poked = asyncio.Event()
        self._again = FIRST_AGAIN

    def poke(self) -> None:
        """Look now."""
        self._poked.set()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self._poked.clear()
            control = await self._patience.until_done(lambda: self._link.run(self._beat()))
            await self._obey(control)
            self._ticks(control.next_tick_in)
            if control.work:
                self._work()
            await self._rest(control)

    def _beat(self) -> Call[Control]:
        return workers.heartbeat(
            self._identity.id, queues=self._identity.queues, floors=self._floors()
        )

    async def _rest(self, control: Control) -> None:
        """Sleep until the next look; what is due by then is made ready at once, before it."""
        usual = min(self._every * self._turns(), self._longest) * random.uniform(0.9, 1.1)
        if control.next_tick_in:  # at zero the ticker is told, and the next look is not urgent
            usual = min(usual, control.next_tick_in.total_seconds())
        due_in = usual if control.next_due_in is None else control.next_due_in.total_seconds()
        if due_in >= usual:
            await self._sleep(usual)
        elif due_in > 0:
            self._again = FIRST_AGAIN
            await self._sleep(due_in)
            if not self._poked.is_set():
                await self._make_ready()
        elif not await self._make_ready():
            self._again *= 2  # another worker is at it, or somebody holds the row
            await self._sleep(min(usual, self._again))

    async def _make_ready(self) -> bool:
        """Let in what a rate kept waiting, stage what was scheduled; whether any of that was."""
        let_in = await self._ask(store.admit(ADMITTED))
        staged = await self._ask(store.stage())
        if let_in or staged:
            self._work()
        if staged:  # who was let in may be somebody else, and what is due be locked for long
            self._again = FIRST_AGAIN
        return staged > 0

    async def _ask(self, call: Call[int]) -> int:
        return await self._patience.until_done(partial(self._link.run, call))

    async def _sleep(self, length: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(length):  # wait_for may swallow its cancelling
                await self._poked.wait()
