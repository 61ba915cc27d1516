"""A thread that sees what the event loop cannot: that a task blocks it."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

LOOK_EVERY = 0.1  # seconds
BLOCKED_AFTER = 0.3  # seconds without a turn of the loop, while attempts run


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A loop that has not turned for a while: for how long, in what, and where in its code."""

    seconds: float
    handle: asyncio.Task[object] | None
    where: str | None


class Watchdog:
    """Looks every tenth of a second while attempts run; sleeps while none does.

    `turned_at` says when the loop last turned (monotonic), or None while nothing runs. `blocked` is
    called in this thread, once for each block; `look` each time, whatever the loop does.
    """

    def __init__(
        self,
        turned_at: Callable[[], float | None],
        blocked: Callable[[Block], None],
        look: Callable[[], None],
    ) -> None:
        self._turned_at, self._blocked, self._look = turned_at, blocked, look
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._reported_at: float | None = None
        self._awake, self._ended = threading.Event(), threading.Event()

    def start(self) -> None:
        """Watch the running loop."""
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        threading.Thread(target=self._watch, name="howdah watchdog", daemon=True).start()

    def wake(self) -> None:
        """Something runs now."""
        self._awake.set()

    def stop(self) -> None:
        """Watch no more."""
        self._ended.set()
        self._awake.set()

    def _watch(self) -> None:
        while not self._ended.is_set():
            self._awake.wait()
            turned_at = self._turned_at()
            if turned_at is None:
                self._awake.clear()
                if self._turned_at() is not None:  # something began between the two looks
                    self._awake.set()
                continue
            self._look_at_loop(turned_at)
            self._look()
            self._ended.wait(LOOK_EVERY)

    def _look_at_loop(self, turned_at: float) -> None:
        silent = time.monotonic() - turned_at
        if silent < BLOCKED_AFTER or turned_at == self._reported_at:
            return
        self._reported_at = turned_at
        handle = asyncio.current_task(self._loop)
        where = _place(sys._current_frames().get(self._loop_thread))
        self._blocked(Block(seconds=silent, handle=handle, where=where))


def _place(frame: FrameType | None) -> str | None:
    return None if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
