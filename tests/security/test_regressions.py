"""Defects of other queues that no other test would see: B-numbers as in docs/regressions.md."""

from __future__ import annotations

import asyncio
import threading
import time

import asyncpg
import psycopg
import pytest
from psycopg.rows import namedtuple_row

from howdah import App, jobs
from howdah import sql as howdah_sql
from howdah.listener import Listener
from howdah.migrate import migrate


@pytest.fixture
def sql(dsn):
    with psycopg.connect(dsn, autocommit=True, row_factory=namedtuple_row) as connection:
        yield connection


def registered(sql, name: str):
    worker = sql.execute("select gen_random_uuid()").fetchone()[0]
    sql.execute("select howdah.heartbeat(%s, name => %s)", [worker, name])
    return worker


def test_b04_a_rescued_job_keeps_its_own_key(sql, clock):
    job_id = sql.execute("select howdah.enqueue('t', unique_key => 'k')").fetchone()[0]
    sql.execute("select * from howdah.claim(worker => %s)", [registered(sql, "w")])

    clock.forward("2 minutes")
    sql.execute("select * from howdah.chores()")

    again = sql.execute("select howdah.enqueue('t', unique_key => 'k')").fetchone()[0]
    state = sql.execute("select state from howdah.jobs where id = %s", [job_id]).fetchone()[0]
    assert (again, state) == (job_id, "ready")


def test_b09_a_new_worker_of_the_same_name_owns_nothing_of_the_dead_one(sql, clock):
    sql.execute("select howdah.enqueue('t')")
    sql.execute("select * from howdah.claim(worker => %s)", [registered(sql, "same")])

    clock.forward("2 minutes")
    newcomer = registered(sql, "same")
    sql.execute("select * from howdah.chores()")

    [job] = sql.execute("select crashes, state from howdah.jobs").fetchall()
    running = sql.execute("select running from howdah.workers where id = %s", [newcomer])
    assert (job.crashes, job.state, running.fetchone()[0]) == (1, "ready", 0)


def test_b70_an_error_of_megabytes_is_kept(sql):
    sql.execute("select howdah.enqueue('t', max_attempts => 1)")
    job = sql.execute("select id, lease from howdah.claim()").fetchone()
    error = "".join(chr(33 + (n * n) % 90) for n in range(3_000_000))

    sql.execute("select howdah.nack(%s, %s, %s)", [job.id, job.lease, error])

    [found] = sql.execute("select state, error from howdah.jobs").fetchall()
    assert found.state == "failed"
    assert found.error.startswith(error[:1000])


@pytest.mark.slow
async def test_b77_a_migration_that_has_to_wait_holds_nobody_up_for_long(own_dsn, monkeypatch):
    waits, stop = [], threading.Event()
    text = "alter table _howdah.job add column later int;"
    later = [*howdah_sql.migrations(), howdah_sql.Migration(number=9000, name="later", text=text)]
    monkeypatch.setattr(howdah_sql, "migrations", lambda: later)

    def produce() -> None:
        with psycopg.connect(own_dsn, autocommit=True) as producer:
            while not stop.is_set():
                began = time.monotonic()
                producer.execute("select howdah.enqueue('t')")
                waits.append(time.monotonic() - began)

    holder = await asyncpg.connect(own_dsn)
    migrator = await asyncpg.connect(own_dsn)
    held = holder.transaction()
    await held.start()
    await holder.execute("select count(*) from howdah.jobs; select howdah.why(gen_random_uuid())")
    thread = threading.Thread(target=produce)
    thread.start()
    running = asyncio.create_task(migrate(migrator, "howdah"))
    await asyncio.sleep(4)  # a reader that takes its time: who waits behind those that wait?
    await held.rollback()
    await asyncio.wait_for(running, 30)
    stop.set()
    thread.join()
    await holder.close()
    await migrator.close()

    assert len(waits) > 20
    assert max(waits) < 2.5  # lock_timeout 2 s, and noise


async def test_b89_a_cancel_reaches_a_worker_that_cannot_listen(app: App, eventually, monkeypatch):
    async def deaf(self) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Listener, "run", deaf)
    started, ended = asyncio.Event(), []

    @app.task(name="long")
    async def long():
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async with app.worker():
        job_id = await app.enqueue(long.job())
        await asyncio.wait_for(started.wait(), 5)
        assert await app.run(jobs.cancel(job_id))
        await eventually(lambda: ended, within=5)
