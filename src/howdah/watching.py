"""Watching a queue: ids and states of its jobs as they change, by notification."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from howdah import queues
from howdah.connect import check_version, closed, database_url, open_connection
from howdah.errors import DatabaseError
from howdah.refusals import translated
from howdah.settings import Settings

AGAIN_EVERY = 20.0  # seconds: a third of what one call of howdah.watch lasts
GIVE_UP_AFTER = 5.0  # seconds between two tries: no more of them if there was no change yet
LONGEST_WAIT = 10.0  # seconds between two tries after that


class Change(msgspec.Struct, frozen=True):
    """A job, and the state in which it is now."""

    id: UUID
    state: str


async def watch(settings: Settings, queue: str) -> AsyncGenerator[Change, None]:
    """Changes for ever. Errors of the database are waited out, but until the first change not for
    ever: then the last one is raised.
    """
    wait = 0.1
    is_first = True
    while True:
        try:
            async for change in _watch_once(settings, queue):
                wait = 0.1
                is_first = False
                yield change
        except (OSError, DatabaseError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if is_first and wait > GIVE_UP_AFTER:
                raise
        await asyncio.sleep(wait)
        wait = min(LONGEST_WAIT, wait * 2)


async def _watch_once(settings: Settings, queue: str) -> AsyncGenerator[Change, None]:
    url = settings.listen_url or database_url(settings)
    connection = await open_connection(settings, name="howdah watch", url=url)
    try:
        await check_version(connection, settings.schema)
        heard: asyncio.Queue[str | None] = asyncio.Queue()
        connection.add_termination_listener(lambda *_: heard.put_nowait(None))
        channel = await _ask(connection, settings, queue)
        await connection.add_listener(channel, lambda *event: heard.put_nowait(event[3]))
        while True:
            payload: str | None = ""
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_EVERY):
                    payload = await heard.get()
            if payload is None:
                return
            for change in changes_of(payload):
                yield change
            if not payload:
                await _ask(connection, settings, queue)
    finally:
        await closed(connection)


async def _ask(connection: Any, settings: Settings, queue: str) -> str:
    call = queues.watch(queue)
    try:
        return call.read(await connection.fetch(call.render(settings.schema), *call.values))
    except asyncpg.PostgresError as error:
        raise translated(error) or error from error


def changes_of(payload: str) -> list[Change]:
    """What a payload says; nothing where it is none of ours, for anybody may notify."""
    state, _, ids = payload.partition(" ")
    try:
        return [Change(UUID(text), state) for text in ids.split(",")] if ids else []
    except ValueError:
        return []
