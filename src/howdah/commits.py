"""Watches a statement that commits by itself for the one warning which makes its "done" doubtful.

Where a commit waits for a synchronous standby and the wait is cancelled (by pg_cancel_backend, by
an administrator in a hurry), PostgreSQL says WARNING and then success: the transaction is on the
server's own disk, visible, and gone after a failover. See docs/decisions/0007.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import asyncpg

from howdah.errors import CommitUncertain

WAITING = "SyncRepWaitForLSN"  # the server's function that warns; its name is in no language


async def fetch(
    connection: Any, text: str, values: Sequence[Any], *, timeout: float | None = None
) -> Any:
    """The rows of a statement on a connection of asyncpg; CommitUncertain after that warning."""
    warnings: list[str] = []

    def notice(_: object, message: Any) -> None:
        if getattr(message, "server_source_function", None) == WAITING:
            warnings.append(message.message)

    connection.add_log_listener(notice)
    try:
        rows = await connection.fetch(text, *values, timeout=timeout)
    except Exception as error:
        if warnings:
            raise CommitUncertain(warnings[0]) from error
        raise
    finally:
        with suppress(asyncpg.InterfaceError):  # the pool has taken it back: it was cut
            connection.remove_log_listener(notice)
    if warnings:
        raise CommitUncertain(warnings[0])
    return rows
