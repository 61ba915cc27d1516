"""The wait for a synchronous standby is cancelled: committed here, and perhaps nowhere else."""

from __future__ import annotations

import asyncio
from collections import Counter
from uuid import uuid4

import asyncpg
import psycopg
import pytest

from howdah import App, AsyncClient, CommitUncertain, Job, jobs, on
from howdah.cli.exits import NO_DATABASE, code_of
from howdah.events import DatabaseLost, LeaseRefused
from howdah.job import make_options
from howdah.settings import Settings

WAITERS = """
select pid from pg_stat_activity where wait_event = 'SyncRep' and application_name like %s
"""


@pytest.fixture
def local(server, store_of):
    """The store, on a session whose commits wait for nobody."""
    store = store_of(server.dsn)
    store.do("set synchronous_commit = local")
    return store


async def wait_for_nobody(server, eventually):
    """From now on each commit waits for a standby that never comes."""
    server.set("synchronous_standby_names", "'nobody'")
    await eventually(lambda: is_waited_for(server))


async def is_waited_for(server):
    connection = await asyncpg.connect(server.dsn)
    try:
        await connection.execute("comment on schema howdah is 'tried'", timeout=0.3)
    except TimeoutError:
        return True
    finally:
        connection.terminate()
    return False


def wait_no_more(local):
    local.do("alter system reset synchronous_standby_names")
    local.one("select pg_reload_conf()")


async def cancel_wait(local, eventually, name, within=10.0):
    pid = await eventually(lambda: local.one(WAITERS, name), within)
    local.one("select pg_cancel_backend(%s)", pid)


@pytest.mark.parametrize("language", ["C", "a server's own"])
async def test_an_enqueue_whose_wait_was_cancelled_is_uncertain_and_may_be_asked_again(
    server, local, eventually, language, monkeypatch
):
    if language != "C":  # our server speaks only English: what it says is translated on the way
        monkeypatch.setattr(asyncpg.Connection, "_process_log_message", in_french)
    await wait_for_nobody(server, eventually)
    client, job_id = AsyncClient(Settings(database_url=server.dsn)), uuid4()
    enqueue = jobs.enqueue(Job("job", "{}", make_options(id=job_id)))

    asked = asyncio.create_task(client.run(enqueue))
    await cancel_wait(local, eventually, "howdah client")
    with pytest.raises(CommitUncertain) as uncertain:
        await asked
    again = await client.run(enqueue)
    await client.close()

    assert again == job_id
    assert local.states() == {"ready": 1}
    assert "failover" in str(uncertain.value)
    assert "safe" in (uncertain.value.hint or "")
    assert uncertain.value.warning
    assert code_of(uncertain.value) == NO_DATABASE


def in_french(connection, fields, query):
    fields = {**fields, "S": "ATTENTION", "M": "annulation de l'attente"}
    message = asyncpg.exceptions.PostgresLogMessage.new(fields, query=query)
    for each in connection._log_listeners:
        connection._loop.call_soon(each.cb, connection, message)


async def test_a_certain_commit_on_the_same_connection_afterwards_is_certain(
    server, local, eventually
):
    await wait_for_nobody(server, eventually)
    client = AsyncClient(Settings(database_url=server.dsn), size=1)

    asked = asyncio.create_task(client.run(jobs.enqueue(Job("job", "{}"))))
    await cancel_wait(local, eventually, "howdah client")
    with pytest.raises(CommitUncertain):
        await asked
    wait_no_more(local)
    await client.run(jobs.enqueue(Job("job", "{}")))
    await client.close()

    assert local.states() == {"ready": 2}


async def by_asyncpg(dsn, run):
    connection = await asyncpg.connect(dsn, server_settings={"application_name": "caller"})
    try:
        return await run(on(connection))
    finally:
        await connection.close()


async def by_psycopg(dsn, run):
    connection = await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, application_name="caller"
    )
    async with connection:
        return await run(on(connection))


async def by_psycopg_in_a_thread(dsn, run):
    def called():
        with psycopg.connect(dsn, autocommit=True, application_name="caller") as connection:
            return run(on(connection))

    return await asyncio.to_thread(called)


CALLERS = [by_asyncpg, by_psycopg, by_psycopg_in_a_thread]


@pytest.mark.parametrize("by", CALLERS)
async def test_a_verb_that_commits_by_itself_on_a_callers_connection_says_so_too(
    server, local, eventually, by
):
    await wait_for_nobody(server, eventually)

    asked = asyncio.create_task(by(server.dsn, lambda door: door.enqueue(Job("job", "{}"))))
    await cancel_wait(local, eventually, "caller")
    with pytest.raises(CommitUncertain) as uncertain:
        await asked
    assert local.states() == {"ready": 1}
    wait_no_more(local)
    await by(server.dsn, lambda door: door.enqueue(Job("job", "{}")))

    assert uncertain.value.warning
    assert local.states() == {"ready": 2}


async def test_a_finish_whose_wait_was_cancelled_is_sent_again_and_counts_once(
    server, local, eventually, seen
):
    app, ran = App(server.dsn), Counter()
    refused, lost = seen(app, LeaseRefused), seen(app, DatabaseLost)
    go = asyncio.Event()

    @app.task(name="job")
    async def job():
        ran["job"] += 1
        await go.wait()

    async with app, app.worker():
        job_id = await job.enqueue()
        await eventually(lambda: ran["job"] == 1)
        await wait_for_nobody(server, eventually)
        go.set()
        await cancel_wait(local, eventually, "howdah worker % finishes")
        await eventually(lambda: [e for e in lost if e.loop == "finisher"])
        wait_no_more(local)
        await eventually(lambda: local.state(job_id) == "succeeded")
        await eventually(lambda: local.one("select count(*) from _howdah.idle"))

    uncertain = [event.error for event in lost if event.loop == "finisher"]
    assert {type(error) for error in uncertain} == {CommitUncertain}
    assert ran == {"job": 1}
    assert refused == []
    assert local.one("select count(*) from howdah.attempts") == 0


async def test_a_claim_whose_wait_was_cancelled_is_given_back_uncharged(
    server, local, eventually, seen
):
    app, ran = App(server.dsn, poll_every=30.0), Counter()
    lost = seen(app, DatabaseLost)

    @app.task(name="job")
    async def job():
        ran["job"] += 1

    async with app, app.worker():
        await eventually(lambda: local.one("select count(*) from _howdah.idle"))
        await wait_for_nobody(server, eventually)
        job_id = local.enqueue("job")
        await cancel_wait(local, eventually, "howdah worker % claims")
        await eventually(lambda: [e for e in lost if isinstance(e.error, CommitUncertain)])
        wait_no_more(local)
        await eventually(lambda: local.state(job_id) == "succeeded")

    assert ran == {"job": 1}
    assert local.job(job_id).attempt == 1
    assert local.job(job_id).crashes == 0
