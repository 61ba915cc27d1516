"""Carries a plan out: several faults at a time, but those that need it, alone."""

from __future__ import annotations

import asyncio
import math
import time
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from random import Random

from chaos.plan import Plan, Step
from chaos.world import Fault, Injected, NotHere, World

SPARE = 10.0  # seconds beyond what a fault says it takes
ANSWERS = 30.0  # seconds in which the server is back after whatever was done to it
FOR_ROOM = 8.0  # seconds for which a fault that is to be alone keeps others waiting
TRIES, AGAIN = 3, 0.5  # seconds between two of them


class ServerGone(Exception):
    """The harness has lost its server: the run is worth nothing."""


class Room:
    """Many may be in at once, or one that is alone; who wants to be alone is not kept waiting."""

    def __init__(self) -> None:
        self._inside, self._waiting = 0, 0
        self._change = asyncio.Condition()

    @asynccontextmanager
    async def entered(self, *, alone: bool) -> AsyncIterator[None]:
        """Be in for the length of a block; TimeoutError if others do not leave it alone in time."""
        async with self._change:
            if alone:
                self._waiting += 1
                try:
                    async with asyncio.timeout(FOR_ROOM):
                        await self._change.wait_for(lambda: self._inside == 0)
                finally:
                    self._waiting -= 1
                    self._change.notify_all()
            else:
                await self._change.wait_for(lambda: self._inside >= 0 and not self._waiting)
            self._inside = -1 if alone else self._inside + 1
        try:
            yield
        finally:
            async with self._change:
                self._inside = 0 if alone else self._inside - 1
                self._change.notify_all()


class Nemesis:
    """Injects the faults of a plan until it is told that the time is over."""

    def __init__(
        self,
        world: World,
        plan: Plan,
        faults: Mapping[str, Fault],
        note: Callable[..., None],
        *,
        storm: float = math.inf,
        calm: float = 0.0,
    ) -> None:
        self.world, self.plan, self.faults, self.note = world, plan, faults, note
        self.real, self.begun = 0, 0
        self._room, self._began = Room(), 0.0
        self._storm, self._calm = storm, calm

    async def run(self, until: Callable[[], bool]) -> None:
        """All lanes, to their ends; a fault that has begun is healed before this returns."""
        self._began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for lane in {step.lane for step in self.plan.steps}:
                group.create_task(self._lane(self.plan.lane(lane), until))

    async def _lane(self, steps: list[Step], until: Callable[[], bool]) -> None:
        for step in steps:
            await asyncio.sleep(max(0.0, self._began + step.at - time.monotonic()))
            await asyncio.sleep(self._calm_left())
            fault = self.faults.get(step.fault)
            if fault is None:
                self.note("fault", name=step.fault, number=step.number, absent="unknown here")
                continue
            with suppress(TimeoutError):  # else its turn is over
                async with self._room.entered(alone=fault.alone):
                    if not until():
                        await self._see_to_the_server()
                        await self._inject(step, fault)
            if until():
                return

    async def _see_to_the_server(self) -> None:
        """What is done to a database that nobody has started again is no fault."""
        if not await self.world.server.answers(ANSWERS):
            raise ServerGone(f"the server has not answered for {ANSWERS:g} s, and no fault has it")

    def _calm_left(self) -> float:
        """Seconds until the next storm begins; 0 in the midst of one."""
        into = (time.monotonic() - self._began) % (self._storm + self._calm)
        return 0.0 if into < self._storm else self._storm + self._calm - into

    async def _inject(self, step: Step, fault: Fault) -> None:
        world = replace(self.world, random=Random(step.seed))
        began = time.monotonic()
        about = {"name": step.fault, "number": step.number, "dose": step.dose}
        self.begun += 1
        try:
            injected = await self._effective(world, step, fault)
        except NotHere as error:
            self.note("fault", **about, absent=str(error))
            self.begun -= 1
            return
        except Exception as error:
            self.note(
                "fault", **about, began=began, healed=time.monotonic(), observed={},
                error=f"{type(error).__name__}: {error}"[:300],
                where=traceback.format_exc(limit=-3),
            )  # fmt: skip
            return
        finally:
            self.world.server = world.server
        self.real += injected.had_effect
        self.note(
            "fault", **about, began=injected.began, healed=injected.healed,
            observed=injected.observed,
        )  # fmt: skip

    async def _effective(self, world: World, step: Step, fault: Fault) -> Injected:
        """What came of it; tried again, a few times, while it meets nothing that it could harm."""
        for left in reversed(range(TRIES)):
            async with asyncio.timeout(fault.longest + SPARE):
                injected = await fault.inject(world, step.dose)
            if injected.had_effect or not left:
                break
            await asyncio.sleep(AGAIN)
        return injected
