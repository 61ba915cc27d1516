"""One URL, two servers: whichever takes writes is used, and the other after a failover."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter

import pytest

from howdah import App, HowdahError, ReadOnly
from howdah.connect import closed, open_connection
from howdah.events import DatabaseLost
from howdah.settings import Settings

WITHIN = 10.0  # seconds from a writable server to the first job on it


@pytest.fixture
def pair(servers):
    """A primary and its standby, streaming."""
    primary = servers()
    return primary, servers(standby_of=primary)


@pytest.fixture
def two(servers):
    """Two servers that know nothing of each other."""
    return servers(), servers()


@pytest.fixture
def counting(together):
    """An app on both servers, whose only task counts."""
    ran = Counter()

    def make(*both, **settings):
        app = App(together(*both), **settings)

        @app.task(name="job")
        async def job(n: int):
            ran[n] += 1
            await asyncio.sleep(0.01)

        return app, job, ran

    return make


async def enqueued(app, job, within=WITHIN):
    """Its id, however often that was refused."""
    began = time.monotonic()
    while True:
        try:
            return await app.enqueue(job)
        except HowdahError:
            assert time.monotonic() - began < within
            await asyncio.sleep(0.1)


async def test_the_host_that_takes_writes_is_used_whatever_its_place(pair, together):
    primary, standby = pair

    for dsn in (together(primary, standby), together(standby, primary)):
        connection = await open_connection(Settings(database_url=dsn), name="howdah test")
        assert await connection.fetchval("select pg_is_in_recovery()") is False
        await closed(connection)


async def test_who_asks_for_any_host_gets_the_first(pair, together):
    primary, standby = pair
    dsn = f"{together(standby, primary)}&target_session_attrs=any"

    connection = await open_connection(Settings(database_url=dsn), name="howdah test")
    assert await connection.fetchval("select pg_is_in_recovery()") is True
    await closed(connection)


async def test_where_no_host_takes_writes_that_is_said(pair, together):
    primary, standby = pair
    primary.stop()

    with pytest.raises(ReadOnly, match="none of the hosts") as refused:
        await open_connection(Settings(database_url=together(primary, standby)), name="howdah test")

    assert refused.value.hint


async def test_a_first_host_that_is_dead_leaves_time_for_the_second(server, road_to):
    dead, alive = await road_to(server.dsn), await road_to(server.dsn)
    dead.die()
    at = [road.dsn.partition("@")[2].partition("/")[0] for road in (dead, alive)]
    dsn = dead.dsn.replace(at[0], ",".join(at))

    began = time.monotonic()
    connection = await open_connection(Settings(database_url=dsn), name="howdah test", timeout=1.0)
    took = time.monotonic() - began
    await closed(connection)

    assert 0.5 <= took < 1.0


async def test_after_a_failover_worker_and_client_go_on_at_the_other(
    pair, counting, eventually, store_of, figure
):
    primary, standby = pair
    app, job, ran = counting(primary, standby, poll_every=0.2)

    async with app, app.worker():
        await app.enqueue_many([job.job(n) for n in range(20)])
        await eventually(lambda: len(ran) == 20)
        before = store_of(primary.dsn)
        await eventually(lambda: before.one(REPLAYED))
        await asyncio.to_thread(primary.end, signal.SIGKILL)
        standby.do("select pg_promote()")
        promoted = time.monotonic()
        job_id = await enqueued(app, job.job(20))
        await eventually(lambda: ran[20] == 1)
        took = time.monotonic() - promoted
        store = store_of(standby.dsn)
        await eventually(lambda: store.state(job_id) == "succeeded")
        await eventually(lambda: store.states() == {"succeeded": 21})

    figure("seconds from promotion to the first job", took)
    assert took < WITHIN
    assert set(ran.values()) == {1}


REPLAYED = """
select count(*) > 0 from pg_stat_replication
where replay_lsn = pg_current_wal_lsn()
and not exists (select from howdah.jobs where state <> 'succeeded')
"""


async def test_when_the_primary_turns_read_only_the_other_is_looked_for(
    two, counting, eventually, store_of
):
    """Two servers without replication: connections stay, and each statement is refused (25006)."""
    one, other = two
    app, job, ran = counting(one, other, poll_every=0.2)
    before, after = store_of(one.dsn), store_of(other.dsn)

    async with app, app.worker():
        await app.enqueue(job.job(1))
        await eventually(lambda: ran[1] == 1)
        await eventually(lambda: before.states() == {"succeeded": 1})
        one.set("default_transaction_read_only", "on")
        turned = time.monotonic()
        await eventually(lambda: after.one("select count(*) from howdah.workers"))
        job_id = await enqueued(app, job.job(2))
        await eventually(lambda: ran[2] == 1)
        took = time.monotonic() - turned
        await eventually(lambda: after.state(job_id) == "succeeded")

    assert took < WITHIN
    assert set(ran.values()) == {1}


@pytest.mark.slow
async def test_while_the_server_is_read_only_there_is_no_hot_loop_and_nothing_is_lost(
    server, eventually, seen, store_of, figure
):
    app, go, ran = App(server.dsn, poll_every=0.05), asyncio.Event(), Counter()
    lost, store = seen(app, DatabaseLost), store_of(server.dsn)

    @app.task(name="job")
    async def job(n: int):
        ran[n] += 1
        await go.wait()

    async with app, app.worker():
        await app.enqueue_many([job.job(n) for n in range(10)])
        await eventually(lambda: len(ran) == 10)
        server.set("default_transaction_read_only", "on")
        began = await eventually(lambda: time.monotonic() if lost else None)
        go.set()
        with pytest.raises(ReadOnly):
            await app.enqueue(job.job(10))
        await eventually(lambda: time.monotonic() > began + 3)
        tries = len(lost)
        server.set("default_transaction_read_only", "off")
        back = time.monotonic()
        await enqueued(app, job.job(11))
        await eventually(lambda: store.states() == {"succeeded": 11})
        took = time.monotonic() - back

    figure("tries per second while it was read-only", tries / 3)
    figure("seconds until all was stored", took)
    assert tries <= 4 * 3
    assert took < WITHIN
    assert set(ran.values()) == {1}
