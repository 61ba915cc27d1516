"""A store of before, in which workers could not be told to leave at once, and no job was a suspect,
becomes one of today."""

from __future__ import annotations

import asyncpg
import pytest

from howdah.migrate import migrate, script, status

BEFORE = """
delete from _howdah.migration where number >= 11;
drop function howdah.kill(uuid, text, text, text, boolean);
create function howdah.kill(worker uuid default null, name text default null,
                            host text default null, version text default null) returns int
language sql as $$ select 0 $$;
alter table _howdah.worker drop constraint worker_control_check,
    add constraint worker_control_check check (control in ('go', 'drain', 'kill'));
alter table _howdah.job drop column suspect;
alter type howdah.claimed drop attribute suspect;
alter type howdah.claimed add attribute crashes int;
"""


@pytest.mark.parametrize("way", ["migrate", "script"])
async def test_a_store_of_before_knows_one_kill_afterwards_and_it_takes_now(own_dsn, way):
    connection = await asyncpg.connect(own_dsn)
    await connection.execute(BEFORE)
    await connection.execute("select howdah.heartbeat(gen_random_uuid(), name => 'w')")

    if way == "migrate":
        await migrate(connection, "howdah")
    else:
        await connection.execute(script("howdah", from_version=10))
    told = [
        await connection.fetchval(f"select howdah.kill(name => 'w'{now})")
        for now in ("", ", now => true")
    ]

    assert told == [1, 1]
    assert await connection.fetchval("select control from howdah.workers") == "now"
    assert (await status(connection, "howdah")).is_current
    await connection.close()
