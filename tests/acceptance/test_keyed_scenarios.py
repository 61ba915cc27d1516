"""Scenarios of the systems before us about keys, cursors and limits, under their ids."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from howdah import App, Context, Fail, Retry, cursors, jobs, limits, on, workers
from howdah.errors import Conflict
from howdah.ids import new_id


def within(seconds: float, of_the_text: float) -> Any:
    """A bound for a busy machine; and that of the scenario's text, for a proof."""
    exactly = pytest.param(of_the_text, marks=pytest.mark.slow, id="as its text says")
    return pytest.mark.parametrize("most", [pytest.param(seconds, id="roughly"), exactly])


async def state_of(app: App, job_id: Any) -> str:
    found = await app.run(jobs.get(job_id))
    return found.state if found else "gone"


async def take(app: App, **options: Any) -> Any:
    """The one job that is there to be claimed."""
    [job] = await app.run(jobs.claim(n=10, **options))
    return job


async def done(app: App, job: Any) -> None:
    await app.run(jobs.ack(job.id, job.lease))


async def test_mq01_the_original_rule_of_collapsing(app: App) -> None:
    """MQ-01."""

    @app.task(name="a", serial_key="c", collapse="waiting")
    async def a() -> None: ...

    @app.task(name="b", serial_key="c", collapse="waiting")
    async def b(n: int) -> None: ...

    await a.enqueue()
    running = await take(app)
    waiting = await a.enqueue()
    assert waiting != running.id

    found = await asyncio.gather(*[b.enqueue(n) for n in range(50)])

    assert {*found} == {waiting}
    assert sorted(job.state for job in await app.run(jobs.list())) == ["blocked", "running"]
    assert await app.run(jobs.claim(n=10)) == []
    await done(app, running)
    assert (await take(app)).id == waiting
    assert await b.enqueue(9) not in {waiting, running.id}


@within(5.0, of_the_text=2.5)
async def test_mq03_twenty_calls_in_a_delay_are_one_job_that_sees_them_all(
    app: App, until: Any, most: float
) -> None:
    """MQ-03: in three turns, of which the machine may be slow in two."""
    seen: list[list[int]] = []

    @app.task(name="index")
    async def index(items: list[int]) -> None:
        seen.append(items)

    asked = index.options(
        serial_key="index", collapse="waiting", on_conflict="merge", delay=timedelta(seconds=2)
    )
    delays: list[timedelta] = []
    async with app.worker():
        while len(delays) < 3 and min(delays, default=timedelta.max) > timedelta(seconds=most):
            seen.clear()
            [job_id] = {await asked.enqueue([n]) for n in range(20)}
            await until(lambda: seen)
            assert seen == [[*range(20)]]
            job = await app.run(jobs.get(job_id))
            assert job is not None
            assert job.started_at is not None
            delays.append(job.started_at - job.created_at)

    assert timedelta(seconds=2) <= min(delays) <= timedelta(seconds=most)


async def test_mq04_what_becomes_of_a_cursor(app: App) -> None:
    """MQ-04."""
    seen: list[Any] = []

    @app.task(name="step", serial_key="k", retry=Retry(max_attempts=1))
    async def step(how: str, ctx: Context) -> None:
        seen.append(dict(ctx.cursor))
        ctx.cursor["n"] = {"succeeds": 1, "fails": 999, "saves": 2, "keeps": 3}[how]
        if how == "fails":
            raise ValueError(how)
        if how == "saves":
            raise Fail("enough", {"code": 7}, save_cursor=True)
        if how == "keeps":
            ctx.cursor = None

    ids = [await step.enqueue(how) for how in ("succeeds", "fails", "saves", "keeps")]
    async with app.worker() as worker:
        await worker.idle()

    found = [await app.run(jobs.get(job_id)) for job_id in ids]
    key = await app.run(cursors.get("k"))
    assert seen == [{}, {"n": 1}, {"n": 1}, {"n": 2}]
    assert [job.state for job in found] == ["succeeded", "failed", "failed", "succeeded"]
    assert json.loads(found[2].result) == {"code": 7}
    assert json.loads(found[3].cursor) == {"n": 2}
    assert key is not None
    assert (json.loads(key.cursor), key.updated_by) == ({"n": 2}, ids[2])


@within(10.0, of_the_text=2.0)
async def test_mq05_an_idle_worker_runs_fifty_quick_jobs_of_a_key_at_once(
    dsn: str, until: Any, most: float
) -> None:
    """MQ-05: nobody looks around by himself meanwhile, so each job is handed on by the one before.

    In three turns, of which the machine may be slow in two; all must be in order.
    """
    app = App(dsn, poll_every=60.0)
    order: list[int] = []
    running: list[int] = []

    @app.task(name="quick", serial_key="k")
    async def quick(n: int) -> None:
        running.append(n)
        assert running == [n]
        await asyncio.sleep(0)
        order.append(running.pop())

    seconds: list[float] = []
    async with app, app.worker(), app.worker():
        await asyncio.sleep(0.2)
        while len(seconds) < 3 and min(seconds, default=most) >= most:
            order.clear()
            began = time.monotonic()
            await app.enqueue_many([quick.job(n) for n in range(50)])
            await until(lambda: len(order) == 50, within=30)
            seconds.append(time.monotonic() - began)
            assert order == [*range(50)]

    assert min(seconds) < most


async def test_mq07_the_job_of_a_dead_worker_goes_first_and_the_cursor_is_unharmed(
    app: App, clock: Any, db: psycopg.Connection
) -> None:
    """MQ-07."""
    await app.run(cursors.put("k", {"n": 5}))
    worker = new_id()
    await app.run(workers.heartbeat(worker, name="dead", lost_after=5))
    db.execute("select howdah.enqueue('t', serial_key => 'k') from generate_series(1, 2)")
    [lost] = await app.run(jobs.claim(n=10, worker=worker))

    clock.forward("6 seconds")  # its lease and one more
    db.execute("select * from howdah.chores()")
    ended = "select outcome from howdah.attempts where job_id = %s"
    assert db.execute(ended, (lost.id,)).fetchall() == [("lost",)]
    again = await take(app)

    assert again.id == lost.id
    assert json.loads(again.cursor) == {"n": 5}
    await app.run(jobs.nack(again.id, again.lease, "given up", retry=False))
    assert (await take(app)).id != lost.id
    assert json.loads(await app.run(cursors.value("k"))) == {"n": 5}


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
async def test_mq14_a_job_that_is_retried_by_hand_waits_for_its_turn(app: App, end: str) -> None:
    """MQ-14."""

    @app.task(name="t", serial_key="k", queue="q")
    async def t(n: int) -> None: ...

    first, second = await t.enqueue(1), await t.enqueue(2)
    job = None if end == "cancelled" else await take(app)
    if job is None:
        await app.run(jobs.cancel(first))
    elif end == "succeeded":
        await done(app, job)
    else:
        await app.run(jobs.nack(job.id, job.lease, "no", retry=False))
    assert await state_of(app, first) == end
    running = await take(app)

    assert await app.run(jobs.retry(first))

    assert running.id == second
    assert await app.run(jobs.claim(n=10)) == []
    await done(app, running)
    again = await take(app)
    assert (again.id, again.queue, again.task, json.loads(again.args)) == (
        first,
        "q",
        "t",
        {"n": 1},
    )
    assert again.serial_key == "k"


async def test_mq15_cancelling_a_job_of_a_key(app: App) -> None:
    """MQ-15."""

    @app.task(name="t", serial_key="k")
    async def t() -> None: ...

    first, second, third = [await t.enqueue() for _ in range(3)]
    running = await take(app)

    assert await app.run(jobs.cancel(second))
    assert await app.run(jobs.cancel(first))  # asked for
    assert (await state_of(app, first), await state_of(app, second)) == ("running", "cancelled")
    await done(app, running)

    assert await state_of(app, first) == "cancelled"
    assert not await app.run(jobs.cancel(first))
    assert (await take(app)).id == third


@within(0.9, of_the_text=0.1)
async def test_mq16_a_job_of_a_key_starts_with_its_commit_and_a_rollback_holds_up_nobody(
    dsn: str, db: psycopg.Connection, until: Any, most: float
) -> None:
    """MQ-16: nobody looks around by himself meanwhile, so what starts has been told of its commit.

    From the commit's call to the job's first line, three times; the machine may be slow in two.
    """
    app = App(dsn, poll_every=60.0)
    started: dict[str, float] = {}

    @app.task(name="t", serial_key="k")
    async def t(name: str) -> None:
        started[name] = time.monotonic()

    async with app, app.worker(), await psycopg.AsyncConnection.connect(dsn) as connection:
        door = on(connection)
        await door.run(jobs.enqueue(t.job("rolled back")))
        await t.enqueue("another's")
        await until(lambda: "another's" in started)
        await connection.rollback()
        delays = []
        for name in ("one", "two", "three"):
            await until(lambda: db.execute("select from _howdah.idle").fetchone() is not None)
            await door.run(jobs.enqueue(t.job(name)))
            await asyncio.sleep(0.05)
            assert name not in started
            at = time.monotonic()
            await connection.commit()
            await until(lambda name=name: name in started)
            delays.append(started[name] - at)

    assert min(delays) < most
    assert "rolled back" not in started


async def test_mq18_a_queue_with_a_limit_of_one_is_a_serial_queue(app: App, until: Any) -> None:
    """MQ-18."""
    running = most = ended = 0

    @app.task(name="t", queue="serial")
    async def t() -> None:
        nonlocal running, most, ended
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        ended += 1

    await app.run(limits.put("queue:serial", 1))
    await app.enqueue_many([t.job() for _ in range(20)])
    async with app.worker(), app.worker(), app.worker():
        await until(lambda: ended == 20)

    assert most == 1


async def test_x12_a_key_that_is_taken_gives_its_job_a_new_one_or_an_error(app: App) -> None:
    """X-12."""

    @app.task(name="t")
    async def t(n: int) -> None: ...

    def keyed(policy: str) -> Any:
        return t.options(unique_key="u", on_conflict=policy)

    first = await t.options(unique_key="u").enqueue(1)

    assert await t.options(unique_key="u").enqueue(2) == first
    with pytest.raises(Conflict):
        await keyed("raise").enqueue(3)
    assert await keyed("replace").enqueue(4) == first
    job = await take(app)
    assert json.loads(job.args) == {"n": 4}
    assert await keyed("replace").enqueue(5) == first  # it runs: nothing is changed
    await done(app, job)
    assert await t.options(unique_key="u").enqueue(6) != first


async def test_r05_what_was_enqueued_later_starts_later_whatever_becomes_of_the_first(
    app: App, until: Any
) -> None:
    """R-05."""
    order: list[tuple[int, int]] = []

    @app.task(name="t", serial_key="k", retry=Retry(max_attempts=3, first=0.05))
    async def t(n: int, ctx: Context) -> None:
        order.append((n, ctx.attempt))
        if n % 4 == 0 and ctx.attempt < 3:
            raise ValueError

    for n in range(12):
        await t.options(priority=n).enqueue(n)
    async with app.worker(), app.worker():
        await until(lambda: len(order) == 12 + 3 * 2, within=20)

    assert order == sorted(order)


async def test_r06_when_the_winner_of_a_key_rolls_back_the_second_job_exists(
    app: App, dsn: str, db: psycopg.Connection, until: Any
) -> None:
    """R-06."""
    got: list[Any] = []
    enqueue = "select howdah.enqueue('t', unique_key => 'u')"
    with psycopg.connect(dsn) as winner, psycopg.connect(dsn, autocommit=True) as loser:
        won = winner.execute(enqueue).fetchone()
        thread = threading.Thread(target=lambda: got.append(loser.execute(enqueue).fetchone()))
        thread.start()
        waits = f"select pg_blocking_pids({loser.info.backend_pid}) <> '{{}}'"
        await until(lambda: db.execute(waits).fetchone() == (True,))
        winner.rollback()
        await asyncio.to_thread(thread.join)

    assert got != [won]
    assert db.execute("select array_agg(id) from howdah.jobs").fetchall() == [([got[0][0]],)]
