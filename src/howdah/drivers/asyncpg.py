"""asyncpg, the engine's own driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from howdah import commits
from howdah.call import Row
from howdah.drivers import Driver


async def _run(connection: Any, text: str, values: Sequence[Any]) -> Sequence[Row]:
    if connection.is_in_transaction():  # its commit is the caller's
        rows: Sequence[Row] = await connection.fetch(text, *values)
    else:
        rows = await commits.fetch(connection, text, values)
    return rows


DRIVER = Driver(is_async=True, run=_run)
