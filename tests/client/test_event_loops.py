"""One client on several event loops that are alive at once, in several threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg

from howdah import App, AsyncClient, Job, jobs
from howdah.settings import Settings


def count(db: psycopg.Connection) -> int:
    row = db.execute("select count(*) from howdah.jobs").fetchone()
    assert row is not None
    return int(row[0])


def ours(db: psycopg.Connection) -> list[int]:
    rows = db.execute(
        "select pid from pg_stat_activity where datname = current_database() "
        "and application_name = 'howdah client'"
    )
    return [int(row[0]) for row in rows]


def test_an_app_works_on_many_event_loops_at_once(dsn: str, db: psycopg.Connection) -> None:
    app = App(dsn)
    together = threading.Barrier(4)

    async def enqueue() -> list[UUID]:
        ids = []
        for _ in range(20):
            await asyncio.to_thread(together.wait, 10)  # their turns mix
            ids += await asyncio.gather(*(app.enqueue(Job("t", "{}")) for _ in range(3)))
        return ids

    before = set(ours(db))
    with ThreadPoolExecutor(4) as threads:
        runs = [threads.submit(asyncio.run, enqueue()) for _ in range(4)]
        ids = {job_id for run in runs for job_id in run.result(60)}
    left = set(ours(db)) - before

    assert len(ids) == count(db) == 240
    assert len(left) <= 1  # a backend may be ending yet


async def test_closing_on_one_loop_leaves_the_pool_of_another_open(
    settings: Settings, db: psycopg.Connection
) -> None:
    async def elsewhere() -> None:
        await client.run(jobs.enqueue(Job("t", "{}")))
        await client.close()

    async with AsyncClient(settings) as client:
        await client.run(jobs.list())
        mine = await client._pools.here().opened()
        await asyncio.to_thread(asyncio.run, elsewhere())
        still = await client._pools.here().opened()

    assert still is mine
    assert count(db) == 1
