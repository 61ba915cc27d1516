"""Bare rows: what this machine can do at best with the jobs' table and nothing around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from howdah.bench.tasks import QUEUE, noop
from howdah.ids import new_ids

One = Callable[[], Awaitable[object]]  # stores one job, or one row


async def make_table(connection: Any, store: str) -> None:
    """A table with the columns, checks and indexes of the jobs'."""
    await connection.execute(
        f"create table {store}.bare (like {store}.job including all) with (fillfactor = 90)"
    )


def insert(connection: Any, store: str) -> One:
    """A row and its commit."""
    return lambda: connection.fetch(_insert(store), *_row())


def insert_and_tell(connection: Any, store: str) -> Callable[[str, str], Awaitable[object]]:
    """The same with a notification; called with the channel and what to say before the row's id."""
    text = f"with stored as ({_insert(store)}) select pg_notify($5, $6)"

    def one(channel: str, said: str) -> Awaitable[object]:
        row = _row()
        return connection.fetch(text, *row, channel, f"{said} {row[0]}")  # type: ignore[no-any-return]

    return one


def take(store: str) -> str:
    """The statement that takes a row by its id, $1, as a claim leaves it."""
    return (
        f"update {store}.bare set state = 'x', lease = gen_random_uuid(), attempt = attempt + 1 "
        "where id = $1"
    )


def _insert(store: str) -> str:
    return (
        f"insert into {store}.bare (seq, created_at, priority, id, state, queue, task, args) "
        f"values (nextval('{store}.seq'), clock_timestamp(), 0, $1, 'r', $2, $3, $4)"
    )


def _row() -> tuple[Any, str, str, str]:
    return new_ids(1)[0], QUEUE, noop.name, '{"n":1}'
