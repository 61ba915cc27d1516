"""What each connection of ours asks for: of the server, of the kernel, and of a pooler not."""

from __future__ import annotations

import asyncio
import socket

import psycopg
import pytest

from howdah import App, Job, NoDatabase
from howdah.call import Call
from howdah.connect import closed, open_connection
from howdah.settings import Settings


@pytest.fixture
async def open_one():
    """Open a connection as all of ours are; it is closed after the test."""
    connections = []

    async def open_(dsn, *, url=None, **settings):
        given = Settings(database_url=dsn, **settings)
        connections.append(await open_connection(given, name="howdah test", url=url))
        return connections[-1]

    yield open_
    for connection in connections:
        await closed(connection)


async def idle_limit(connection):
    return await connection.fetchval("show idle_in_transaction_session_timeout")


async def test_no_session_of_ours_may_idle_in_a_transaction_for_long(dsn, open_one):
    connection = await open_one(dsn)

    assert await idle_limit(connection) == "15s"


@pytest.mark.parametrize("prepare", [True, False], ids=["direct", "behind a pooler"])
async def test_a_worker_works_whatever_isolation_the_database_has_by_default(
    own_dsn, eventually, prepare
):
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(
            f"alter database {name} set default_transaction_isolation = 'serializable'"
        )
    ran = []

    async with App(own_dsn, prepare=prepare) as app:

        @app.task(name="job")
        async def job() -> None:
            ran.append(1)

        await job.enqueue()
        async with app.worker():
            await eventually(lambda: bool(ran))


async def test_a_dead_tcp_path_is_noticed_by_the_kernel(dsn, road_to, open_one):
    road = await road_to(dsn)

    connection = await open_one(road.dsn)
    found = connection._transport.get_extra_info("socket")

    assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    wanted = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000}
    known = {name: value for name, value in wanted.items() if hasattr(socket, name)}
    assert known
    for name, value in known.items():
        assert found.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value


async def test_the_pool_and_the_worker_have_such_connections_too(dsn, road_to, store):
    road = await road_to(dsn)
    app = App(road.dsn)
    limit = Call("show idle_in_transaction_session_timeout", (), lambda rows: rows[0][0])

    async with app, app.worker() as worker:
        parts = worker._parts
        links = [parts.looks, parts._claims, parts._finishes, parts._chores]
        limits = [await each.run(limit) for each in (app, *links)]
        keeping = [is_kept_alive(each._connection) for each in links]
        async with (await app.client._pools.here().opened()).acquire() as connection:
            keeping.append(is_kept_alive(connection))

    assert limits == ["15s"] * 5
    assert keeping == [1] * 5


def is_kept_alive(connection):
    found = connection._transport.get_extra_info("socket")
    return found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_a_pooler_that_is_declared_is_asked_for_nothing_it_does_not_know(
    dsn, road_to, open_one
):
    pooler = await road_to(dsn, pooler=True)

    for prepare, listen_url in ((False, None), (True, dsn), (False, dsn)):
        connection = await open_one(pooler.dsn, prepare=prepare, listen_url=listen_url)
        assert await idle_limit(connection) == "0"
    direct = await open_one(pooler.dsn, listen_url=dsn, url=dsn)

    assert pooler.refused == []
    assert await idle_limit(direct) == "15s"


async def test_a_pooler_that_nobody_declared_is_found_out(dsn, road_to, eventually, store):
    pooler = await road_to(dsn, pooler=True)
    app = App(pooler.dsn)

    @app.task(name="job")
    async def job(): ...

    async with app, app.worker():
        job_id = await job.enqueue()
        await eventually(lambda: store.state(job_id) == "succeeded")

    ours = {b"default_transaction_isolation", b"idle_in_transaction_session_timeout"}
    assert ours in pooler.refused


async def test_a_server_that_never_answers_is_given_up_in_time(dsn, road_to, monkeypatch):
    monkeypatch.setattr("howdah.client.ANSWER_WITHIN", 0.5)
    road = await road_to(dsn)
    app = App(road.dsn)
    await app.enqueue(Job("job", "{}"))

    road.die()
    began = asyncio.get_running_loop().time()
    with pytest.raises(NoDatabase, match=r"no answer within 0\.5 s") as refused:
        await app.enqueue(Job("job", "{}"))
    took = asyncio.get_running_loop().time() - began
    road.come_back()
    await app.enqueue(Job("job", "{}"))
    await app.close()

    assert took < 4
    assert "not known" in (refused.value.hint or "")


async def test_a_session_that_was_cut_off_does_not_keep_the_workers_lock(
    dsn, store, store_of, eventually
):
    """Somebody queues for the lock, and has it before the worker is back: as its old self would."""
    app, old_self = App(dsn, poll_every=0.1), store_of(dsn)

    async with app, app.worker() as worker:
        key = worker.identity.lock_key
        first = await eventually(lambda: store.one(HOLDER))
        queued = asyncio.create_task(
            asyncio.to_thread(old_self.one, "select pg_advisory_lock(%s)", key)
        )
        await eventually(lambda: store.one(QUEUED))
        store.one("select pg_terminate_backend(%s)", first)
        await queued
        second = await eventually(lambda: store.one(HOLDER))
        status = worker.status()

    assert second != first
    assert old_self.connection.info.backend_pid != second
    assert status["stopping"] is False


QUEUED = """
select count(*) from pg_locks l join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.objsubid = 1 and not l.granted
  and a.datname = current_database()
"""
HOLDER = """
select l.pid from pg_locks l join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.objsubid = 1 and l.granted
  and a.datname = current_database() and a.application_name like 'howdah worker %% looks'
"""
