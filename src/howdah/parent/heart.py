"""Keeps children's jobs theirs while they live, and gives them away at once when they do not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from functools import partial
from typing import NoReturn
from uuid import UUID

from howdah import workers
from howdah.events import ChildSilent, Events
from howdah.parent.child import Child, Death
from howdah.parent.policy import heartbeat_every, heartbeat_within, silence_allowed
from howdah.settings import LOST_AFTER
from howdah.worker.link import Link, Patience

ORDERS = {"drain", "kill", "now"}
RESCUE_AGAIN = 0.5  # seconds between two tries while somebody holds one of the rows
DEAF_AFTER = 2.0  # seconds of silence in which an order to stop at once does not arrive


class Heart:
    """Beats for `children`, fences the silent, brings back the jobs of the dead.

    Attributes:
        beaten_at: when the store last answered a heartbeat, monotonic; None: never.
        lost_after: seconds of silence after which the store gives a worker's jobs to others.
    """

    def __init__(self, children: Mapping[int, Child], events: Events) -> None:
        self._children, self._events = children, events
        self._link: Link | None = None
        self._poked = asyncio.Event()
        self._rescues: set[asyncio.Task[None]] = set()
        self.beaten_at: float | None = None
        self.lost_after = LOST_AFTER

    def connect(self, link: Link, lost_after: float | None) -> None:
        """The store is known from now on."""
        self._link, self.lost_after = link, lost_after or self.lost_after

    def poke(self) -> None:
        """Beat now."""
        self._poked.set()

    async def beat(self) -> NoReturn:
        """Keep the children's leases alive while their own loops cannot."""
        while True:
            self._poked.clear()
            if self._link is not None and self._registered():
                told = await self._told(self._link)
                self.beaten_at = time.monotonic()
                for child in [*self._children.values()]:
                    if child.worker is not None and child.worker in told:
                        self._obey(child, told[child.worker])
            with suppress(TimeoutError):  # before 3.12 wait_for may lose a cancelling
                async with asyncio.timeout(heartbeat_every(self.lost_after)):
                    await self._poked.wait()

    async def _told(self, link: Link) -> dict[UUID, workers.Told]:
        def once() -> Awaitable[dict[UUID, workers.Told]]:
            call = workers.heartbeats(self._registered())
            return link.run(call, timeout=heartbeat_within(self.lost_after))

        return await Patience("parent", self._events).until_done(once)

    def _registered(self) -> list[UUID]:
        return [child.worker for child in self._children.values() if child.worker is not None]

    def _obey(self, child: Child, told: workers.Told) -> None:
        if told.lost_after is not None:
            self.lost_after = told.lost_after.total_seconds()
        if told.action == "swept":
            if child.leaving is None:  # others run its jobs: nothing of it may go on
                child.kill()
        elif told.action in ORDERS:  # it hears that too; should it die first, no other
            child.ordered = told.action
            if told.action != "drain" and child.silent > DEAF_AFTER:
                child.kill(blameless=True)

    async def fence(self) -> NoReturn:
        """End a child whose loop has not turned for so long that its jobs would soon be lost."""
        last = time.monotonic()
        while True:
            usual = min(0.25, self.lost_after / 20)
            await asyncio.sleep(usual)
            missed, last = time.monotonic() - last - usual, time.monotonic()
            for child in [*self._children.values()]:
                if missed > usual:  # for so long it was us who did not hear
                    child.heard_at = min(last, child.heard_at + missed)
                if child.worker is not None and not child.fenced:
                    self._look_at(child)

    def _look_at(self, child: Child) -> None:
        if child.silent > silence_allowed(self.lost_after):
            child.fenced, silent = True, child.silent
            child.kill()  # before it is said: whoever reads our stderr may hang too
            self._events.emit(ChildSilent(number=child.number, pid=child.pid, silent=silent))

    def rescue(self, worker: UUID, death: Death) -> None:
        """Bring back the jobs of a dead child, again and again until the store knows it no more."""
        task = asyncio.create_task(self._bring_back(worker, death), name="howdah rescue")
        self._rescues.add(task)
        task.add_done_callback(self._rescues.discard)

    async def _bring_back(self, worker: UUID, death: Death) -> None:
        assert self._link is not None
        rescue = partial(self._link.run, workers.rescue(worker, death.running))
        # Its beat also keeps others from taking what is left for lost, all of it charged.
        beat = partial(self._link.run, workers.heartbeats([worker]))
        patience = Patience("parent", self._events)
        while True:
            await patience.until_done(rescue)
            if (await patience.until_done(beat))[worker].action == "swept":
                return
            await asyncio.sleep(RESCUE_AGAIN)

    async def close(self, within: float) -> None:
        """Let rescues end, then the connection."""
        if self._rescues:
            await asyncio.wait(self._rescues, timeout=within)
        for rescue in self._rescues:
            rescue.cancel()
        if self._link is not None:
            await self._link.close()
