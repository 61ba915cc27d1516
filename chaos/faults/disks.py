"""The disk is full."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from chaos.faults.kind import Kind
from chaos.world import NotHere, World, between


class FullDisk(Kind):
    """All tables are on a disk without room: whatever needs a new page is refused (53100)."""

    name, longest = "full-disk", 30.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        disk = world.server.disk
        if disk is None:
            raise NotHere("the run's database is not on a disk that can be filled (chaos.disk)")
        before = world.server.told()["full_disk"]
        try:
            disk.fill()
            refused = time.monotonic() + 10.0  # pages with room in them last for a while
            while time.monotonic() < refused and world.server.told()["full_disk"] == before:
                await asyncio.sleep(0.2)
            await asyncio.sleep(between(1.0, 8.0, dose))
        finally:
            disk.make_room()
        seen["statements refused"] = world.server.told()["full_disk"] - before
