"""Workers whose clocks are wrong, and step while they work."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from chaos.faults.kind import PEACE, Kind
from chaos.world import NotHere, World, between

SLEEPS = Path(__file__).parent.parent / "faked"  # a sitecustomize: see there
LIBRARIES = "/usr/lib/*/faketime/libfaketime.so.1"
HOUR = 3600


def environment(steps: Path) -> Mapping[str, str]:
    """What makes a process take its wall clock from a file, such as "+3600s", read anew each time.

    Its monotonic clock stays: it is what the logs of a run are ordered by.
    """
    library = next(Path("/").glob(LIBRARIES.lstrip("/")), None)
    if library is None:
        raise NotHere("faketime is not installed: apt-get install -y faketime")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(steps),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": str(SLEEPS),
    }


class ClockSteps(Kind):
    """A worker more, an hour ahead or behind, whose clock steps back 10 minutes while it works."""

    name, longest = "clock-steps", 45.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        file, name = tempfile.mkstemp(prefix="chaos-clock-")
        os.close(file)
        steps = Path(name)
        try:
            await self._work(world, dose, seen, steps)
        finally:
            steps.unlink()

    async def _work(self, world: World, dose: float, seen: Counter[str], steps: Path) -> None:
        offset = world.random.choice([-HOUR, HOUR])
        faked = environment(steps)
        steps.write_text(f"{offset:+d}s")
        [parent] = await world.workers.start(1, faked)
        for _ in range(3):
            await asyncio.sleep(between(1.5, 4.0, dose))
            offset += world.random.choice([-600, -600, 90, 7200])
            steps.write_text(f"{offset:+d}s")
            seen["clock steps"] += 1
        with suppress(ProcessLookupError):
            os.kill(parent, signal.SIGTERM)
        status = await world.workers.gone(parent, 25.0)
        seen["worker ended in peace" if status in PEACE else "worker ended badly"] += 1
