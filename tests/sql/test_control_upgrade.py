"""A store of before, in which workers could not be told to leave at once, and no job was a suspect,
becomes one of today."""

from __future__ import annotations

import asyncpg
import pytest

from howdah import sql
from howdah.migrate import migrate, script, status

BEFORE = 10  # the last migration that it had
KILL = """
create function howdah.kill(worker uuid default null, name text default null,
                            host text default null, version text default null) returns int
language sql as $$ select 0 $$
"""


async def go_back(connection):
    await connection.execute("drop schema howdah cascade; drop schema _howdah cascade")
    await connection.execute(sql.BOOTSTRAP.format(schema="howdah"))
    await connection.execute("set search_path = pg_catalog; set check_function_bodies = off")
    for step in sql.migrations()[:BEFORE]:
        await connection.execute(step.text)
        await connection.execute(
            "insert into _howdah.migration (number, name) values ($1, $2)", step.number, step.name
        )
    await connection.execute(KILL)


@pytest.mark.parametrize("way", ["migrate", "script"])
async def test_a_store_of_before_knows_one_kill_afterwards_and_it_takes_now(own_dsn, way):
    connection = await asyncpg.connect(own_dsn)
    await go_back(connection)

    if way == "migrate":
        await migrate(connection, "howdah")
    else:
        await connection.execute(script("howdah", from_version=BEFORE))
    await connection.execute("select howdah.heartbeat(gen_random_uuid(), name => 'w')")
    told = [
        await connection.fetchval(f"select howdah.kill(name => 'w'{now})")
        for now in ("", ", now => true")
    ]

    assert told == [1, 1]
    assert await connection.fetchval("select control from howdah.workers") == "now"
    assert (await status(connection, "howdah")).is_current
    await connection.close()
