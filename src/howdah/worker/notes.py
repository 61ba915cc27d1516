"""Tells the store how far jobs are: the latest of each, about once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NoReturn
from uuid import UUID

from howdah.call import Call
from howdah.jobs import note_progress
from howdah.rows import Note
from howdah.worker.link import Patience

EVERY = 1.0  # seconds between two tellings
MOST = 1000  # jobs told of at once


class Notes:
    """Takes what tasks say, from any thread, and keeps the latest of each attempt."""

    def __init__(
        self, run: Callable[[Call[Any]], Awaitable[Any]], patience: Patience | None = None
    ) -> None:
        self._run, self._patience = run, patience
        self._loop = asyncio.get_running_loop() if patience is None else None
        self._latest: dict[UUID, Note] = {}
        self._something = asyncio.Event()

    def put(self, note: Note) -> None:
        """Have it told soon."""
        is_new = note.id not in self._latest
        self._latest[note.id] = note
        if is_new and self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended, and the worker with it
                self._loop.call_soon_threadsafe(self._something.set)

    async def run(self) -> NoReturn:
        """Tell for ever."""
        self._loop = asyncio.get_running_loop()
        while True:
            await self._something.wait()
            self._something.clear()
            while self._latest:
                latest = [self._latest.pop(each) for each in [*self._latest][:MOST]]
                await self._tell(latest)
                await asyncio.sleep(EVERY)

    async def _tell(self, notes: list[Note]) -> None:
        call = note_progress(notes)
        if self._patience is None:
            await self._run(call)
        else:
            await self._patience.until_done(lambda: self._run(call))
