"""A standby takes over, and the old primary comes back as if nothing had happened."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from pathlib import Path

from chaos.faults.kind import Kind
from chaos.proxy import Proxy
from chaos.server import Server
from chaos.world import World, between

SYNC = "synchronous_standby_names"


class Promotion(Kind):
    """All roads lead to a standby, for which commits have waited, once its primary is killed.

    The old primary returns on a socket of its own, where nobody asks it any more, and is removed.
    """

    name, longest, alone = "promotion", 90.0, True

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        old = world.server
        link = Proxy(old.socket)
        try:
            standby = await follow(old, link)
            await asyncio.sleep(between(0.5, 3.0, dose))
            seen["kB replicated"] = (await link.counts())["to_client"] // 1024
            promoted = await take_over(world, old, standby, link)
        finally:
            link.close()
        await old.start()
        seen["zombie answered"] = await old.one("select count(*) from howdah.queues") >= 0
        world.note("zombie", pid=old.pid)
        await asyncio.sleep(between(0.5, 3.0, dose))
        standby.inherit(old.log)
        await old.remove()
        seen["promoted"] = 1
        world.note("promoted", at=promoted, folder=standby.folder.name)


async def follow(primary: Server, link: Proxy, *, sync: bool = True) -> Server:
    """A standby of it that streams over a link; with `sync` commits wait for it."""
    folder = _beside(primary.folder)
    standby = await primary.standby(folder, link)
    if sync:
        await primary.set(SYNC, "'standby'")
    until = time.monotonic() + 20.0
    while not await primary.streams(sync=sync):
        if time.monotonic() > until:
            await primary.set(SYNC, None)
            await standby.remove()
            raise TimeoutError("the standby does not stream")
        await asyncio.sleep(0.05)
    return standby


async def take_over(world: World, old: Server, standby: Server, link: Proxy) -> float:
    """Cut the link, kill the old primary, promote, lead all roads there; when writes were taken."""
    await link.refuse(True)
    await link.cut()
    await old.end(signal.SIGKILL)
    promoted = await standby.promote()
    world.server = standby
    for name, road in world.proxies.items():
        if name != "replication":
            await road.lead_to(standby.socket)
            await road.cut()
    if world.pooler is not None:
        await world.pooler.lead_to(standby)
    return promoted


def _beside(folder: Path) -> Path:
    """The name of the next server's folder."""
    stem, _, n = folder.name.partition("-")
    return folder.with_name(f"{stem}-{int(n or 1) + 1}")
