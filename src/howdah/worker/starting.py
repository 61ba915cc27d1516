"""The start of a worker: waits for a server that is there and cannot let it in yet; says so."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from howdah.durations import written
from howdah.events import DatabaseLost, Events
from howdah.logs import say
from howdah.refusals import in_words, is_transient
from howdah.worker.link import Patience

T = TypeVar("T")
LOOP = "start"  # what its events call it
SAID_AGAIN = 5.0  # seconds between two lines


class Starting:
    """Does what a start takes, again and again while that is refused for a while only.

    It says so itself: whoever runs a worker inside a program may have no reporter. `is_over` says
    when to wait no more.
    """

    def __init__(self, events: Events, is_over: Callable[[], bool] = lambda: False) -> None:
        self._is_over = is_over
        self._patience = Patience(LOOP, events, waits_for=self._waits_for, told=self._say)
        self._began: float | None = None
        self._said_at = 0.0

    async def until_done(self, do: Callable[[], Awaitable[T]]) -> T:
        """The result of `do`; raises what waiting does not mend."""
        return await self._patience.until_done(do)

    def _waits_for(self, error: BaseException) -> bool:
        return is_transient(error) and not self._is_over()

    def _say(self, event: DatabaseLost) -> None:
        now = time.monotonic()
        self._began = self._began or now
        if self._said_at and now < self._said_at + SAID_AGAIN:
            return
        waited = now - self._began
        so_far = f"waiting for {written(waited)} so far, " if waited else ""
        self._said_at, why = now, in_words(event.error)
        say(
            f"the database does not let us in yet ({why}): {so_far}"
            f"next try in {written(event.again_in)}",
            logging.WARNING,
            event="database_refuses",
            error=why,
            waited=round(waited, 3),
            again_in=round(event.again_in, 3),
        )
