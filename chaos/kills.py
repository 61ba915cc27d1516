"""The two plainest faults: a child is killed, a worker is frozen."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress

from chaos.world import Injected, World, between


class KillChild:
    name, longest, alone = "kill-child", 1.0, False

    async def inject(self, world: World, dose: float) -> Injected:
        """Kill one child; its parent replaces it."""
        began, children = time.monotonic(), world.workers.children()
        killed = 0
        if children:
            with suppress(ProcessLookupError):
                os.kill(world.random.choice(children), signal.SIGKILL)
                killed = 1
        return Injected(
            name=self.name, began=began, healed=time.monotonic(), observed={"killed": killed}
        )


class Freeze:
    name, longest, alone = "freeze-child", 4.0, False

    async def inject(self, world: World, dose: float) -> Injected:
        """Stop a child for a while."""
        began, children = time.monotonic(), world.workers.children()
        frozen = 0
        if children:
            pid = world.random.choice(children)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                frozen = 1
                await asyncio.sleep(between(0.3, 2.5, dose))
                os.kill(pid, signal.SIGCONT)
        return Injected(
            name=self.name, began=began, healed=time.monotonic(), observed={"frozen": frozen}
        )
