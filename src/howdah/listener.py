"""Listens to the schema's channel; what it hears are hints, so a loss costs time and no more."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import asyncpg

from howdah.connect import closed, database_url, open_connection
from howdah.errors import HowdahError
from howdah.settings import Settings

PING_EVERY = 8.0  # seconds: a dead connection is noticed within this and the answer's 3 s
ANSWER_WITHIN = 5.0
LONGEST_WAIT = 5.0
GOODBYE_WITHIN = 0.3  # it has nothing to lose


class Listener:
    """Calls `heard` with each payload, and `gap` whenever some may have been missed.

    Attributes:
        up: whether it hears at the moment.
    """

    def __init__(
        self, settings: Settings, heard: Callable[[str], None], gap: Callable[[], None]
    ) -> None:
        self._settings, self._heard, self._gap = settings, heard, gap
        self.up = asyncio.Event()

    async def run(self) -> None:
        """Listen for ever, connecting again after any loss."""
        wait = 0.1
        while True:
            connection = None
            try:
                connection = await self._connect()
                self.up.set()
                self._gap()
                wait = 0.1
                await self._listen_until_lost(connection)
            except (
                OSError,
                HowdahError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
            ):
                pass
            finally:
                self.up.clear()
                if connection is not None:
                    await closed(connection, GOODBYE_WITHIN)
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(LONGEST_WAIT, wait * 2)

    async def _connect(self) -> Any:
        url = self._settings.listen_url or database_url(self._settings)
        connection = await open_connection(
            self._settings,
            name="howdah listener",
            url=url,
            timeout=ANSWER_WITHIN,
            answer_within=ANSWER_WITHIN,
        )
        try:
            channel = await connection.fetchval(f"select {self._settings.schema}.channel()")
            await connection.add_listener(channel, lambda *event: self._heard(event[3]))
        except BaseException:
            await closed(connection)
            raise
        return connection

    async def _listen_until_lost(self, connection: Any) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda *_: lost.set())
        while not lost.is_set():
            try:
                async with asyncio.timeout(PING_EVERY):  # wait_for may swallow its cancelling
                    await lost.wait()
            except TimeoutError:
                await connection.fetchval("select 1", timeout=3)
