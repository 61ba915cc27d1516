"""Fires schedules when it is told that one is due."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import NoReturn

from howdah.events import Events, ScheduleFailed
from howdah.firing import fire_due
from howdah.worker.link import Link, Patience


class Ticker:
    """Sleeps until the looker's answer says that a schedule is due, and then fires what is."""

    def __init__(self, link: Link, patience: Patience, events: Events) -> None:
        self._link, self._patience, self._events = link, patience, events
        self._due = asyncio.Event()

    def look(self, next_tick_in: timedelta | None) -> None:
        """A schedule is due in so long; None: not within a day."""
        if next_tick_in is not None and next_tick_in <= timedelta(0):
            self._due.set()

    async def run(self) -> NoReturn:
        """Fire for ever."""
        while True:
            await self._due.wait()
            self._due.clear()
            await self._patience.until_done(lambda: fire_due(self._link.run, self._failed))

    def _failed(self, name: str, error: str) -> None:
        self._events.emit(ScheduleFailed(schedule=name, error=error))
