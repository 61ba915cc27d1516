"""How a worker stops: claims no more, lets attempts end, hands back the rest, takes its leave."""

from __future__ import annotations

import asyncio

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

    Attributes:
        asked: set once it is to stop.
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
        self._hurry = asyncio.Event()
        self._why, self._again = "stop", False

    def ask(self, why: str, *, hurry: bool) -> None:
        """Somebody here says so; the second time means to hurry."""
        again, self._again = self._again, True
        self.begin(why, hurry=hurry or again)

    def begin(self, why: str, *, hurry: bool) -> None:
        """Claim no more; with `hurry` let nothing end either."""
        if not self.asked.is_set():
            self._why = why
        self._fetcher.stop()
        self.asked.set()
        if hurry:
            self._hurry.set()

    async def shut_down(self) -> None:
        """Hand back what has not started; let attempts end; cancel and release the rest."""
        self._events.emit(
            WorkerStopping(worker=self._identity.id, why=self._why, running=len(self._runner))
        )
        released = self._runner.close()
        await asyncio.wait({asyncio.ensure_future(self.claimed_last.wait())}, timeout=1)
        released += self._runner.close()  # what a claim under way brought in
        ended = asyncio.ensure_future(self._runner.empty())
        hurry = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait(
            {ended, hurry}, timeout=self._within, return_when=asyncio.FIRST_COMPLETED
        )
        hurry.cancel()
        released += self._runner.stop_all("shutdown")
        await ended
        await self._leave()
        self._events.emit(WorkerStopped(worker=self._identity.id, released=released))

    async def _leave(self) -> None:
        """Store what there is, as long as there is patience for it, and take the worker out."""
        try:
            async with asyncio.timeout(self._within):
                await self._finisher.stored()
            async with asyncio.timeout(LEAVE_WITHIN):
                await Patience("looker", self._events).until_done(
                    lambda: self._link.run(workers.leave(self._identity.id))
                )
        except Exception:  # the database is away: others will rescue what we could not hand back
            return
