"""A commit's wait for its standby is cancelled: who asked is told that it is uncertain.

The standby is a real one, and the failover happens: what was uncertain is gone, and asking again,
as the error says, brings it back, once.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from uuid import uuid4

import asyncpg
import psycopg
import pytest

from howdah import App, CommitUncertain, Job, jobs, on
from howdah.events import DatabaseLost, LeaseRefused
from howdah.job import make_options
from howdah.outcome import Succeeded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
WAITERS = (
    "select pid from pg_stat_activity where wait_event = 'SyncRep' and application_name like $1"
)
SUCCEEDED = "select true from howdah.jobs where id = $1 and state = 'succeeded'"
CLAIM = "select id, attempt, lease from howdah.claim(n => 1)"


@pytest.fixture
async def pair(servers, installed, streaming):
    """A primary whose commits wait for its standby, and the link between them."""
    primary = await servers.primary()
    await installed(primary)
    link = servers.road(primary)
    standby = await servers.standby(primary, link)
    await streaming(primary, sync=True)
    return primary, standby, link


async def by_asyncpg(dsn, call):
    connection = await asyncpg.connect(dsn, server_settings={"application_name": "caller"})
    try:
        return await on(connection).run(call)
    finally:
        connection.terminate()


async def by_psycopg(dsn, call):
    async with await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, application_name="caller"
    ) as connection:
        return await on(connection).run(call)


async def by_psycopg_in_a_thread(dsn, call):
    def called():
        with psycopg.connect(dsn, autocommit=True, application_name="caller") as connection:
            return on(connection).run(call)

    return await asyncio.to_thread(called)


async def by_client(dsn, call):
    async with App(dsn) as app:
        return await app.run(call)


WAYS = {
    "asyncpg": (by_asyncpg, "caller"),
    "psycopg": (by_psycopg, "caller"),
    "psycopg in a thread": (by_psycopg_in_a_thread, "caller"),
    "the client": (by_client, "howdah client"),
}


async def cancelled(primary, eventually, name):
    """Cancel the wait of some session's commit, once there is one."""
    pid = await eventually(lambda: primary.one(WAITERS, name), within=15)
    assert await primary.one("select pg_cancel_backend($1)", pid)


async def failed_over(primary, standby):
    await primary.end(signal.SIGKILL)
    await standby.promote()


@pytest.mark.parametrize("way", WAYS)
async def test_an_enqueue_is_uncertain_then_gone_and_asked_again_it_is_there_once(
    pair, eventually, way
):
    primary, standby, link = pair
    (by, name), job_id = WAYS[way], uuid4()
    enqueue = jobs.enqueue(Job("job", "{}", make_options(id=job_id)))

    async with link.held(["to_client"]):
        asked = asyncio.create_task(by(primary.dsn, enqueue))
        await cancelled(primary, eventually, name)
        with pytest.raises(CommitUncertain):
            await asked
        assert await primary.one("select count(*) from howdah.jobs where id = $1", job_id) == 1
        await failed_over(primary, standby)

    assert await standby.one("select count(*) from howdah.jobs") == 0
    assert await by(standby.dsn, enqueue) == job_id
    assert await by(standby.dsn, enqueue) == job_id
    assert await standby.one("select count(*) from howdah.jobs") == 1


@pytest.mark.parametrize("way", WAYS)
async def test_a_finish_is_uncertain_then_gone_and_sent_again_it_counts_once(
    pair, replayed, eventually, way
):
    primary, standby, link = pair
    by, name = WAYS[way]
    job_id = await primary.one("select howdah.enqueue('job')")
    [held] = await primary.rows(CLAIM)
    await replayed(primary, standby)
    finish = jobs.finish([Succeeded(id=job_id, lease=held["lease"])])

    async with link.held(["to_client"]):
        asked = asyncio.create_task(by(primary.dsn, finish))
        await cancelled(primary, eventually, name)
        with pytest.raises(CommitUncertain):
            await asked
        await failed_over(primary, standby)

    states = "select state from howdah.jobs"
    assert await standby.one(states) == "running"
    assert await by(standby.dsn, finish) == []
    assert await standby.one(states) == "succeeded"
    assert {refused.reason for refused in await by(standby.dsn, finish)} <= {"done"}


async def test_a_workers_finisher_meets_it_and_sends_its_results_again(pair, eventually):
    primary, _, link = pair
    app, ran, go = App(primary.dsn), Counter[str](), asyncio.Event()
    lost: list[DatabaseLost] = []
    refused: list[LeaseRefused] = []
    app.events.subscribe(lambda e: lost.append(e) if isinstance(e, DatabaseLost) else None)
    app.events.subscribe(lambda e: refused.append(e) if isinstance(e, LeaseRefused) else None)

    @app.task(name="job")
    async def job():
        ran["job"] += 1
        await go.wait()

    async with app, app.worker():
        job_id = await job.enqueue()
        await eventually(lambda: ran["job"] == 1)
        async with link.held(["to_client"], drop=False):
            go.set()
            await cancelled(primary, eventually, "howdah worker % finishes")
            await eventually(lambda: [e for e in lost if e.loop == "finisher"])
        await eventually(lambda: primary.one(SUCCEEDED, job_id), within=20)

    uncertain = {type(event.error) for event in lost if event.loop == "finisher"}
    assert CommitUncertain in uncertain
    assert ran == {"job": 1}
    assert refused == []
