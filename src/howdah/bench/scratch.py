"""A schema of one's own, installed for a benchmark and dropped at its end, however it ends."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg

from howdah.connect import closed, open_connection
from howdah.errors import HowdahError
from howdah.migrate import migrate
from howdah.settings import Settings

PREFIX = "howdah_bench_"
LONGEST_DROP = 600.0  # seconds: millions of jobs may lie in it
_LOCK = "select pg_try_advisory_lock(hashtext('howdah bench'), hashtext($1))"
_UNLOCK = "select pg_advisory_unlock(hashtext('howdah bench'), hashtext($1))"


@asynccontextmanager
async def scratch(settings: Settings) -> AsyncIterator[Settings]:
    """The settings with a new schema, which is dropped with the block.

    Drops what a benchmark has left that was killed: a schema is in use while its lock is held.
    """
    schema = PREFIX + os.urandom(4).hex()
    keeper = await open_connection(settings, name="howdah bench keeper")
    try:
        if settings.prepare:  # behind a pooler a session's locks say nothing
            await _sweep(keeper)
        await keeper.fetchval(_LOCK, schema)
        try:
            await migrate(keeper, schema)
            yield replace(settings, schema=schema)
        finally:
            await _drop(settings, schema)
    finally:
        await closed(keeper)


async def leftovers(connection: Any) -> list[str]:
    """The scratch schemas that are there."""
    rows = await connection.fetch(
        "select substr(nspname, 2) from pg_namespace where nspname ~ $1 order by 1",
        f"^_{PREFIX}[0-9a-f]{{8}}$",
    )
    return [row[0] for row in rows]


async def _sweep(connection: Any) -> None:
    for schema in await leftovers(connection):
        if await connection.fetchval(_LOCK, schema):
            await connection.execute(_drops(schema), timeout=LONGEST_DROP)
            await connection.fetchval(_UNLOCK, schema)


async def _drop(settings: Settings, schema: str) -> None:
    """On a connection of its own: the keeper's may have been interrupted."""
    try:
        connection = await open_connection(settings, name="howdah bench drop")
        try:
            await connection.execute(_drops(schema), timeout=LONGEST_DROP)
        finally:
            await closed(connection)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, HowdahError) as error:
        raise HowdahError(
            f"the scratch schema {schema} could not be dropped: {error}",
            hint="The next howdah bench drops it; or do it yourself: " + _drops(schema),
        ) from error


def _drops(schema: str) -> str:
    return (
        "set client_min_messages = warning; "
        f"drop schema if exists {schema} cascade; drop schema if exists _{schema} cascade"
    )
