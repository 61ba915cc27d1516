"""ctx.progress: noted where the task runs, told to the store about once a second."""

from __future__ import annotations

import asyncio
import threading

import pytest

from howdah.context import Context
from howdah.errors import BadInput


def told(store, job_id):
    return store.one("select progress from howdah.jobs where id = %s", job_id)


async def test_a_coroutine_and_a_thread_say_how_far_they_are(app, store, eventually):
    end, go_on = asyncio.Event(), threading.Event()

    @app.task(name="here")
    async def here(context: Context) -> None:
        context.progress(1, 4, "one")
        await end.wait()

    @app.task(name="aside")
    def aside(context: Context) -> None:
        context.progress(3.5)
        go_on.wait(20)

    async with app.worker():
        jobs = [await here.enqueue(), await aside.enqueue()]
        await eventually(lambda: all(told(store, job) for job in jobs))
        found = [told(store, job) for job in jobs]
        end.set()
        go_on.set()

    assert [(each["done"], each["total"], each["note"]) for each in found] == [
        (1, 4, "one"), (3.5, None, None),
    ]  # fmt: skip


async def test_however_often_it_is_said_it_is_told_about_once_a_second(app, store, eventually):
    end = asyncio.Event()
    calls: list[int] = []

    @app.task(name="eager")
    async def eager(context: Context) -> None:
        for n in range(100_000):
            context.progress(n + 1, 100_000)
            if n % 1000 == 0:
                await asyncio.sleep(0)
        await end.wait()

    async with app.worker() as worker:
        tell = worker._parts.notes._tell
        worker._parts.notes._tell = lambda notes: calls.append(len(notes)) or tell(notes)
        job = await eager.enqueue()
        await eventually(lambda: (told(store, job) or {}).get("done") == 100_000)
        end.set()

    assert len(calls) <= 4


@pytest.mark.parametrize("done", [-1, float("nan"), "3", None, True])
async def test_what_is_no_number_is_refused_where_it_is_said(app, done):
    said: list[BaseException] = []

    @app.task(name="wrong")
    async def wrong(context: Context) -> None:
        try:
            context.progress(done)
        except BadInput as error:
            said.append(error)

    async with app.worker() as worker:
        await wrong.enqueue()
        await worker.idle()

    assert len(said) == 1
