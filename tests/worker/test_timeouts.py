"""Attempts whose time is up."""

from __future__ import annotations

import asyncio
import threading
import time

from howdah import App, Context, Retry
from howdah.events import TaskStuck


async def test_a_coroutine_is_cancelled_when_its_time_is_up(app, store, eventually):
    """PJ-08."""
    seen = []

    @app.task(name="slow", timeout=0.2, retry=Retry(max_attempts=1))
    async def slow(ctx: Context):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append(ctx.cancelled)
            raise

    async with app.worker():
        job_id = await slow.enqueue()
        await eventually(lambda: store.state(job_id) == "failed")

    assert seen == [True]
    assert store.attempts(job_id) == ["timeout"]
    assert store.job(job_id).error == "timed out after 0.2 s"


async def test_a_timeout_is_tried_again_as_the_policy_says(app, store, eventually):
    starts = []

    @app.task(name="slow", timeout=0.1, retry=Retry(max_attempts=3, first=0.05))
    async def slow(ctx: Context):
        starts.append(ctx.attempt)
        await asyncio.sleep(60 if ctx.attempt < 3 else 0)

    async with app.worker():
        job_id = await slow.enqueue()
        await eventually(lambda: store.state(job_id) == "succeeded")

    assert starts == [1, 2, 3]
    assert store.attempts(job_id) == ["timeout", "timeout"]


async def test_a_coroutine_that_swallows_its_cancelling_loses_its_slot_and_is_reported(
    app, store, eventually, seen
):
    stuck, goes_on = seen(app, TaskStuck), asyncio.Event()

    @app.task(name="deaf", timeout=0.1, retry=Retry(max_attempts=1))
    async def deaf():
        while not goes_on.is_set():
            try:
                await goes_on.wait()
            except asyncio.CancelledError:
                continue

    @app.task(name="next")
    async def following(): ...

    async with app.worker(slots=1):
        job_id = await deaf.enqueue()
        after = await following.enqueue()
        await eventually(lambda: store.state(after) == "succeeded", within=4)
        goes_on.set()

    assert [event.job.id for event in stuck] == [job_id]
    assert store.job(job_id).state == "failed"
    assert store.attempts(job_id) == ["timeout"]


async def test_one_that_returns_after_its_time_was_up_has_timed_out_all_the_same(
    app, store, eventually
):
    @app.task(name="late", timeout=0.1, retry=Retry(max_attempts=1))
    async def late():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "as if nothing had happened"

    async with app.worker():
        job_id = await late.enqueue()
        await eventually(lambda: store.state(job_id) == "failed")

    assert store.attempts(job_id) == ["timeout"]
    assert store.job(job_id).result is None


async def test_a_thread_is_told_and_left_behind_reported_and_its_slot_given_to_another(
    app, store, eventually, seen
):
    stuck, told, end = seen(app, TaskStuck), [], threading.Event()

    @app.task(name="deaf", timeout=0.2, retry=Retry(max_attempts=1))
    def deaf(ctx: Context):
        told.append(ctx.wait_cancelled(10))
        end.wait(20)
        told.append("the end")

    @app.task(name="next")
    def following(): ...

    async with app.worker(slots=1):
        job_id = await deaf.enqueue()
        after = await following.enqueue()
        await eventually(lambda: store.state(after) == "succeeded", within=4)
        await eventually(lambda: stuck, within=4)
        failed = store.job(job_id)
        end.set()
        await eventually(lambda: "the end" in told)
        again = await following.enqueue()
        await eventually(lambda: store.state(again) == "succeeded")

    assert [event.job.id for event in stuck] == [job_id]
    assert told == [True, "the end"]
    assert store.job(job_id) == failed
    assert store.attempts(job_id) == ["timeout"]


async def test_a_thread_that_ends_soon_after_it_was_told_is_not_reported(
    app, store, eventually, seen
):
    stuck, ends = seen(app, TaskStuck), []

    @app.task(name="polite", timeout=0.2, retry=Retry(max_attempts=1))
    def polite(ctx: Context):
        ctx.wait_cancelled(10)
        ends.append(time.monotonic())

    async with app.worker():
        job_id = await polite.enqueue()
        await eventually(lambda: store.state(job_id) == "failed" and ends)
        await eventually(lambda: time.monotonic() > ends[0] + 1.3)

    assert stuck == []
    assert store.attempts(job_id) == ["timeout"]


async def test_a_result_that_arrives_after_the_job_runs_anew_changes_nothing(
    app, store, eventually
):
    gates = [threading.Event(), threading.Event()]

    @app.task(name="slow", timeout=0.3, retry=Retry(max_attempts=2, first=0.01))
    def slow(ctx: Context):
        if ctx.attempt == 1:
            gates[0].wait(20)
            return "first"
        gates[1].wait(20)
        return "second"

    async with app.worker(slots=2):
        job_id = await slow.options(timeout=0.3).enqueue()
        await eventually(
            lambda: store.job(job_id).attempt == 2 and store.state(job_id) == "running"
        )
        gates[0].set()
        gates[1].set()
        await eventually(lambda: store.state(job_id) == "succeeded")

    assert store.job(job_id).result == "second"


async def test_a_job_without_timeout_runs_on(app, store, eventually):
    @app.task(name="long", no_timeout=True)
    async def long(ctx: Context):
        assert ctx.remaining is None
        assert ctx.deadline is None

    async with app.worker():
        job_id = await long.enqueue()
        await eventually(lambda: store.state(job_id) == "succeeded")


async def test_extend_gives_an_attempt_more_time(app, store, eventually):
    left = []

    @app.task(name="longer", timeout=0.3, retry=Retry(max_attempts=1))
    async def longer(ctx: Context):
        await ctx.extend("20s")
        left.append(ctx.remaining)
        await asyncio.sleep(0.6)

    async with app.worker():
        job_id = await longer.enqueue()
        await eventually(
            lambda: store.state(job_id) != "ready" and store.state(job_id) != "running"
        )

    assert store.job(job_id).state == "succeeded"
    assert 19 < left[0] <= 20


async def test_extend_sync_gives_a_thread_more_time(app, store, eventually):
    @app.task(name="patient", timeout=0.4)
    def patient(ctx: Context) -> float | None:
        ctx.extend_sync("20s")
        ctx.wait_cancelled(0.8)
        return ctx.remaining

    async with app.worker():
        job_id = await app.enqueue(patient.job())
        left = await app.result(job_id, timeout=10)

    assert 15 < left < 20


async def test_a_task_hears_by_extend_that_its_job_is_no_longer_its_own(dsn, store, eventually):
    app, errors = App(dsn, poll_every=30.0), []

    @app.task(name="long")
    async def long(ctx: Context):
        store.do("select howdah.release(%s, %s)", ctx.job_id, ctx.fence)
        store.do("select howdah.pause('default')")
        try:
            await ctx.extend(10)
        except Exception as error:
            errors.append(type(error).__name__)

    async with app, app.worker():
        job_id = await long.enqueue()
        await eventually(lambda: errors)

    assert errors == ["LeaseLost"]
    assert store.state(job_id) == "ready"
