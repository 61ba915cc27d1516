"""Migrating while others use the database: in short turns, and with an end to patience."""

from __future__ import annotations

import asyncio
import os

import asyncpg
import psycopg
import pytest

from howdah import migrate
from howdah.errors import Conflict


@pytest.fixture
async def connection(dsn):
    opened = await asyncpg.connect(dsn)
    yield opened
    await opened.close()


async def test_two_grants_at_once_are_both_granted(connection, dsn):
    roles = [f"role_{os.urandom(4).hex()}" for _ in range(2)]
    for role in roles:
        await connection.execute(f"create role {role}")
    other = await asyncpg.connect(dsn)

    granting = [
        migrate.grant(each, "howdah", role, "producer")
        for each, role in zip((connection, other), roles, strict=True)
    ]
    ended = await asyncio.gather(*granting, return_exceptions=True)
    await other.close()
    for role in roles:
        await connection.execute(f"drop owned by {role}; drop role {role}")
        await connection.execute("delete from _howdah.granted where role = $1", role)

    assert ended == [None, None]


async def test_a_deadlock_with_workers_is_tried_again(connection):
    turns = []

    async def step():
        turns.append(1)
        if len(turns) == 1:
            await connection.execute("do $$ begin raise sqlstate '40P01'; end $$")
        return "done"

    assert await migrate._patiently(connection, step) == "done"
    assert len(turns) == 2


async def test_a_lock_that_cannot_be_had_is_told_as_one(connection, dsn, monkeypatch):
    monkeypatch.setattr(migrate, "_PATIENCE", 2)

    async def step():
        await connection.execute("set local lock_timeout = '10ms'")
        await connection.execute("lock table _howdah.setting in access exclusive mode")

    with psycopg.connect(dsn) as other:
        other.execute("lock table _howdah.setting in access share mode")

        with pytest.raises(Conflict, match=r"its lock, 2 times: .*lock timeout") as told:
            await migrate._patiently(connection, step)

    assert "howdah doctor" in told.value.hint
