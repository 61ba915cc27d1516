"""Jobs with keys on a worker: in turn, with their cursor, within their limits."""

from __future__ import annotations

import asyncio
import time

import pytest

from howdah import App, BadInput, Context, Fail, cursors, jobs, limits
from howdah.errors import Conflict


async def test_quick_jobs_of_one_key_run_in_turn_and_hand_on_the_cursor(app: App, eventually):
    seen: list[int] = []
    running = 0

    @app.task(name="step", serial_key="account:{account}")
    async def step(account: int, ctx: Context) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        seen.append(ctx.cursor.get("n", 0))
        ctx.cursor["n"] = len(seen)
        running -= 1

    async with app.worker(slots=20):
        await asyncio.sleep(0.2)
        began = time.monotonic()
        for _ in range(50):
            await step.enqueue(7)
        await eventually(lambda: len(seen) == 50)

    assert seen == [*range(50)]
    assert time.monotonic() - began < 10  # it was one per look around, once
    key = await app.run(cursors.get("account:7"))
    assert key is not None
    assert (key.cursor, key.version) == ('{"n": 50}', 50)


@pytest.mark.parametrize("how", ["raises", "fails and keeps", "fails and saves", "sets None"])
async def test_what_becomes_of_the_cursor(app: App, eventually, how: str):
    @app.task(name="step", serial_key="k")
    async def step(ctx: Context) -> None:
        ctx.cursor = {"n": 999}
        if how == "raises":
            raise ValueError
        if how == "sets None":
            ctx.cursor = None
        elif how.startswith("fails"):
            raise Fail("no", save_cursor=how == "fails and saves")

    await app.run(cursors.put("k", {"n": 1}))
    async with app.worker():
        job_id = await step.enqueue()

        async def has_ended() -> bool:
            return (await app.run(jobs.get(job_id))).state in {"scheduled", "failed", "succeeded"}

        await eventually(has_ended)

    n = 999 if how == "fails and saves" else 1
    assert await app.run(cursors.value("k")) == f'{{"n": {n}}}'


async def test_a_cursor_that_is_no_dict_fails_the_job_alone(app: App):
    @app.task(name="step", serial_key="k")
    async def step(ctx: Context) -> None:
        ctx.cursor = [1]  # type: ignore[assignment]

    async with app.worker():
        job_id = await step.enqueue()
        with pytest.raises(Exception, match="a cursor must be a dict"):
            await app.result(job_id, timeout=10)


async def test_never_more_than_the_limit_at_once_over_two_workers(app: App, eventually):
    running: dict[str, int] = {"a": 0, "b": 0}
    most: dict[str, int] = {"a": 0, "b": 0}
    done = 0

    @app.task(name="call", limit_keys=["tenant:{tenant}"])
    async def call(tenant: str) -> None:
        nonlocal done
        running[tenant] += 1
        most[tenant] = max(most[tenant], running[tenant])
        await asyncio.sleep(0.002)
        running[tenant] -= 1
        done += 1

    await app.run(limits.put("tenant:*", 3))
    await app.enqueue_many([call.job(tenant) for _ in range(60) for tenant in ("a", "b")])
    async with app.worker(slots=20), app.worker(slots=20):
        await eventually(lambda: done == 120, within=20)

    assert most == {"a": 3, "b": 3}
    assert [(row.key, row.taken) for row in await app.run(limits.list())] == [
        ("tenant:*", 0),
        ("tenant:a", 0),
        ("tenant:b", 0),
    ]


async def test_a_task_with_a_unique_key_of_its_arguments(app: App):
    @app.task(name="welcome", unique="user:{user_id}", on_conflict="raise")
    async def welcome(user_id: int) -> None: ...

    await welcome.enqueue(1)
    await welcome.enqueue(2)

    with pytest.raises(Conflict):
        await welcome.enqueue(1)


async def test_what_is_said_at_the_job_goes_before_the_task(app: App):
    @app.task(name="sync", serial_key="account:{account}", on_failure="skip")
    async def sync(account: int) -> None: ...

    one = await sync.options(serial_key="mine").enqueue(1)
    two = await sync.enqueue(2)

    assert (await app.run(jobs.get(one))).serial_key == "mine"
    assert (await app.run(jobs.get(two))).serial_key == "account:2"


async def test_a_unique_key_of_the_job_goes_before_declared_collapsing_and_vice_versa(app: App):
    @app.task(name="sync", serial_key="account:{account}", collapse="waiting")
    async def sync(account: int) -> None: ...

    @app.task(name="welcome", unique="user:{user_id}", unique_for="1h")
    async def welcome(user_id: int) -> None: ...

    collapsing = welcome.options(serial_key="s", collapse="waiting")
    unique = sync.options(unique_key="u")

    ids = [await task.enqueue(1) for task in (sync, unique, welcome, collapsing)]

    assert len(set(ids)) == 4
    assert [await task.enqueue(1) for task in (sync, unique, welcome, collapsing)] == ids


@pytest.mark.parametrize(
    "options",
    [
        {"collapse": "sometimes"},
        {"collapse": "waiting"},
        {"serial_key": "x" * 201},
        {"limit_keys": "one"},
        {"limit_keys": [""]},
        {"unique_for": "-1s"},
    ],
)
async def test_bad_options_are_refused_where_they_enter(app: App, options):
    @app.task(name="t")
    async def t() -> None: ...

    with pytest.raises(BadInput):
        t.options(**options)
