"""A user of django-postgres-queue: delivery, priorities, times, and work in one transaction."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from howdah import App, Retry, jobs, on


async def test_a_job_is_enqueued_with_the_users_own_data_and_runs_after_the_commit(
    app: App, dsn: str, db: psycopg.Connection, until: Any
) -> None:
    """D-2."""
    started = asyncio.Event()

    @app.task(name="greet")
    async def greet(user_id: int) -> int:
        started.set()
        return user_id

    db.execute("create table if not exists person (id int)")
    async with app.worker():
        connection = await psycopg.AsyncConnection.connect(dsn)
        await connection.execute("insert into person values (1)")
        job_id = await on(connection, schema="howdah").enqueue(greet.job(1))
        before = started.is_set(), db.execute("select count(*) from person").fetchone()
        await connection.commit()
        result = await app.result(job_id, timeout=10)
        await connection.close()
    db.execute("drop table person")

    assert before == (False, (0,))
    assert result == 1


async def test_higher_priority_runs_first_then_who_came_first(app: App) -> None:
    order: list[str] = []

    @app.task(name="note")
    async def note(name: str) -> None:
        order.append(name)

    await app.enqueue_many(
        [
            note.job("first"),
            note.options(priority=-5).job("low"),
            note.job("second"),
            note.options(priority=5).job("high"),
        ]
    )
    async with app.worker(slots=1) as worker:
        await worker.idle()

    assert order == ["high", "first", "second", "low"]


async def test_a_job_for_later_does_not_run_before_its_time(app: App, until: Any) -> None:
    ran: list[datetime] = []

    @app.task(name="later")
    async def later() -> None:
        ran.append(datetime.now(UTC))

    due = datetime.now(UTC) + timedelta(seconds=0.6)
    async with app.worker():
        await later.options(run_at=due).enqueue()
        await until(lambda: ran)

    assert timedelta(0) <= ran[0] - due < timedelta(seconds=0.25)


async def test_a_task_that_raises_is_tried_again_and_its_arguments_stay_as_they_were(
    app: App,
) -> None:
    seen: list[int] = []

    @app.task(name="flaky", retry=Retry(first=0.05, jitter=0))
    async def flaky(n: int) -> str:
        seen.append(n)
        if len(seen) < 3:
            raise RuntimeError("not yet")
        return "done"

    job_id = await flaky.enqueue(7)
    async with app.worker():
        result = await app.result(job_id, timeout=10)
    found = await app.run(jobs.get(job_id))

    assert (result, seen) == ("done", [7, 7, 7])
    assert found is not None
    assert (found.attempt, found.args) == (3, '{"n": 7}')


async def test_at_most_once_is_never_started_twice(app: App, until: Any) -> None:
    """D-8."""
    runs: list[int] = []

    @app.task(name="pay", delivery="at_most_once", retry=Retry(first=0))
    async def pay() -> None:
        runs.append(1)
        raise RuntimeError("lost")

    job_id = await pay.enqueue()
    async with app.worker() as worker:
        await until(lambda: runs)
        await worker.idle()
    found = await app.run(jobs.get(job_id))

    assert runs == [1]
    assert found is not None
    assert found.state == "failed"
    assert "RuntimeError: lost" in (found.error or "")


async def test_a_job_given_up_by_one_worker_is_there_for_another_at_once(app: App) -> None:
    """D-6."""

    @app.task(name="t")
    async def task() -> None: ...

    job_id = await task.enqueue()
    [claimed] = await app.run(jobs.claim())

    await app.run(jobs.release(claimed.id, claimed.lease))
    [again] = await app.run(jobs.claim())

    assert (again.id, again.attempt) == (job_id, 1)
    assert again.lease != claimed.lease


async def test_no_transaction_is_open_while_a_task_runs(app: App, db: psycopg.Connection) -> None:
    """DPQ-09."""
    started, go_on = asyncio.Event(), asyncio.Event()

    @app.task(name="slow")
    async def slow() -> None:
        started.set()
        await go_on.wait()

    job_id = await slow.enqueue()
    async with app.worker():
        await asyncio.wait_for(started.wait(), 10)
        idle_in_transaction = db.execute(
            "select query from pg_stat_activity where datname = current_database() "
            "and state like 'idle in transaction%'"
        ).fetchall()
        go_on.set()
        await app.result(job_id, timeout=10)

    assert idle_in_transaction == []


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
async def test_what_ran_can_be_looked_at_in_plain_sql(
    app: App, db: psycopg.Connection, delivery: str
) -> None:
    @app.task(name="double", delivery=delivery)
    async def double(n: int) -> int:
        return 2 * n

    job_id = await double.enqueue(21)
    async with app.worker():
        await app.result(job_id, timeout=10)

    assert db.execute(
        "select task, args, state, attempt, result, delivery from howdah.jobs"
    ).fetchall() == [("double", {"n": 21}, "succeeded", 1, 42, delivery)]
