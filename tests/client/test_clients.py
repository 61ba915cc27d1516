"""Clients: with a loop, without one, from threads, after a fork, and on one loop after another."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from watching import eventually

from howdah import App, AsyncClient, Client, Job, NoDatabase, TooLarge, jobs, store
from howdah.job import make_options
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


async def test_an_async_client_opens_at_the_first_use_and_closes_what_it_opened(
    settings: Settings, db: psycopg.Connection, until: Any
) -> None:
    client = AsyncClient(settings)
    before = ours(db)

    job_id = await client.run(jobs.enqueue(Job("t", "{}")))
    during = ours(db)
    await client.close()

    assert (before, len(during), count(db)) == ([], 1, 1)
    assert isinstance(job_id, UUID)
    await until(lambda: ours(db) == [])


async def test_a_closed_client_opens_again(settings: Settings) -> None:
    client = AsyncClient(settings)
    await client.run(jobs.enqueue(Job("t", "{}")))
    await client.close()

    async with client:
        found = await client.run(jobs.list())

    assert len(found) == 1


async def test_many_uses_at_once_share_one_pool(settings: Settings, db: psycopg.Connection) -> None:
    async with AsyncClient(settings, size=3) as client:
        ids = await asyncio.gather(*(client.run(jobs.enqueue(Job("t", "{}"))) for _ in range(100)))
        opened = ours(db)

    assert len(set(ids)) == count(db) == 100
    assert len(opened) <= 3


async def test_a_connection_kept_at_hand_goes_to_who_waits_for_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("howdah.pool.SPARE_FOR", 60.0)

    async with AsyncClient(settings, size=1) as client, asyncio.timeout(10):
        many = [client.run(jobs.enqueue(Job("t", "{}"))) for _ in range(20)]
        await asyncio.gather(*many)


async def test_a_connection_kept_at_hand_goes_back_after_a_moment(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("howdah.pool.SPARE_FOR", 0.05)

    async with AsyncClient(settings) as client:
        pool = await client._pools.here().opened()
        await client.run(jobs.enqueue(Job("t", "{}")))
        kept = pool.get_size() - pool.get_idle_size()

        assert kept == 1
        await eventually(lambda: pool.get_idle_size() == pool.get_size())


async def test_a_connection_kept_at_hand_that_was_cut_is_not_used(
    settings: Settings, db: psycopg.Connection
) -> None:
    async with AsyncClient(settings) as client:
        await client.run(jobs.enqueue(Job("t", "{}")))
        pool = await client._pools.here().opened()
        [mine] = ours(db)
        db.execute("select pg_terminate_backend(%s)", [mine])
        await eventually(lambda: pool.get_size() == 0)

        await client.run(jobs.enqueue(Job("t", "{}")))


async def test_who_waits_while_a_pool_cannot_be_opened_is_refused_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries = []

    async def open_connection(*_: Any, **__: Any) -> Any:
        tries.append(1)
        await asyncio.sleep(0.01)
        raise NoDatabase("nobody answers")

    monkeypatch.setattr("howdah.client.open_connection", open_connection)
    client = AsyncClient(Settings(database_url="postgresql://nobody"))

    many = [client.run(store.stage()) for _ in range(20)]
    refused = await asyncio.gather(*many, return_exceptions=True)

    assert len(tries) == 1
    assert all(isinstance(each, NoDatabase) for each in refused)
    with pytest.raises(NoDatabase):  # who comes later tries anew
        await client.run(store.stage())
    assert len(tries) == 2


async def test_what_is_under_way_when_a_client_closes_is_waited_for_and_no_longer(
    settings: Settings, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("howdah.pool.SPARE_FOR", 60.0)
    client = AsyncClient(settings)
    cut: list[Any] = []
    async with asyncio.timeout(10):
        pool = await client._pools.here().opened()
        monkeypatch.setattr("asyncpg.pool.Pool.terminate", cut.append)
        with psycopg.connect(dsn) as locking:
            locking.execute("lock table _howdah.job in exclusive mode")
            enqueue = asyncio.create_task(client.run(jobs.enqueue(Job("t", "{}"))))
            await eventually(lambda: pool.get_idle_size() < pool.get_size())
            closing = asyncio.create_task(client.close())
            await asyncio.sleep(0)
        await asyncio.gather(enqueue, closing)

    assert not cut


def test_a_client_works_on_two_event_loops_one_after_the_other(
    settings: Settings, db: psycopg.Connection
) -> None:
    client = AsyncClient(settings)

    async def enqueue() -> UUID:
        return await client.run(jobs.enqueue(Job("t", "{}")))

    async def last() -> UUID:
        job_id = await enqueue()
        await client.close()
        return job_id

    ids = {asyncio.run(enqueue()), asyncio.run(last())}

    assert len(ids) == count(db) == 2


def test_the_loop_that_ended_leaves_no_connection_behind(
    settings: Settings, db: psycopg.Connection, until: Any
) -> None:
    client = AsyncClient(settings)

    async def enqueue() -> set[int]:
        await client.run(jobs.enqueue(Job("t", "{}")))
        return set(ours(db)) - before

    async def last() -> set[int]:
        opened = await enqueue()
        await until(lambda: len(set(ours(db)) - before) == 1)
        await client.close()
        return opened

    before = set(ours(db))
    first = asyncio.run(enqueue())
    second = asyncio.run(last())

    assert len(first) == 1
    assert first & set(ours(db)) == set()
    assert second


async def test_a_client_goes_on_after_its_connections_were_cut(
    settings: Settings, db: psycopg.Connection, until: Any
) -> None:
    async with AsyncClient(settings) as client:
        await client.run(jobs.enqueue(Job("t", "{}")))

        cut = set(ours(db))
        for pid in cut:
            db.execute("select pg_terminate_backend(%s)", [pid])
        await until(lambda: not cut & set(ours(db)))
        with suppress(NoDatabase):  # the first may still meet the cut one
            await client.run(jobs.list())
        await client.run(jobs.enqueue(Job("t", "{}")))

    assert count(db) == 2


def test_a_sync_client_needs_no_loop(settings: Settings, db: psycopg.Connection) -> None:
    with Client(settings) as client:
        job_id = client.run(jobs.enqueue(Job("t", "{}")))
        found = client.run(jobs.get(job_id))

    assert found is not None
    assert found.id == job_id


async def test_clients_take_the_database_s_url(dsn: str, db: psycopg.Connection) -> None:
    with Client(dsn) as client:
        client.run(jobs.enqueue(Job("t", "{}")))
    async with AsyncClient(dsn) as other:
        await other.run(jobs.enqueue(Job("t", "{}")))

    assert count(db) == 2


async def test_a_sync_client_works_inside_a_running_loop_too(settings: Settings) -> None:
    with Client(settings) as client:
        job_id = client.run(jobs.enqueue(Job("t", "{}")))

    assert isinstance(job_id, UUID)


def test_a_sync_client_leaves_no_thread(settings: Settings) -> None:
    before = threading.active_count()

    with Client(settings) as client:
        client.run(jobs.list())
        during = threading.active_count()

    assert (during - before, threading.active_count()) == (1, before)


def test_a_sync_client_is_shared_by_threads(settings: Settings, db: psycopg.Connection) -> None:
    def enqueue(_: int) -> UUID:
        return client.run(jobs.enqueue(Job("t", "{}")))

    with Client(settings) as client, ThreadPoolExecutor(16) as threads:
        ids = set(threads.map(enqueue, range(200)))

    assert len(ids) == count(db) == 200


def test_a_sync_client_that_one_thread_closes_serves_the_others(settings: Settings) -> None:
    class ClosedMeanwhile(Client):
        """By another thread, between the two steps of a call."""

        closes = 1

        def _ready_portal(self) -> Any:
            portal = super()._ready_portal()
            if self.closes:
                self.closes -= 1
                self.close()
            return portal

    with ClosedMeanwhile(settings) as client:
        assert client.run(store.stage()) == 0


def test_a_sync_client_leaves_nobody_waiting_when_it_is_closed(
    settings: Settings, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("howdah.client.GOODBYE_WITHIN", 0.1)
    with ThreadPoolExecutor(1) as threads, psycopg.connect(dsn, autocommit=True) as db:
        client = Client(settings)
        with db.transaction():
            db.execute("lock table _howdah.job in exclusive mode")
            enqueue = threads.submit(client.run, jobs.enqueue(Job("t", "{}")))
            while not db.execute("select 1 from pg_locks where not granted").fetchone():
                pass
            client.close()

            with pytest.raises(NoDatabase, match="closed meanwhile"):
                enqueue.result(10)


def test_a_sync_client_keeps_nobody_waiting_for_a_thread_that_is_stuck(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, job = threading.Event(), Job("t", "{}")
    with ThreadPoolExecutor(1) as threads, Client(settings) as client:
        client.run(jobs.list())
        monkeypatch.setattr("howdah.client.GIVE_UP_AFTER", 0.1)
        client._ready_portal().loop.call_soon_threadsafe(goes_on.wait)

        enqueue = threads.submit(client.run, jobs.enqueue(job))
        try:
            with pytest.raises(NoDatabase, match=r"has not answered within 0\.1 s") as refused:
                enqueue.result(10)
        finally:
            goes_on.set()

        monkeypatch.setattr("howdah.client.GIVE_UP_AFTER", 60.0)
        assert refused.value.hint
        assert client.run(jobs.enqueue(job))


def test_a_sync_client_is_closed_though_its_thread_is_stuck(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, client = threading.Event(), Client(settings)
    client.run(jobs.list())
    monkeypatch.setattr("howdah.client.ANSWER_WITHIN", 0.1)
    portal = client._ready_portal()
    portal.loop.call_soon_threadsafe(goes_on.wait)

    with ThreadPoolExecutor(1) as threads:
        closing = threads.submit(client.close)
        try:
            closing.result(10)
        finally:
            goes_on.set()

    portal._thread.join(5)
    assert not portal._thread.is_alive()
    portal.loop.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_sync_client_works_in_a_forked_child_and_in_its_parent(
    settings: Settings, db: psycopg.Connection
) -> None:
    with Client(settings) as client:
        client.run(jobs.enqueue(Job("parent", "{}")))
        child = os.fork()
        if child == 0:
            status = 1
            try:
                client.run(jobs.enqueue(Job("child", "{}")))
                client.close()
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        client.run(jobs.enqueue(Job("parent", "{}")))

    assert os.waitstatus_to_exitcode(status) == 0
    assert count(db) == 3


def test_an_app_enqueues_where_there_is_no_loop(dsn: str, db: psycopg.Connection) -> None:
    app = App(dsn)

    @app.task(name="t", queue="mail")
    def task(n: int) -> None: ...

    job_id = task.enqueue_sync(5)
    asyncio.run(app.close())

    assert db.execute("select id, queue, args from howdah.jobs").fetchall() == [
        (job_id, "mail", {"n": 5})
    ]


async def test_ten_thousand_jobs_are_taken_in_one_call_and_one_more_is_refused(
    app: App, db: psycopg.Connection
) -> None:
    many = [Job("t", "{}")] * 10_000

    with pytest.raises(TooLarge):
        await app.enqueue_many([*many, many[0]])
    refused = count(db)
    ids = await app.enqueue_many(many)

    assert refused == 0
    assert len(set(ids)) == count(db) == 10_000


async def test_ids_come_back_in_the_order_of_the_jobs(app: App, db: psycopg.Connection) -> None:
    @app.task(name="t")
    def task(n: int) -> None: ...

    alike = [task.job(n) for n in range(500)]
    mixed = [task.options(priority=n % 3).job(n) for n in range(500)]

    for many in (alike, mixed):
        ids = await app.enqueue_many(many)
        stored = dict(db.execute("select id, (args->>'n')::int from howdah.jobs").fetchall())
        assert [stored[job_id] for job_id in ids] == [*range(500)]


async def test_tasks_options_ids_and_keys_may_be_mixed_in_one_call(
    app: App, db: psycopg.Connection
) -> None:
    chosen = uuid4()
    there = await app.enqueue(Job("a", "{}", make_options(unique_key="there")))

    many = [
        Job("a", "{}", make_options(unique_key="there")),
        Job("b", '{"x":1}', make_options(id=chosen, delay=0.00001, timeout=0.001)),
        Job("c", "{}", make_options(unique_key="new", queue="q", priority=5)),
        Job("d", "{}", make_options(unique_key="new")),
        Job("b", "{}", make_options(id=chosen)),
        Job("e", "{}", make_options(no_timeout=True, tags=["x"], headers={"h": 1})),
    ]
    ids = await app.enqueue_many(many)
    again = await app.enqueue_many(many[:5])

    assert ids[0] == there
    assert ids[1] == ids[4] == chosen
    assert ids[2] == ids[3]
    assert again == ids[:5]
    assert count(db) == 4
    found = await app.run(jobs.get(ids[5]))
    assert found is not None
    assert (found.timeout, found.tags, found.headers) == (None, ["x"], '{"h": 1}')


async def test_many_jobs_with_a_key_each_go_by_the_quick_road(
    app: App, db: psycopg.Connection
) -> None:
    there = await app.enqueue(Job("t", "{}", make_options(unique_key="there")))
    keys = ("a", "there", "b", "a")
    many = [Job("t", "{}", make_options(unique_key=key, priority=2)) for key in keys]

    ids = await app.enqueue_many(many)

    assert "enqueue_unique(" in jobs.enqueue_many(many).render("howdah")
    assert "enqueue_json(" in jobs.enqueue_many([*many, Job("t", "{}")]).render("howdah")
    assert ids[1] == there
    assert ids[0] == ids[3]
    assert count(db) == len(set(ids)) == 3


async def test_jobs_of_a_task_that_only_the_store_knows_are_led_where_its_keys_lead(
    app: App, db: psycopg.Connection
) -> None:
    declared = '[{"name": "t", "keys": {"unique_key": "u:{n}"}}]'
    db.execute("select howdah.declare_tasks(%s)", [declared])
    there = await app.enqueue(Job("t", '{"n": 1}'))

    ids = await app.enqueue_many([Job("t", f'{{"n": {n}}}') for n in (2, 1, 2, 3)])
    new = await app.enqueue_many([Job("t", f'{{"n": {n}}}') for n in (4, 5)])

    assert ids[1] == there
    assert ids[0] == ids[2]
    assert {row[0] for row in db.execute("select id from howdah.jobs")} == {*ids, *new}


async def test_one_key_in_two_transactions_at_once_makes_one_job(
    app: App, db: psycopg.Connection
) -> None:
    job = Job("t", "{}", make_options(unique_key="one"))

    ids = await asyncio.gather(*(app.enqueue(job) for _ in range(30)))

    assert len(set(ids)) == count(db) == 1


async def test_no_jobs_in_a_call_are_no_ids(app: App) -> None:
    assert await app.enqueue_many([]) == []


async def test_what_a_task_declares_holds_before_any_worker_has_run(app: App) -> None:
    @app.task(name="t", queue="mail", priority=9, timeout="5s", delivery="at_most_once")
    def task() -> None: ...

    single = await app.run(jobs.get(await task.enqueue()))
    [batch] = await app.enqueue_many([task.job()])
    found = await app.run(jobs.get(batch))

    for each in (single, found):
        assert each is not None
        assert (each.queue, each.priority, each.delivery) == ("mail", 9, "at_most_once")
        assert each.timeout is not None
        assert each.timeout.total_seconds() == 5


async def test_an_option_that_looks_like_nothing_wins_over_the_declaration(
    app: App, db: psycopg.Connection
) -> None:
    await app.run(store.declare_tasks('[{"name": "t", "priority": 5, "timeout_ms": 7000}]'))
    job = Job("t", "{}", make_options(priority=0, no_timeout=True))

    await app.enqueue(job)
    await app.enqueue_many([job, job])
    await app.enqueue(Job("t", "{}"))

    rows = db.execute("select priority, timeout from howdah.jobs order by id").fetchall()
    assert sorted(rows, key=str) == sorted([(0, None)] * 3 + [(5, timedelta(seconds=7))], key=str)
