"""Scenarios of the five systems before us that need no worker process, under their ids."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any
from uuid import uuid4

import asyncpg
import psycopg
import pytest

from howdah import App, BadInput, Context, JobFailed, LeaseLost, Retry, jobs, on, workers
from howdah.job import Job, make_options


def count(db: psycopg.Connection) -> int:
    row = db.execute("select count(*) from howdah.jobs").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def orders(db: psycopg.Connection) -> Any:
    """A table of the user's, whose rows enqueue."""
    db.execute(
        """
        create table orders (id int);
        create function ordered() returns trigger language plpgsql as $$
        begin
            perform howdah.enqueue('order.placed', jsonb_build_object('order_id', new.id));
            return new;
        end $$;
        create trigger ordered after insert on orders for each row execute function ordered();
        """
    )
    yield
    db.execute("drop table orders; drop function ordered")


@pytest.fixture
async def notified(dsn: str, db: psycopg.Connection) -> AsyncIterator[list[str]]:
    """What is notified while the test runs."""
    [(channel,)] = db.execute("select howdah.channel()").fetchall()
    heard: list[str] = []
    connection = await asyncpg.connect(dsn)
    await connection.add_listener(channel, lambda *event: heard.append(str(event[3])))
    yield heard
    await connection.close()


async def heard_all(notified: list[str], dsn: str, until: Any) -> list[str]:
    """All notifications sent so far: one more is sent, and waited for."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("select pg_notify(howdah.channel(), 'end')")
    await until(lambda: "end" in notified)
    return [payload for payload in notified if payload != "end"]


@pytest.mark.usefixtures("orders")
def test_pj01_a_trigger_enqueues_with_its_transaction_or_not_at_all(
    dsn: str, db: psycopg.Connection
) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("insert into orders values (1)")
        connection.rollback()
    rolled_back = count(db)

    db.execute("insert into orders values (2)")

    assert rolled_back == 0
    assert db.execute("select task, args from howdah.jobs").fetchall() == [
        ("order.placed", {"order_id": 2})
    ]


@pytest.mark.usefixtures("orders")
async def test_pj01_a_thousand_rows_are_a_thousand_jobs_and_one_wake_up(
    dsn: str, db: psycopg.Connection, notified: list[str], until: Any
) -> None:
    me = uuid4()
    db.execute("select howdah.heartbeat(%s, name => 'w', queues => '{*}')", [me])
    db.execute("select howdah.claim('{*}', 1, worker => %s, idle => true)", [me])

    db.execute("insert into orders select generate_series(1, 1000)")
    payloads = await heard_all(notified, dsn, until)

    assert count(db) == 1000
    assert payloads == [f"w{str(me)[:8]}"]


def test_pj02_a_thousand_composites_take_the_defaults_in_input_order(
    db: psycopg.Connection,
) -> None:
    made = db.execute(
        """select ordinal, id from howdah.enqueue_many(array(
             select row('t', jsonb_build_object('n', n), null, null, null, null, null, null, null,
                        null, null, null, null, null)::howdah.new_job
             from generate_series(1, 1000) n order by n))"""
    ).fetchall()
    stored = db.execute(
        "select id, (args->>'n')::int, queue, priority, max_attempts, timeout from howdah.jobs"
    ).fetchall()

    assert [ordinal for ordinal, _ in made] == [*range(1, 1001)]
    assert {row[0]: row[1] for row in stored} == {job_id: ordinal for ordinal, job_id in made}
    assert {row[2:] for row in stored} == {("default", 0, 4, timedelta(seconds=60))}


def test_pj02_one_invalid_row_leaves_none(db: psycopg.Connection) -> None:
    with pytest.raises(psycopg.Error) as refused:
        db.execute(
            """select howdah.enqueue_many(array(
                 select row('t', case when n = 500 then '[]'::jsonb else '{}' end, null, null, null,
                            null, null, null, null, null, null, null, null, null)::howdah.new_job
                 from generate_series(1, 1000) n))"""
        )

    assert refused.value.diag.sqlstate == "JQ001"
    assert "job 500" in (refused.value.diag.message_primary or "")
    assert count(db) == 0


async def test_pj05_one_instant_in_any_zone_is_the_same_time(app: App, dsn: str) -> None:
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    east = moment.astimezone(timezone(timedelta(hours=5)))

    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute("set time zone 'America/New_York'")
        ids = [
            await on(connection, schema="howdah").enqueue(Job("t", "{}", make_options(run_at=at)))
            for at in (moment, east)
        ]
        cursor = await connection.execute(
            "select howdah.enqueue('t', run_at => %s::timestamptz)", [moment.isoformat()]
        )
        ids += [row[0] for row in await cursor.fetchall()]
    found = [await app.run(jobs.get(job_id)) for job_id in ids]

    assert {job.run_at for job in found if job is not None} == {moment}
    assert len(found) == 3


def test_pj05_a_time_without_a_zone_is_refused(app: App) -> None:
    with pytest.raises(BadInput, match="time zone"):
        make_options(run_at=datetime(2030, 1, 1))  # noqa: DTZ001


async def test_pj11_a_pattern_takes_what_begins_like_it_and_nothing_else(app: App) -> None:
    for task in ("task.new.1", "task.new.1.x", "task.old", "axb", "a_b", "a%b", "ab"):
        await app.enqueue(Job(task, "{}"))

    new = await app.run(jobs.claim(n=10, tasks=["task.new.*"]))
    literal = await app.run(jobs.claim(n=10, tasks=["a_b"]))
    percent = await app.run(jobs.claim(n=10, tasks=["a%*"]))

    assert {job.task for job in new} == {"task.new.1", "task.new.1.x"}
    assert [job.task for job in literal] == ["a_b"]
    assert [job.task for job in percent] == ["a%b"]


async def test_pj11_queues_are_told_apart_in_the_same_way(app: App) -> None:
    for queue in ("mail", "mail.bulk", "mailbox", "m_il"):
        await app.enqueue(Job("t", "{}", make_options(queue=queue)))

    exact = await app.run(jobs.claim(["m_il"], 10))
    pattern = await app.run(jobs.claim(["mail.*"], 10))
    both = await app.run(jobs.claim(["mail*"], 10))

    assert [job.queue for job in exact] == ["m_il"]
    assert [job.queue for job in pattern] == ["mail.bulk"]
    assert {job.queue for job in both} == {"mail", "mailbox"}


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "howdah.app.App", "no.such.module"])
async def test_pj18_a_dotted_path_in_a_row_is_never_imported(
    app: App, db: psycopg.Connection, name: str, until: Any
) -> None:
    @app.task(name="known")
    async def known() -> int:
        return 1

    hostile = await app.enqueue(Job(name, '{"command":"touch /tmp/howdah-was-here"}'))
    async with app.worker() as worker:
        result = await app.result(await known.enqueue(), timeout=10)
        await worker.idle()
        why = await app.run(jobs.why(hostile))
    found = await app.run(jobs.get(hostile))

    assert result == 1
    assert found is not None
    assert (found.state, found.attempt) == ("ready", 0)
    assert "knows the task" in why


async def test_pj18_a_task_whose_import_fails_is_a_failed_job_not_a_crash(app: App) -> None:
    @app.task(name="broken", retry=Retry(max_attempts=1))
    async def broken() -> None:
        import no_such_module  # type: ignore[import-not-found]  # noqa: F401

    @app.task(name="next")
    async def after() -> str:
        return "ran"

    first, second = await app.enqueue(broken.job()), await app.enqueue(after.job())
    async with app.worker():
        with pytest.raises(JobFailed, match="no_such_module"):
            await app.result(first, timeout=10)
        assert await app.result(second, timeout=10) == "ran"


async def test_pj19_what_is_published_in_a_transaction_is_invisible_before_its_commit(
    app: App, dsn: str, db: psycopg.Connection
) -> None:
    connection = await asyncpg.connect(dsn)
    transaction = connection.transaction()
    await transaction.start()

    job_id = await app.on(connection).enqueue(Job("t", "{}"))
    before = await app.run(jobs.get(job_id)), await app.run(jobs.claim())
    await transaction.commit()
    after = await app.run(jobs.claim())
    await connection.close()

    assert before == (None, [])
    assert [job.id for job in after] == [job_id]


@pytest.mark.parametrize("scenario", ["DPQ-03", "MQ-16"])
async def test_dpq03_mq16_a_job_starts_within_100_ms_of_its_commit_and_never_before(
    app: App, dsn: str, until: Any, notified: list[str], scenario: str
) -> None:
    started: list[float] = []

    @app.task(name="t")
    async def task() -> None:
        started.append(time.monotonic())

    waited = []
    async with app.worker() as worker:
        connection = await psycopg.AsyncConnection.connect(dsn)
        for _ in range(5):
            started.clear()
            await worker.idle()
            await until(lambda: worker.status()["listening"])
            await app.on(connection).enqueue(task.job())
            await worker.idle()
            assert started == []
            committed = time.monotonic()
            await connection.commit()
            await until(lambda: started)
            waited.append(started[0] - committed)
        await connection.close()

    assert sorted(waited)[2] < 0.1


async def test_dpq03_mq16_a_rollback_starts_nothing_and_notifies_nobody(
    app: App, dsn: str, notified: list[str], until: Any
) -> None:
    started: list[int] = []

    @app.task(name="t")
    async def task() -> None:
        started.append(1)

    async with app.worker() as worker:
        await worker.idle()
        connection = await psycopg.AsyncConnection.connect(dsn)
        await app.on(connection).enqueue(task.job())
        await app.on(connection).enqueue_many([task.job()] * 10)
        await connection.rollback()
        await connection.close()
        payloads = await heard_all(notified, dsn, until)
        await worker.idle()

    assert (started, [payload for payload in payloads if payload.startswith("w")]) == ([], [])


async def test_dpq08_an_overdue_job_that_always_fails_waits_from_now_on_and_can_be_brought_back(
    app: App, db: psycopg.Connection, until: Any
) -> None:
    starts: list[float] = []

    @app.task(name="doomed", retry=Retry(max_attempts=3, first=0.3, factor=2, jitter=0))
    async def doomed(n: int) -> None:
        starts.append(time.monotonic())
        raise RuntimeError(f"no {len(starts)}")

    job_id = await doomed.options(run_at=datetime.now(UTC) - timedelta(hours=1)).enqueue(7)
    async with app.worker():
        with pytest.raises(JobFailed, match="no 3"):
            await app.result(job_id, timeout=10)
        gaps = [late - early for early, late in pairwise(starts)]
        again = await app.run(jobs.retry(job_id))
        await until(lambda: len(starts) == 4)
    found = await app.run(jobs.get(job_id))

    assert (len(gaps), again) == (2, True)
    assert 0.3 <= gaps[0] < 0.6
    assert 0.6 <= gaps[1] < 0.9
    assert found is not None
    assert (found.id, found.args) == (job_id, '{"n": 7}')


async def test_dpq12_a_worker_leaves_alone_what_it_does_not_know_and_that_is_visible(
    app: App,
) -> None:
    @app.task(name="a")
    async def known() -> str:
        return "ran"

    other = await app.enqueue(Job("b", "{}"))
    mine = await known.enqueue()
    async with app.worker() as worker:
        result = await app.result(mine, timeout=10)
        await worker.idle()
        why = await app.run(jobs.why(other))
        found = await app.run(jobs.get(other))

    assert result == "ran"
    assert found is not None
    assert (found.state, found.attempt) == ("ready", 0)
    assert why == "no worker of queue default knows the task b"


async def test_dpq13_ten_thousand_jobs_with_priorities_and_times_are_one_statement_and_one_wake_up(
    app: App, dsn: str, db: psycopg.Connection, notified: list[str], until: Any
) -> None:
    """D-3."""

    @app.task(name="t")
    def task(n: int) -> None: ...

    now, me = datetime.now(UTC), uuid4()
    await app.run(workers.heartbeat(me, name="w", queues=["*"]))
    await app.run(jobs.claim(["*"], worker=me, idle=True))
    many = [
        task.options(priority=n % 7, run_at=now + timedelta(hours=1) if n % 2 else None).job(n)
        for n in range(10_000)
    ]

    started = time.monotonic()
    ids = await app.enqueue_many(many)
    took = time.monotonic() - started
    payloads = await heard_all(notified, dsn, until)

    assert len(set(ids)) == count(db) == 10_000
    assert took < 2
    assert payloads == [f"w{str(me)[:8]}"]
    states = db.execute("select state, count(*) from howdah.jobs group by 1 order by 1").fetchall()
    assert states == [("ready", 5000), ("scheduled", 5000)]


async def test_dpq17_one_view_shows_queues_and_one_who_works_on_what(
    app: App, db: psycopg.Connection
) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    @app.task(name="slow", queue="mail")
    async def slow() -> None:
        started.set()
        await go_on.wait()

    await slow.options(delay="1h").enqueue()
    await app.enqueue(Job("unknown", "{}", make_options(queue="mail")))
    running = await slow.enqueue()
    async with app.worker(name="clerk"):
        await asyncio.wait_for(started.wait(), 10)
        queues = db.execute(
            "select queue, ready, scheduled, running, failed from howdah.queues"
            " where queue = 'mail'"
        ).fetchall()
        busy = db.execute(
            "select w.name, w.running, r.id from howdah.workers w"
            " join howdah.running r on r.worker = w.id"
        ).fetchall()
        [(pid,)] = db.execute("select pid from howdah.workers").fetchall()
        go_on.set()
        await app.result(running, timeout=10)

    assert queues == [("mail", 1, 1, 1, 0)]
    assert busy == [("clerk", 1, running)]
    assert isinstance(pid, int)


async def test_x12_the_same_key_twice_while_unfinished_is_one_job_and_then_free_again(
    app: App,
) -> None:
    job = Job("t", "{}", make_options(unique_key="k"))

    first, second = await app.enqueue(job), await app.enqueue(job)
    [claimed] = await app.run(jobs.claim())
    while_running = await app.enqueue(job)
    await app.run(jobs.ack(claimed.id, claimed.lease))
    afterwards = await app.enqueue(job)

    assert first == second == while_running
    assert afterwards != first


async def test_x12_an_id_of_the_callers_is_idempotent_for_ever(
    app: App, db: psycopg.Connection
) -> None:
    job = Job("t", "{}", make_options(id=uuid4()))

    first, second = await app.enqueue(job), await app.enqueue(job)
    [claimed] = await app.run(jobs.claim())
    await app.run(jobs.ack(claimed.id, claimed.lease))
    afterwards = await app.enqueue(job)

    assert first == second == afterwards == job.options.id
    assert count(db) == 1


async def test_x13_a_task_sees_its_attempt_its_limit_and_its_deadline_and_may_have_more_time(
    app: App,
) -> None:
    seen: list[tuple[Any, ...]] = []

    @app.task(name="t", timeout=20, retry=Retry(max_attempts=2, first=0))
    async def task(context: Context, n: int) -> None:
        before = context.remaining
        await context.extend("5m")
        seen.append(
            (
                context.attempt,
                context.max_attempts,
                context.args,
                before,
                context.remaining,
                context.fence,
            )
        )
        if context.attempt == 1:
            raise RuntimeError("again")

    job_id = await task.enqueue(7)
    async with app.worker():
        await app.result(job_id, timeout=10)

    assert [facts[:3] for facts in seen] == [(1, 2, {"n": 7}), (2, 2, {"n": 7})]
    assert [15 < facts[3] <= 20 for facts in seen] == [True, True]  # each attempt has its own 20 s
    assert [290 < facts[4] <= 300 for facts in seen] == [True, True]
    assert seen[0][5] != seen[1][5]


async def test_x13_a_job_performed_by_hand_may_have_more_time_too(
    app: App, db: psycopg.Connection
) -> None:
    @app.task(name="t", timeout=0.2)
    async def task(context: Context) -> str:
        await context.extend("5m")
        await asyncio.sleep(0.4)
        return "in time"

    await task.enqueue()
    [claimed] = await app.run(jobs.claim())
    outcome = await app.perform(claimed)
    [(left,)] = db.execute("select leased_until - clock_timestamp() from howdah.jobs").fetchall()
    refused = await app.run(jobs.finish([outcome]))

    assert outcome.kind == "succeeded"
    assert left > timedelta(minutes=4)
    assert refused == []


async def test_x13_a_stale_holder_gets_no_more_time(app: App, db: psycopg.Connection) -> None:
    await app.enqueue(Job("t", "{}"))
    [claimed] = await app.run(jobs.claim())
    await app.run(jobs.release(claimed.id, claimed.lease))

    with pytest.raises(LeaseLost):
        await app.run(jobs.extend(claimed.id, claimed.lease, "5m"))

    assert [job.attempt for job in await app.run(jobs.claim())] == [1]
