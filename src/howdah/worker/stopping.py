"""How a worker stops: claims no more, lets attempts end, hands back the rest, takes its leave."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable

from howdah import workers
from howdah.events import Events, WorkerStopped, WorkerStopping
from howdah.logs import say
from howdah.worker.fetcher import Fetcher
from howdah.worker.finisher import Finisher
from howdah.worker.identity import Identity
from howdah.worker.link import Link, Patience
from howdah.worker.runner import Runner

BEREFT = "the app's lifespan has ended"  # why a worker stops that has lost its resources
LEAVE_WITHIN = 3.0  # seconds for the last word to the store
HURRIED = 1.5  # seconds from the word to hurry until the store is waited for no longer,
AT_LEAST = 0.7  # but so many after the last job has ended


class Stopping:
    """Whether a worker is to stop, and the three steps in which it does.

    `within` is how many seconds its jobs get to end, where nobody says more or less.

    Attributes:
        asked: set once it is to stop.
        asked_here: whether somebody in this process said so.
        claimed_last: set by the worker once no claim is under way any more.
        gave_up: whether it left without the store, which did not answer in time.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        events: Events,
        fetcher: Fetcher,
        runner: Runner,
        finisher: Finisher,
        link: Link,
        within: float,
    ) -> None:
        self._identity, self._events, self._link, self._within = identity, events, link, within
        self._fetcher, self._runner, self._finisher = fetcher, runner, finisher
        self.asked = asyncio.Event()
        self.claimed_last = asyncio.Event()
        self.asked_here = self.gave_up = False
        self._hurried_at: float | None = None
        self._limit: asyncio.Timeout | None = None  # on what the store is waited for now
        self._why, self._ends_at = "stop", math.inf  # when attempts are ended, monotonic
        self._sooner = asyncio.Event()

    def ask(self, why: str, *, hurry: bool) -> None:
        """Somebody here says so; the second time means to hurry."""
        again, self.asked_here = self.asked_here, True
        if hurry or again:
            self._hurry()
        self._begin(why, within=0.0 if hurry or again else self._within)

    def _hurry(self) -> None:
        self._hurried_at = self._hurried_at or time.monotonic()
        if self._limit is not None and (ends_at := self._limit.when()) is not None:
            soon = asyncio.get_running_loop().time() + self._patience(math.inf)
            self._limit.reschedule(min(ends_at, soon))

    def tell(self, word: str) -> None:
        """The store says so, with each heartbeat: drain, kill, or now."""
        within = {"drain": math.inf, "kill": self._within, "now": 0.0}[word]
        self._begin("kill" if word == "now" else word, within=within)

    def _begin(self, why: str, *, within: float) -> None:
        """Claim no more; of all that was said, the soonest end holds."""
        if not self.asked.is_set():
            self._why = why
        self._fetcher.stop()
        self._ends_at = min(self._ends_at, time.monotonic() + within)
        self._sooner.set()
        self.asked.set()

    async def shut_down(self) -> None:
        """Hand back what has not started; let attempts end; cancel and release the rest."""
        self._events.emit(
            WorkerStopping(
                worker=self._identity.id,
                why=self._why,
                running=len(self._runner),
                within=self._left(),
            )
        )
        released = self._runner.close()
        await asyncio.wait({asyncio.ensure_future(self.claimed_last.wait())}, timeout=1)
        released += self._runner.close()  # what a claim under way brought in
        await self._let_end()
        released += self._runner.stop_all("shutdown")
        await self._runner.empty()
        self.gave_up = not await self._leave()
        self._events.emit(
            WorkerStopped(worker=self._identity.id, released=released, has_left=not self.gave_up)
        )

    def _left(self) -> float | None:
        """Seconds until attempts are ended; None for ever."""
        if self._ends_at == math.inf:
            return None
        return max(0.0, self._ends_at - time.monotonic())

    async def _let_end(self) -> None:
        """Until nothing runs, or its time is over, which may be moved forward meanwhile."""
        ended = asyncio.ensure_future(self._runner.empty())
        while not ended.done() and (left := self._left()) != 0:
            self._sooner.clear()
            sooner = asyncio.ensure_future(self._sooner.wait())
            await asyncio.wait({ended, sooner}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            sooner.cancel()
        ended.cancel()

    async def _leave(self) -> bool:
        """Store what there is, as long as there is patience for it, and take the worker out."""
        try:
            await self._in_time(self._finisher.stored(), max(self._within, LEAVE_WITHIN))
            leave = workers.leave(self._identity.id)
            patience = Patience("looker", self._events)
            await self._in_time(patience.until_done(lambda: self._link.run(leave)), LEAVE_WITHIN)
        except Exception:  # the database is away: others will rescue what we could not hand back
            self._say_unstored()
            return False
        return True

    async def _in_time(self, stored: Awaitable[object], within: float) -> None:
        """Wait for the store, no longer than that, nor than somebody who hurries has patience."""
        async with asyncio.timeout(self._patience(within)) as limit:
            self._limit = limit
            try:
                await stored
            finally:
                self._limit = None

    def _patience(self, within: float) -> float:
        if self._hurried_at is None:
            return within
        return min(within, max(AT_LEAST, self._hurried_at + HURRIED - time.monotonic()))

    def _say_unstored(self) -> None:
        n = self._finisher.unstored
        if n:
            say(
                f"the database is away: what came of {n} job{'s' * (n > 1)} could not be stored; "
                "their leases run out, and others take them over",
                logging.WARNING,
                event="outcomes_lost",
                unstored=n,
            )
