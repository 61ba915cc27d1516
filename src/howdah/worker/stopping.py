"""How a worker stops: claims no more, lets attempts end, hands back the rest, takes its leave."""

from __future__ import annotations

import asyncio
import math
import time

from howdah import workers
from howdah.events import Events, WorkerStopped, WorkerStopping
from howdah.worker.fetcher import Fetcher
from howdah.worker.finisher import Finisher
from howdah.worker.identity import Identity
from howdah.worker.link import Link, Patience
from howdah.worker.runner import Runner

LEAVE_WITHIN = 3.0  # seconds for the last word to the store


class Stopping:
    """Whether a worker is to stop, and the three steps in which it does.

    `within` is how many seconds its jobs get to end, where nobody says more or less.

    Attributes:
        asked: set once it is to stop.
        asked_here: whether somebody in this process said so.
        claimed_last: set by the worker once no claim is under way any more.
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
        self.asked_here = False
        self._why, self._ends_at = "stop", math.inf  # when attempts are ended, monotonic
        self._sooner = asyncio.Event()

    def ask(self, why: str, *, hurry: bool) -> None:
        """Somebody here says so; the second time means to hurry."""
        again, self.asked_here = self.asked_here, True
        self._begin(why, within=0.0 if hurry or again else self._within)

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
        has_left = await self._leave()
        self._events.emit(
            WorkerStopped(worker=self._identity.id, released=released, has_left=has_left)
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
            async with asyncio.timeout(max(self._within, LEAVE_WITHIN)):
                await self._finisher.stored()
            async with asyncio.timeout(LEAVE_WITHIN):
                await Patience("looker", self._events).until_done(
                    lambda: self._link.run(workers.leave(self._identity.id))
                )
        except Exception:  # the database is away: others will rescue what we could not hand back
            return False
        return True
