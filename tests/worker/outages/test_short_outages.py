"""A spell of something that the server refuses: the worker stays, keeps results, and goes on."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import asyncpg
import pytest

from howdah import App, DatabaseError, Denied, NoDatabase
from howdah.events import DatabaseBack, DatabaseLost, LeaseRefused
from howdah.migrate import grant
from howdah.reporter import Reporter


@pytest.fixture
async def guest(server):
    """A URL of that server, for a role with the grants of a worker and a producer."""
    server.do("create role guest login")
    await granted(server)
    return server.dsn.replace("//howdah@", "//guest@")


async def granted(server):
    connection = await asyncpg.connect(server.dsn)
    for what in ("producer", "worker"):
        await grant(connection, "howdah", "guest", what)
    await connection.close()


@pytest.fixture
def held():
    """An app whose only task holds until it is let go, then gives its number back."""

    def make(dsn, **settings):
        app, go, ran = App(dsn, **settings), asyncio.Event(), Counter()

        @app.task(name="job")
        async def job(n: int):
            ran[n] += 1
            await go.wait()
            return n

        return app, job, go, ran

    return make


@pytest.mark.parametrize(
    "length", [1.0, pytest.param(12.0, marks=pytest.mark.slow)], ids=["short", "long"]
)
async def test_too_many_connections_end_no_worker_and_cause_no_storm(
    server, guest, held, eventually, store_of, figure, caplog, length
):
    """Every connection is cut, and none is to be had: only the server's own may come in."""
    app, job, go, ran = held(guest, poll_every=0.2)
    store = store_of(server.dsn)

    async with app, app.worker() as worker:
        await app.enqueue_many([job.job(n) for n in range(10)])
        await eventually(lambda: len(ran) == 10)
        store.do("alter role guest connection limit 0")
        store.rows("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'guest'")
        cut = time.monotonic()
        go.set()
        await eventually(lambda: refusals(server) >= 1)
        with pytest.raises(NoDatabase):
            await app.enqueue(job.job(10))
        await eventually(lambda: time.monotonic() > cut + min(length, 5), within=15)
        before, since = refusals(server), time.monotonic()
        await eventually(lambda: time.monotonic() > cut + length, within=15)
        rate = (refusals(server) - before) / (time.monotonic() - since) if length > 5 else 0.0
        store.do("alter role guest connection limit -1")
        back = time.monotonic()
        await eventually(lambda: store.states() == {"succeeded": 10})
        stored = time.monotonic() - back
        await app.enqueue(job.job(11))
        await eventually(lambda: ran[11] == 1)
        await eventually(lambda: worker.status()["listening"], within=15)

    figure("refused connections a second, after the first five seconds", rate)
    figure("seconds until all results were stored", stored)
    assert rate <= 5
    assert {record.name for record in caplog.records} <= {"howdah"}  # the pool's own would knock
    assert stored < 5
    assert set(ran.values()) == {1}


def refusals(server):
    return server.log.count('too many connections for role "guest"')


async def test_a_revoked_grant_is_said_in_an_event_and_given_back_is_all_it_takes(
    server, guest, held, eventually, store_of, seen
):
    app, job, go, ran = held(guest, poll_every=0.2)
    lost, back, store = seen(app, DatabaseLost), seen(app, DatabaseBack), store_of(server.dsn)

    async with app, app.worker():
        await app.enqueue_many([job.job(n) for n in range(10)])
        await eventually(lambda: len(ran) == 10)
        store.do("drop owned by guest")
        go.set()
        with pytest.raises(Denied):
            await app.enqueue(job.job(10))
        await eventually(lambda: {"finisher", "looker"} <= {event.loop for event in lost})
        await granted(server)
        await eventually(lambda: store.states() == {"succeeded": 10})
        await eventually(lambda: {"finisher", "looker"} <= {event.loop for event in back})
        await app.enqueue(job.job(11))
        await eventually(lambda: ran[11] == 1)

    assert {type(event.error) for event in lost} == {Denied}
    assert "howdah db grant" in str(lost[0].error)
    assert set(ran.values()) == {1}


async def test_a_function_taken_back_from_a_running_worker_is_said_in_the_log_and_waited_for(
    server, guest, held, eventually, store_of, seen, caplog, monkeypatch
):
    monkeypatch.setattr("howdah.worker.chores.ROUNDS", [(("rescue",), 0.2)])
    monkeypatch.setattr("howdah.reporter.LOST_AGAIN", 0.0)
    monkeypatch.setattr("howdah.reporter.BACK_FOR", 0.0)
    app, job, go, ran = held(guest, poll_every=0.2)
    lost, store = seen(app, DatabaseLost), store_of(server.dsn)

    async with app, app.worker() as worker:
        app.events.subscribe(Reporter(worker, app.settings))
        for n, function in enumerate(FUNCTIONS):
            go.clear()
            await app.enqueue(job.job(n))
            await eventually(lambda n=n: ran[n] == 1)
            store.do(f"revoke execute on function howdah.{function} from guest")
            go.set()
            await app.enqueue(job.job(n + 100))
            until = len(lost) + 3
            await eventually(lambda until=until: len(lost) >= until)
            assert not worker._loops.done()
            await granted(server)
            await eventually(lambda n=n: store.states() == {"succeeded": 2 * n + 2})

    said = "\n".join(each.getMessage() for each in caplog.records)
    assert {type(event.error) for event in lost} == {Denied}
    assert max(event.again_in for event in lost) <= 2.0
    for function in FUNCTIONS:
        assert f"the database refuses (permission denied for function {function})" in said
    assert "Run: howdah db grant" in said
    assert set(ran.values()) == {1}


FUNCTIONS = ["claim", "finish", "heartbeat", "chores"]


async def test_results_wait_while_the_server_is_out_of_space(
    own_dsn, held, eventually, store_of, seen
):
    """SQLSTATE 53100 for what adds a row; a disk is filled in test_long_outages."""
    app, job, go, ran = held(own_dsn, poll_every=0.1)
    lost, refused, store = seen(app, DatabaseLost), seen(app, LeaseRefused), store_of(own_dsn)

    async with app, app.worker():
        await app.enqueue_many([job.job(n) for n in range(10)])
        await eventually(lambda: len(ran) == 10)
        store.do(FILL)
        go.set()
        with pytest.raises(DatabaseError, match="out of something") as full:
            await app.enqueue(job.job(10))
        await eventually(lambda: len([event for event in lost if event.loop == "finisher"]) > 3)
        assert store.states() == {"running": 10}
        store.do("drop function _howdah.full() cascade")
        began = time.monotonic()
        await eventually(lambda: store.states() == {"succeeded": 10})
        took = time.monotonic() - began

    assert full.value.hint
    assert {event.error.sqlstate for event in lost} == {"53100"}
    assert took < 5
    assert set(ran.values()) == {1}
    assert refused == []
    assert store.one("select count(*) from howdah.attempts") == 0


FILL = """
create function _howdah.full() returns trigger language plpgsql as $$
begin
    raise exception 'could not extend file "base/5/1259": No space left on device'
        using errcode = 'disk_full';
end $$;
create trigger full_jobs before insert on _howdah.job for each row execute function _howdah.full();
create trigger full_finished before insert on _howdah.finished
    for each row execute function _howdah.full();
"""


async def test_a_listener_whose_backend_was_killed_hears_again(
    dsn, store, held, eventually, figure
):
    app, _, go, ran = held(dsn, poll_every=30.0)
    go.set()

    async with app, app.worker() as worker:
        await eventually(lambda: store.one("select count(*) from _howdah.idle"))
        for n in range(3):
            killed = time.monotonic()
            assert store.one(KILL) == 1
            await eventually(lambda: not worker.status()["listening"])
            await eventually(lambda: worker.status()["listening"], within=15)
            back = time.monotonic() - killed
            await eventually(lambda: store.one("select count(*) from _howdah.idle"))
            job_id, began = store.enqueue("job", {"n": n}), time.monotonic()
            await eventually(lambda job_id=job_id: store.state(job_id) == "succeeded")
            assert time.monotonic() - began < 2
            figure("seconds until it heard again", back)

    assert dict(ran) == {0: 1, 1: 1, 2: 1}


KILL = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and application_name = 'howdah listener'
"""
