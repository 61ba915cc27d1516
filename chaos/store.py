"""The store of a run, as its owner sees it: installed, looked at, and written down at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from chaos import flow_store
from chaos.invariants import AT_ONCE
from chaos.world import World
from howdah.migrate import migrate

HERE = Path(__file__).parent
LONG_WAIT = "interval '10 min'"  # what is scheduled beyond it is not waited for
JOBS = r"""
with j as (
    select args, id, task, state, delivery, attempt, max_attempts, crashes, run_at, finished_at,
           lease, unique_key, error,
           case when jsonb_typeof(result) = 'string' and octet_length(result::text) < 60
                then result #>> '{}' end as fence
    from _howdah.finished
    union all
    select args, id, task, state, delivery, attempt, max_attempts, crashes, run_at, null,
           lease, unique_key, null, null
    from _howdah.job)
select case when args ->> 'key' ~ '^\d{1,18}$' then (args ->> 'key')::bigint end, id, task, state,
       delivery, attempt, coalesce(max_attempts, 4), crashes,
       (extract(epoch from run_at) * 1e6)::bigint, (extract(epoch from finished_at) * 1e6)::bigint,
       lease, fence, unique_key, regexp_replace(left(error, 120), '[\t\n\\]', ' ', 'g')
from j
"""
AUDIT = """
select id, (extract(epoch from at) * 1e6)::bigint, was, now, was_lease, now_lease, attempt, crashes,
       (extract(epoch from run_at) * 1e6)::bigint, key, unique_key, serial_key
from chaos.audit order by id, n
"""
REMAINING = r"""
select id, state, coalesce(run_at, created_at) <= now(),
       regexp_replace(howdah.why(id), '[\t\n\\]', ' ', 'g')
from _howdah.job
"""
DUMPS = {
    "jobs.tsv": JOBS,
    "attempts.tsv": "select job_id, attempt, outcome, lease from _howdah.attempt",
    "effects.tsv": "select key, attempt, token from chaos.effects",
    "audit.tsv": AUDIT,
    **flow_store.DUMPS,
}
LEFT = {"remaining.tsv": REMAINING}
# Nobody's in Python: its workers are in SQL, and so its retries are declared here.
SQL_TASK = """
select howdah.declare_tasks('[{"name": "sql", "first_ms": 200, "factor": 1.5, "max_attempts": 8}]')
"""
LIMIT = "select howdah.put_limit($1, $2)"
LOOK = """
select (select count(*) from chaos.audit where was is null) as came,
       (select count(*) from chaos.audit where now is null) as went,
       (select count(*) from _howdah.job) as live
"""


async def install(world: World) -> None:
    """The schema, and what the checker needs besides."""
    async with world.server.session() as connection:
        await migrate(connection, "howdah")
        await connection.execute((HERE / "audit.sql").read_text())
        await connection.execute(SQL_TASK)
        for task, most in AT_ONCE.items():
            await connection.execute(LIMIT, f"task:{task}", most)
    await flow_store.put(world)


async def look(world: World) -> dict[str, int]:
    """How many jobs have come, gone, and are there, at one moment."""
    [row] = await world.server.rows(LOOK)
    return dict(row)


async def open_jobs(world: World) -> int:
    """Jobs that are to end soon, and workflows: some have none for a moment."""
    found: int = await world.server.one(
        "select (select count(*) from _howdah.workflow where finished_at is null) + count(*) "
        f"from _howdah.job where state <> 's' or run_at < now() + {LONG_WAIT}"
    )
    return found


async def workers(world: World) -> int:
    """Workers that the store knows to be alive."""
    found: int = await world.server.one("select count(*) from _howdah.serving")
    return found


async def probe(world: World, key: int) -> UUID:
    """Enqueue one lone job."""
    found: UUID = await world.server.one(
        "select howdah.enqueue('co', $1::jsonb)", json.dumps({"key": key})
    )
    return found


async def dump(world: World, folder: Path, dumps: Mapping[str, str]) -> None:
    """Write down what the checker reads, as it is at one moment."""
    folder.mkdir(exist_ok=True)
    async with world.server.session() as connection:
        await connection.execute("begin isolation level repeatable read, read only")
        for name, statement in dumps.items():
            await connection.copy_from_query(
                statement, output=folder / name, format="text", timeout=300
            )
        await connection.execute("commit")


def clock() -> int:
    """What is to be added to a moment of the logs to have it by the database's clock, in ns."""
    return time.time_ns() - time.monotonic_ns()


def facts_of(world: World) -> list[str]:
    """What the server said that it should not have."""
    told: dict[str, Any] = world.server.told()
    bad = ("deadlocks", "panics", "corrupt")
    return [f"{told[name]} {name} in the server's log" for name in bad if told.get(name)]
