"""What belongs to an event loop: one of it for each that is alive, in whatever thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Makes one T for each event loop that asks. That of a closed loop is dropped, not closed."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[asyncio.AbstractEventLoop, T] = {}  # no weak keys: what is made holds them
        self._guard = threading.Lock()

    def here(self) -> T:
        """The one of the running loop."""
        loop = asyncio.get_running_loop()
        with self._guard:
            if loop not in self._made:
                for ended in [each for each in self._made if each.is_closed()]:
                    del self._made[ended]
                self._made[loop] = self._make()
            return self._made[loop]
