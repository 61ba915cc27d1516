"""What a task may know of its own run."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

import pytest

from howdah import BadInput, Context, current


async def test_a_task_sees_its_job(app, store, eventually):
    """M-13."""
    seen = []

    @app.task(name="look")
    async def look(n: int, ctx: Context):
        seen.append(ctx)

    async with app.worker():
        job_id = await look.options(
            queue="mail", headers={"trace": "abc"}, tags=["a", "b"], max_attempts=7
        ).enqueue(5)
        await eventually(lambda: store.state(job_id) == "succeeded")

    ctx = seen[0]
    assert (ctx.job_id, ctx.queue, ctx.task) == (job_id, "mail", "look")
    assert (ctx.attempt, ctx.max_attempts) == (1, 7)
    assert ctx.args == {"n": 5}
    assert (ctx.headers, ctx.tags) == ({"trace": "abc"}, ("a", "b"))
    assert ctx.fence == store.one("select lease from _howdah.finished where id = %s", job_id)
    assert not ctx.cancelled


async def test_the_deadline_is_the_timeout_from_the_start_on(app, store, eventually):
    seen = []

    @app.task(name="look", timeout="10m")
    def look(ctx: Context):
        seen.append((ctx.deadline - datetime.now(UTC), ctx.remaining))

    async with app.worker():
        job_id = await look.enqueue()
        await eventually(lambda: store.state(job_id) == "succeeded")

    deadline, remaining = seen[0]
    assert timedelta(minutes=9.9) < deadline <= timedelta(minutes=10)
    assert 594 < remaining <= 600


async def test_current_is_the_context_inside_a_job_and_nothing_outside(app, store, eventually):
    seen = {}

    @app.task(name="coroutine")
    async def coroutine():
        seen["coroutine"] = current().job_id

    @app.task(name="thread")
    def thread():
        seen["thread"] = current().job_id

    assert current() is None
    async with app.worker():
        ids = [await coroutine.enqueue(), await thread.enqueue()]
        await eventually(lambda: store.states()["succeeded"] == 2)

    assert current() is None
    assert [seen["coroutine"], seen["thread"]] == ids


async def test_log_records_carry_the_job(app, store, eventually, caplog):
    @app.task(name="log")
    async def log(ctx: Context):
        ctx.log.warning("hello %s", "there", extra={"mine": 1})

    with caplog.at_level(logging.INFO):
        async with app.worker():
            job_id = await log.options(queue="mail").enqueue()
            await eventually(lambda: store.state(job_id) == "succeeded")

    record = next(record for record in caplog.records if record.getMessage() == "hello there")
    assert (record.job_id, record.task, record.queue) == (str(job_id), "log", "mail")
    assert (record.attempt, record.mine) == (1, 1)


async def test_a_context_carries_what_the_task_adds_to_it_for_its_callees(app, store, eventually):
    def charge() -> str:
        return f"{current().customer} pays in {current().currency}"

    @app.task(name="pay")
    async def pay(ctx: Context) -> str:
        assert ctx.extend(customer="ann", currency="NZD") is ctx
        ctx.extend(customer="bob")
        return charge()

    async with app.worker():
        job_id = await pay.enqueue()
        await eventually(lambda: store.state(job_id) == "succeeded")

    assert store.job(job_id).result == "bob pays in NZD"


async def test_what_is_the_contexts_own_cannot_be_replaced_and_a_missing_name_says_how(
    app, store, eventually
):
    seen = []

    @app.task(name="look")
    async def look(ctx: Context) -> None:
        for wrong in ({"job_id": 1}, {"extend": 1}, {"cancelled": True}, {"connection": None}):
            with pytest.raises(BadInput, match="own"):
                ctx.extend(**wrong)
        with pytest.raises(BadInput, match="both"):
            ctx.extend("5m", customer=1)
        with pytest.raises(AttributeError, match=r"ctx\.extend\(customer=…\)"):
            _ = ctx.customer
        seen.append(hasattr(ctx, "customer"))

    async with app.worker():
        job_id = await look.enqueue()
        await eventually(lambda: store.state(job_id) == "succeeded")

    assert seen == [False]


async def test_a_context_adds_nothing_to_that_of_the_next_job(app, store, eventually):
    seen = []

    @app.task(name="add")
    async def add(ctx: Context, *, n: int) -> None:
        seen.append(hasattr(ctx, "n"))
        ctx.extend(n=n)

    async with app.worker(slots=1):
        for n in range(2):
            await add.enqueue(n=n)
        await eventually(lambda: store.states()["succeeded"] == 2)

    assert seen == [False, False]


who: ContextVar[str] = ContextVar("who", default="nobody")


async def test_what_a_job_sets_in_a_context_variable_is_not_there_for_the_next_in_its_thread(
    app, store, eventually
):
    @app.task(name="sets")
    def sets(name: str) -> list[object]:
        before = who.get()
        who.set(name)
        return [before, threading.get_ident()]

    async with app.worker(slots=1):
        jobs = [await sets.enqueue(name) for name in ("Ada", "Grace")]
        await eventually(lambda: store.states()["succeeded"] == 2)

    (first, thread), (second, same) = (store.job(job).result for job in jobs)
    assert thread == same
    assert [first, second] == ["nobody", "nobody"]


async def test_current_counts_what_is_left_from_the_start_whenever_it_is_first_asked(
    app, store, eventually
):
    @app.task(name="asks", timeout=10)
    async def asks() -> float:
        await asyncio.sleep(0.2)
        return current().remaining

    async with app.worker():
        job_id = await asks.enqueue()
        await eventually(lambda: store.state(job_id) == "succeeded")

    assert store.job(job_id).result < 9.85
