"""Watches a statement that commits by itself for the one warning which makes its "done" doubtful.

Where a commit waits for a synchronous standby and the wait is cancelled (by pg_cancel_backend, by
an administrator in a hurry), PostgreSQL says WARNING and then success: the transaction is on the
server's own disk, visible, and gone after a failover. See docs/decisions/0007.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
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


@contextmanager
def watched(connection: Any) -> Iterator[None]:
    """The same of what is run inside the block on a connection of psycopg, of either colour.

    Only where its statements commit by themselves: in a transaction the commit is the caller's.
    """
    if not _commits_by_itself(connection):
        yield
        return
    warnings: list[str] = []

    def notice(said: Any) -> None:
        if said.source_function == WAITING:
            warnings.append(said.message_primary or "")

    connection.add_notice_handler(notice)
    try:
        yield
    except Exception as error:
        if warnings:
            raise CommitUncertain(warnings[0]) from error
        raise
    finally:
        connection.remove_notice_handler(notice)
    if warnings:
        raise CommitUncertain(warnings[0])


def _commits_by_itself(connection: Any) -> bool:
    """Whether no transaction is open, and none is opened by a statement."""
    return bool(connection.autocommit) and connection.info.transaction_status.name == "IDLE"
