"""Hints that there may be work: anybody may notify, so those that nothing comes of are rationed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

BURST = 10.0  # hints that are followed at once
PER_SECOND = 10.0  # and as many more as time goes by


class Hints:
    """Calls `follow` for what is heard: at once while jobs come of it, else ten times a second.

    What is heard too often is followed once, a little later: no hint is lost.
    """

    def __init__(self, follow: Callable[[], None]) -> None:
        self._follow, self._left, self._at = follow, BURST, time.monotonic()
        self._later: asyncio.TimerHandle | None = None

    def heard(self) -> None:
        """There is a hint."""
        now = time.monotonic()
        self._left, self._at = min(BURST, self._left + (now - self._at) * PER_SECOND), now
        if self._left >= 1:
            self._left -= 1
            self._follow()
        elif self._later is None:
            wait = (1 - self._left) / PER_SECOND
            self._later = asyncio.get_running_loop().call_later(wait, self._follow_late)

    def paid_off(self, jobs: int) -> None:
        """So many jobs have come of them."""
        self._left = min(BURST, self._left + jobs)

    def _follow_late(self) -> None:
        self._later = None
        self.heard()
