"""A client's connections: one pool for an event loop, and one connection kept at hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from copy import copy
from typing import Any

import asyncpg

from howdah import commits

SPARE_FOR = 1.0  # seconds after its use for which a connection is kept out of the pool
GOODBYE_WITHIN = 2.0  # seconds for what is under way when a client is closed
MOVE_ON_EVERY = 0.5  # seconds: connections are not thrown away more often than that


class Pool:
    """One event loop's pool: the first who asks opens it, and all others wait for that.

    Whoever asks again and again is spared the way through the pool, a third of what a call costs
    here: one connection is kept at hand for a moment after its use, unless somebody waits for it.
    """

    def __init__(self, new_pool: Callable[[], Awaitable[Any]], *, answer_within: float) -> None:
        self._new_pool, self._answer_within = new_pool, answer_within
        self._opening = asyncio.Lock()
        self._refusals = 0
        self._refusal: Exception | None = None  # the last
        self._pool: Any = None
        self._keeper: AsyncGenerator[None, None] | None = None
        self._moved = -MOVE_ON_EVERY
        self._spare: Any = None
        self._used_at = 0.0  # when it was last put aside
        self._sweep: asyncio.TimerHandle | None = None
        self._putting_back: asyncio.Task[None] | None = None
        self._waiting = 0  # for a connection

    async def opened(self) -> Any:
        """The pool of asyncpg; raises what opening it was refused with."""
        if self._pool is None:
            before = self._refusals
            async with self._opening:
                if self._pool is None:
                    if self._refusal is not None and self._refusals != before:
                        raise copy(self._refusal) from self._refusal.__cause__
                    await self._open()
        return self._pool

    async def _open(self) -> None:
        """Whoever waits meanwhile is refused with it, instead of trying all over again."""
        try:
            pool = await self._new_pool()
        except Exception as error:
            self._refusals, self._refusal = self._refusals + 1, error
            raise
        self._refusal = None
        self._keeper = self._open_until_the_loop_ends(pool)
        await anext(self._keeper)
        self._pool = pool

    async def fetch(self, text: str, values: Sequence[Any]) -> Any:
        """Rows, within `answer_within` seconds from now, a free connection included."""
        pool = await self.opened()
        until = time.monotonic() + self._answer_within
        connection = await self._taken(pool)
        try:
            left = max(0.1, until - time.monotonic())
            rows = await commits.fetch(connection, text, values, timeout=left)
        except BaseException:
            await _put_back(pool, connection)
            raise
        if self._spare is not None or self._waiting or pool is not self._pool:
            await _put_back(pool, connection)
        else:
            self._spare, self._used_at = connection, time.monotonic()
            if self._sweep is None:
                self._sweep_in(SPARE_FOR, pool)
        return rows

    async def _taken(self, pool: Any) -> Any:
        connection, self._spare = self._spare, None
        if connection is not None:
            with suppress(asyncpg.InterfaceError):  # the pool has taken it back: it was cut
                if not connection.is_closed():
                    return connection
            await _put_back(pool, connection)
        self._waiting += 1
        try:
            return await pool.acquire(timeout=self._answer_within)
        finally:
            self._waiting -= 1

    def _sweep_in(self, seconds: float, pool: Any) -> None:
        self._sweep = asyncio.get_running_loop().call_later(seconds, self._swept, pool)

    def _swept(self, pool: Any) -> None:
        """Put the spare connection back, if nobody has used it for a moment."""
        left = self._used_at + SPARE_FOR - time.monotonic()
        if left > 0:
            self._sweep_in(left, pool)
        else:
            self._sweep = None
            self._putting_back = asyncio.create_task(self._put_spare_back(pool))

    async def _put_spare_back(self, pool: Any) -> None:
        connection, self._spare = self._spare, None
        if connection is not None:
            await _put_back(pool, connection)

    async def move_on(self) -> None:
        """This server takes no writes: the next calls look for one that does, all over again."""
        now = time.monotonic()
        if self._pool is not None and now > self._moved + MOVE_ON_EVERY:
            self._moved = now
            await self._pool.expire_connections()
            await self._put_spare_back(self._pool)

    async def close(self) -> None:
        """Close it; the next use opens another."""
        keeper, self._keeper, self._pool = self._keeper, None, None
        if keeper is not None:
            await keeper.aclose()

    async def _open_until_the_loop_ends(self, pool: Any) -> AsyncGenerator[None, None]:
        """Closes the pool when closed itself, which asyncio.run does to all open generators."""
        try:
            yield
        finally:
            if self._sweep is not None:
                self._sweep.cancel()
                self._sweep = None
            try:
                await self._put_spare_back(pool)
                await asyncio.wait_for(pool.close(), GOODBYE_WITHIN)
            except TimeoutError:
                pool.terminate()


async def _put_back(pool: Any, connection: Any) -> None:
    with suppress(TimeoutError):  # what was cancelled gets a moment to end, or is cut
        await pool.release(connection, timeout=2)
