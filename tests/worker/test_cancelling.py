"""Running jobs that somebody cancels."""

from __future__ import annotations

import asyncio
import time

from howdah import App, Context, Retry, jobs


async def test_a_running_coroutine_stops_within_two_seconds_and_its_job_ends_cancelled(
    app, store, eventually
):
    ends = []

    @app.task(name="long")
    async def long():
        try:
            await asyncio.sleep(60)
        finally:
            ends.append(time.monotonic())

    async with app.worker():
        job_id = await long.enqueue()
        await eventually(lambda: store.state(job_id) == "running")
        asked = time.monotonic()
        assert await app.run(jobs.cancel(job_id))
        await eventually(lambda: store.state(job_id) == "cancelled", within=2)

    assert len(ends) == 1
    assert ends[0] - asked < 1
    assert store.one("select count(*) from _howdah.cancel_request") == 0
    assert store.one("select count(*) from howdah.jobs where id = %s", job_id) == 1


async def test_a_running_thread_is_told_to_stop(app, store, eventually):
    told = []

    @app.task(name="long")
    def long(ctx: Context):
        told.append(ctx.wait_cancelled(20))

    async with app.worker():
        job_id = await long.enqueue()
        await eventually(lambda: store.state(job_id) == "running")
        await app.run(jobs.cancel(job_id))
        await eventually(lambda: store.state(job_id) == "cancelled", within=2)
        await eventually(lambda: told)

    assert told == [True]


async def test_a_task_that_is_told_once_may_clean_up_in_peace(dsn, store, eventually):
    app, cleaned, interrupted = App(dsn, lost_after=1.0), [], []

    @app.task(name="tidy")
    async def tidy():
        try:
            await asyncio.sleep(60)
        finally:
            try:
                await asyncio.sleep(0.7)  # several looks of this worker
                cleaned.append(True)
            except asyncio.CancelledError:
                interrupted.append(True)
                raise

    async with app, app.worker():
        job_id = await tidy.enqueue()
        await eventually(lambda: store.state(job_id) == "running")
        await app.run(jobs.cancel(job_id))
        await eventually(lambda: store.state(job_id) == "cancelled", within=3)

    assert (cleaned, interrupted) == ([True], [])


async def test_a_job_that_was_to_be_cancelled_is_not_tried_again(app, store, eventually):
    starts, fails = [], asyncio.Event()

    @app.task(name="fails", retry=Retry(max_attempts=5, first=0.01))
    async def failing():
        starts.append(1)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            fails.set()
            raise ValueError("while it was being cancelled") from None

    async with app.worker():
        job_id = await failing.enqueue()
        await eventually(lambda: store.state(job_id) == "running")
        await app.run(jobs.cancel(job_id))
        await fails.wait()
        await eventually(lambda: store.state(job_id) == "cancelled")

    assert len(starts) == 1


async def test_a_success_that_meets_the_request_ends_cancelled_with_its_result(
    dsn, store, eventually
):
    app, go = App(dsn, poll_every=30.0), asyncio.Event()

    @app.task(name="quick")
    async def quick():
        await go.wait()
        return 42

    async with app, app.worker():
        job_id = await quick.enqueue()
        await eventually(lambda: store.state(job_id) == "running")
        store.do(  # unheard
            "insert into _howdah.cancel_request (job_id, lease, requested_at)"
            " select id, lease, now() from _howdah.job where id = %s",
            job_id,
        )
        go.set()
        await eventually(lambda: store.state(job_id) == "cancelled")

    assert store.job(job_id).result == 42


async def test_a_job_in_the_local_queue_is_cancelled_without_a_start(app, store, eventually):
    """It was claimed beside the running one, and waits."""
    starts, go = [], asyncio.Event()

    @app.task(name="one")
    async def one(n: int):
        starts.append(n)
        if n == -1:
            await go.wait()

    async with app.worker(slots=1) as worker:
        for n in range(300):
            await app.enqueue(one.job(n))
        await eventually(lambda: len(starts) == 300)
        many = await app.enqueue_many([one.job(-1), *(one.job(n) for n in range(300, 400))])
        await eventually(lambda: -1 in starts)
        waiting = worker.status()["waiting"]
        running = [job_id for job_id in many[1:] if store.state(job_id) == "running"]
        assert len(running) == waiting
        for job_id in running:
            await app.run(jobs.cancel(job_id))
        starts.clear()
        go.set()
        await eventually(lambda: store.states()["ready"] + store.states()["running"] == 0)

    assert {store.state(job_id) for job_id in running} <= {"cancelled"}


async def test_cancel_when_the_listener_just_came_back_is_not_overheard(dsn, store, eventually):
    app = App(dsn, poll_every=30.0)

    @app.task(name="long")
    async def long():
        await asyncio.sleep(60)

    async with app, app.worker() as worker:
        job_id = await long.enqueue()
        await eventually(lambda: store.state(job_id) == "running" and worker.status()["listening"])
        store.do(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name = 'howdah listener' and datname = current_database()"
        )
        await eventually(lambda: not worker.status()["listening"])
        await app.run(jobs.cancel(job_id))
        await eventually(lambda: store.state(job_id) == "cancelled", within=2)
