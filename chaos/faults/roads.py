"""The network between clients and server: cut, dead, one-way, slow, or losing answers."""

from __future__ import annotations

import asyncio
from collections import Counter

from chaos.faults.kind import Kind
from chaos.proxy import BOTH, Direction, Proxy
from chaos.world import World, between


def road(world: World) -> Proxy:
    """Some road that clients use."""
    names = sorted(name for name in world.proxies if name != "replication")
    return world.proxies[world.random.choice(names)]


class Cut(Kind):
    """Connections are reset, some or all, some times over."""

    name, longest = "cut", 6.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        for _ in range(round(between(1, 5, dose))):
            seen["connections reset"] += await road(world).cut(world.random.uniform(0.2, 1.0))
            await asyncio.sleep(world.random.uniform(0.05, 0.8))


class Blackhole(Kind):
    """Nothing passes, nobody is told; afterwards all that was connected is reset, or goes on."""

    name, longest = "blackhole", 15.0
    directions: tuple[Direction, ...] = BOTH

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        way, directions = road(world), self.chosen(world)
        before = (await way.counts())["accepted"]
        async with way.held(directions, drop=world.random.random() < 0.6) as held:
            seen["connections held"] = held
            await asyncio.sleep(between(0.5, 11.0, dose))
        seen["connections tried"] = (await way.counts())["accepted"] - before

    def chosen(self, world: World) -> tuple[Direction, ...]:
        return BOTH


class OneWay(Blackhole):
    """The same in one direction: requests arrive and answers do not, or the other way round."""

    name = "one-way"

    def chosen(self, world: World) -> tuple[Direction, ...]:
        return (world.random.choice(BOTH),)


class Slow(Kind):
    """All that passes takes 50 to 500 ms, each way."""

    name, longest = "slow", 15.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        way = road(world)
        before = await way.counts()
        low = world.random.uniform(0.05, 0.2)
        try:
            await way.delay(low, low + between(0.0, 0.3, dose))
            await asyncio.sleep(between(2.0, 8.0, dose))
        finally:
            await way.delay(0, 0)
        after = await way.counts()
        seen["kB delayed"] = sum(after[d] - before[d] for d in BOTH) // 1024


class Trickle(Kind):
    """Some kB a second on each connection."""

    name, longest = "trickle", 12.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        way = road(world)
        try:
            seen["connections slowed"] = await way.trickle(between(20_000, 2_000, dose))
            await asyncio.sleep(between(1.0, 6.0, dose))
        finally:
            await way.trickle(0)


class EatAnswers(Kind):
    """Done, and reported as failed: the server's answers are lost and the connection is reset."""

    name, longest = "eat-answers", 8.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        way, many = road(world), round(between(1, 40, dose))
        before = await way.eat(many)
        try:
            for _ in range(50):
                await asyncio.sleep(0.1)
                if (await way.counts())["eaten"] >= before + many:
                    break
        finally:
            seen["answers eaten"] = await way.eat(0) - before
