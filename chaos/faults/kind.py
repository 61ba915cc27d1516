"""What most faults have in common: do harm, count what is seen of it, say when it was healed."""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from collections import Counter

from chaos.world import Injected, World

PEACE = (
    0,
    -signal.SIGTERM,
    -signal.SIGKILL,
)  # how a worker ends that is told to; or that had hardly begun; or that another fault kills


class Kind(ABC):
    """A fault whose `harm` does it, heals it, and counts into `seen`."""

    name: str
    longest: float
    alone = False

    async def inject(self, world: World, dose: float) -> Injected:
        """Do the harm, heal it, and say what was seen."""
        began, seen = time.monotonic(), Counter[str]()
        await self.harm(world, dose, seen)
        return Injected(name=self.name, began=began, healed=time.monotonic(), observed=dict(seen))

    @abstractmethod
    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        """Do it and heal it, in at most `longest` seconds."""
