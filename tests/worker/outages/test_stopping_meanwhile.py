"""A worker that is to stop while the database is away: patient when told once, gone when twice."""

from __future__ import annotations

import asyncio
import time

import pytest

from howdah import App
from howdah.events import DatabaseLost, WorkerStopped


@pytest.fixture
def busy(eventually, seen):
    """An app's worker, one of whose two jobs has ended and one runs when the database goes away."""

    async def make(dsn, go_away, store):
        app, go, ran = App(dsn, poll_every=0.2, shutdown_after=30), asyncio.Event(), []
        lost = seen(app, DatabaseLost)

        @app.task(name="short")
        async def short():
            ran.append("short")
            await go.wait()

        @app.task(name="long")
        async def long():
            ran.append("long")
            await asyncio.sleep(60)

        worker = app.worker()
        await worker.__aenter__()
        for task in ("short", "long"):
            store.enqueue(task)
        await eventually(lambda: len(ran) == 2)
        await go_away()
        go.set()
        return app, worker, lost

    return make


@pytest.fixture
def waiting(busy, eventually):
    """A worker whose server is down, and which was told once to stop: only results are left."""

    async def make(server, store):
        _, worker, lost = await busy(server.dsn, lambda: asyncio.to_thread(server.stop), store)
        await eventually(lambda: "finisher" in {event.loop for event in lost})
        for each in [*worker._parts.runner._running]:
            each.stop("cancel")
        worker.stop()
        await eventually(lambda: not worker.status()["running"])
        return worker

    return make


async def is_gone(worker):
    """Seconds until the worker has ended."""
    began = time.monotonic()
    await asyncio.wait_for(worker.wait(), 20)
    return time.monotonic() - began


async def test_the_second_word_ends_a_worker_whose_database_is_down(
    server, busy, store_of, eventually, seen, caplog
):
    app, worker, lost = await busy(
        server.dsn, lambda: asyncio.to_thread(server.stop), store_of(server.dsn)
    )
    stopped = seen(app, WorkerStopped)
    await eventually(lambda: "finisher" in {event.loop for event in lost})

    worker.stop()
    await eventually(lambda: worker.status()["stopping"])
    worker.stop()
    took = await is_gone(worker)

    assert took < 2.8
    assert [event.has_left for event in stopped] == [False]
    assert "what came of 2 jobs could not be stored" in caplog.text


@pytest.mark.slow
async def test_the_second_word_is_heard_while_results_are_waited_for(server, waiting, store_of):
    """No job runs any more when it comes."""
    worker = await waiting(server, store_of(server.dsn))
    still = asyncio.create_task(worker.wait())
    await asyncio.wait({still}, timeout=3.5)
    waited = not still.done()
    worker.stop()
    took = await is_gone(worker)

    assert waited
    assert took < 2.8


async def test_the_second_word_ends_a_worker_whose_path_to_the_database_is_dead(
    dsn, road_to, store, busy, eventually
):
    road = await road_to(dsn)

    async def die():
        road.die()

    _, worker, _ = await busy(road.dsn, die, store)

    worker.stop(hurry=True)
    took = await is_gone(worker)

    assert took < 2.8


async def test_one_word_keeps_results_until_the_database_is_back(server, waiting, store_of):
    worker = await waiting(server, store_of(server.dsn))
    await server.started()
    await is_gone(worker)

    assert store_of(server.dsn).states() == {"succeeded": 1, "cancelled": 1}
