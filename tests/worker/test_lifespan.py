"""What an app opens before its first job and closes after its last."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from howdah import App, BadInput, Context


@pytest.fixture
def said():
    return []


async def test_it_is_open_from_before_the_first_job_until_after_the_last(
    dsn, store, eventually, said
):
    @contextlib.asynccontextmanager
    async def opened(app: App):
        async with asyncio.TaskGroup() as group:  # must be left by the task that entered it
            group.create_task(asyncio.sleep(0))
            said.append(f"open, {app.tasks.keys()}")
            yield {"pool": "a pool"}
            said.append("closed")

    app = App(dsn, lifespan=opened)

    @app.task(name="uses")
    async def uses(ctx: Context) -> str:
        await asyncio.sleep(0.1)
        said.append("used")
        return ctx.resources["pool"]

    async with app, app.worker():
        job_id = await app.enqueue(uses.job())
        assert await app.result(job_id, 10) == "a pool"
        job_id = await app.enqueue(uses.job())
        await eventually(lambda: store.state(job_id) == "running")

    assert said == ["open, dict_keys(['uses'])", "used", "used", "closed"]


async def test_it_may_be_a_plain_context_manager(dsn, said):
    @contextlib.contextmanager
    def opened(_: App):
        yield 42
        said.append("closed")

    app = App(dsn, lifespan=opened)

    @app.task(name="uses")
    def uses(ctx: Context) -> int:
        return ctx.resources

    async with app, app.worker():
        job_id = await app.enqueue(uses.job())
        assert await app.result(job_id, 10) == 42

    assert said == ["closed"]


async def test_a_worker_whose_lifespan_fails_does_not_start(dsn, store):
    @contextlib.asynccontextmanager
    async def opened(_: App):
        raise ConnectionError("the cache is away")
        yield

    app = App(dsn, lifespan=opened)

    with pytest.raises(ConnectionError, match="the cache is away") as raised:
        async with app.worker():
            pass

    assert raised.value.__notes__ == ["(in the app's lifespan, before the first job)"]
    assert store.one("select count(*) from howdah.workers") == 0


def test_what_cannot_be_called_is_no_lifespan():
    with pytest.raises(BadInput, match="cannot be called"):
        App(lifespan=contextlib.nullcontext())


async def test_what_gives_no_context_manager_is_no_lifespan(dsn):
    async def opened(_: App):  # the decorator was forgotten
        yield

    with pytest.raises(BadInput, match=r"gives async_generator.*\n.*asynccontextmanager"):
        async with App(dsn, lifespan=opened).worker():
            pass


async def test_a_worker_whose_lifespan_ends_by_itself_hands_back_what_runs_and_leaves(dsn, store):
    @contextlib.asynccontextmanager
    async def opened(_: App):
        async def feed():
            await broken.wait()
            raise ConnectionError("the feed has ended")

        async with asyncio.TaskGroup() as group:
            group.create_task(feed())
            yield

    broken, app = asyncio.Event(), App(dsn, lifespan=opened, shutdown_after=0.1)

    @app.task(name="long")
    async def long():
        broken.set()
        await asyncio.sleep(60)

    async with app:
        running = await long.enqueue()
        worker = app.worker(slots=1)
        with contextlib.suppress(ExceptionGroup):
            async with worker:
                with pytest.raises(ExceptionGroup) as raised:
                    await asyncio.wait_for(worker.wait(), 3)

    assert "the feed has ended" in repr(raised.value)
    assert (store.job(running).state, store.job(running).attempt) == ("ready", 0)
    assert store.one("select count(*) from howdah.workers") == 0
