"""The pooler dies, pauses, or opens its connections anew."""

from __future__ import annotations

import asyncio
from collections import Counter

from chaos.faults.kind import Kind
from chaos.pooler import Pooler
from chaos.world import NotHere, World, between


def pooler_of(world: World) -> Pooler:
    """The pooler of the run."""
    if world.pooler is None:
        raise NotHere("no pooler in this run")
    return world.pooler


class PoolerKilled(Kind):
    """SIGKILL to the pooler, and after a while another in its place."""

    name, longest = "pooler-killed", 15.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        pooler = pooler_of(world)
        seen["clients lost"] = await pooler.clients()
        await pooler.kill()
        await asyncio.sleep(between(0.0, 3.0, dose))
        await pooler.start()


class PoolerPaused(Kind):
    """PAUSE, some seconds in which nobody is served, RESUME."""

    name, longest = "pooler-paused", 25.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        pooler = pooler_of(world)
        seen["clients that waited"] = await pooler.clients()
        pausing = asyncio.create_task(pooler.ask("pause"))  # it waits for statements to end
        try:
            await asyncio.sleep(between(0.5, 6.0, dose))
        finally:
            pausing.cancel()
            await pooler.ask("resume")


class PoolerReconnects(Kind):
    """RECONNECT: each server connection is closed once it is not in use."""

    name, longest = "pooler-reconnects", 5.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        pooler = pooler_of(world)
        for _ in range(round(between(1, 5, dose))):
            await pooler.ask("reconnect")
            seen["reconnects"] += 1
            await asyncio.sleep(0.2)
