"""How many jobs run at once, in which order, and what is left to others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from uuid import uuid4

import msgspec
import pytest

from howdah import App, BadInput
from howdah.jobs import Claimed


@pytest.mark.parametrize("kind", ["coroutines", "threads"])
async def test_fifty_jobs_of_a_second_run_side_by_side(
    app, store, eventually, kind, record_property
):
    """PJ-09, J-9."""
    if kind == "coroutines":

        @app.task(name="second")
        async def second():
            await asyncio.sleep(1)
    else:

        @app.task(name="second")
        def second():
            time.sleep(1)

    await app.enqueue_many([second.job() for _ in range(50)])
    began = time.monotonic()
    async with app.worker(slots=50):
        await eventually(lambda: store.states()["succeeded"] == 50)
        took = time.monotonic() - began

    record_property("seconds", round(took, 2))
    assert took < 2.5


async def test_no_more_run_than_there_are_slots(app, store, eventually):
    at_once, most = Counter(), Counter()

    def begin(queue):
        at_once[queue] += 1
        most[queue] = max(most[queue], at_once[queue])

    @app.task(name="job")
    async def job(queue: str):
        begin(queue)
        await asyncio.sleep(0.01)
        at_once[queue] -= 1

    for queue in ("mail", "web", "other"):
        await app.enqueue_many([job.options(queue=queue).job(queue) for _ in range(60)])
    async with app.worker(queues=["mail:2", "web:5"], slots=50):
        await eventually(lambda: store.states()["succeeded"] == 120)

    assert most == {"mail": 2, "web": 5}
    assert store.states()["ready"] == 60


async def test_a_queue_with_slots_of_its_own_is_not_served_by_a_pattern_beside_it(
    app, store, eventually
):
    at_once = most = 0

    @app.task(name="job")
    async def job():
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.05)
        at_once -= 1

    await app.enqueue_many([job.options(queue="mail").job() for _ in range(20)])
    async with app.worker(queues=["mail:2", "*"], slots=10):
        await eventually(lambda: store.states()["succeeded"] == 20)

    assert most == 2


async def test_queues_of_a_pattern_with_slots_of_its_own_share_them_and_no_others(
    app, store, eventually
):
    at_once, most = Counter(), Counter()

    @app.task(name="job")
    async def job(kind: str):
        at_once[kind] += 1
        most[kind] = max(most[kind], at_once[kind])
        await asyncio.sleep(0.02)
        at_once[kind] -= 1

    for queue in ("mail", "sms.de", "sms.fr", "web"):
        kind = queue.partition(".")[0]
        await app.enqueue_many([job.options(queue=queue).job(kind) for _ in range(20)])
    async with app.worker(queues=["mail:2", "sms.*:2", "*"], slots=10):
        await eventually(lambda: store.states()["succeeded"] == 80)

    assert (most["mail"], most["sms"]) == (2, 2)
    assert most["web"] > 2


async def test_a_group_of_slots_looks_for_new_queues_however_often_another_does(
    app, store, eventually
):
    ran = []

    @app.task(name="job")
    async def job(queue: str):
        ran.append(queue)
        await asyncio.sleep(0.25)

    await app.enqueue_many([job.options(queue="known").job("known") for _ in range(40)])
    async with app.worker(queues=["mail:2", "*:1"]):
        await eventually(lambda: len(ran) > 2)
        await job.options(queue="new", priority=5).enqueue("new")
        await eventually(lambda: "new" in ran, 3)

    assert store.states()["ready"] > 0


@pytest.mark.parametrize(
    "wrong", [{"slots": 0}, {"slots": -1}, {"slots": "8"}, {"queues": ["mail:2"], "slots": 0}]
)
def test_a_worker_without_slots_is_refused(app, wrong):
    with pytest.raises(BadInput, match="slots cannot be had"):
        app.worker(**wrong)


@pytest.mark.parametrize("wrong", [{"queues": [5]}, {"name": 5}, {"name": "x" * 201}], ids=repr)
def test_what_is_no_name_is_refused_before_it_starts(app, wrong):
    with pytest.raises(BadInput, match=r"no name|worker's name"):
        app.worker(**wrong)


def test_a_worker_without_queues_is_refused_with_how_to_have_all(app):
    with pytest.raises(BadInput, match="without queues") as refused:
        app.worker(queues=[])

    assert refused.value.hint == "Leave out queues for all."


async def test_slow_jobs_are_left_to_an_idle_worker(dsn, store, eventually):
    ran: Counter[str] = Counter()
    apps = [App(dsn), App(dsn)]
    for n, app in enumerate(apps):

        @app.task(name="slow")
        async def slow(n: int = n):
            ran[f"worker {n}"] += 1
            await asyncio.sleep(0.5)

    async with apps[0], apps[1], apps[0].worker(slots=2), apps[1].worker(slots=2):
        await apps[0].enqueue_many([apps[0].tasks["slow"].job() for _ in range(8)])
        await eventually(lambda: store.states()["succeeded"] == 8)

    assert min(ran.values()) >= 3
    assert len(ran) == 2


async def test_greater_priorities_run_first_and_then_first_come(app, store, eventually):
    order = []

    @app.task(name="job")
    async def job(n: int):
        order.append(n)

    for n, priority in enumerate([0, -5, 7, 7, 0, 100]):
        await app.enqueue(job.options(priority=priority).job(n))
    async with app.worker(slots=1):
        await eventually(lambda: len(order) == 6)

    assert order == [5, 2, 3, 0, 4, 1]


async def test_a_thread_that_is_left_behind_takes_no_slot_with_it(app, store, eventually):
    end = threading.Event()

    @app.task(name="deaf", timeout=0.05)
    def deaf():
        end.wait(20)

    @app.task(name="job")
    def job(): ...

    async with app.worker(slots=2):
        await app.enqueue_many([deaf.options(max_attempts=1).job() for _ in range(4)])
        await eventually(lambda: store.states()["failed"] == 4)
        await app.enqueue_many([job.job() for _ in range(20)])
        await eventually(lambda: store.states()["succeeded"] == 20)
        end.set()


@pytest.mark.slow
async def test_ten_thousand_small_jobs_run_once_each(app, store, eventually):
    ran: Counter[int] = Counter()

    @app.task(name="job")
    async def job(n: int):
        ran[n] += 1

    await app.enqueue_many([job.job(n) for n in range(10_000)])
    async with app.worker():
        await eventually(lambda: len(ran) == 10_000, within=20)
        await eventually(lambda: store.one("select count(*) from _howdah.job") == 0)

    assert set(ran.values()) == {1}
    assert store.one("select count(*) from _howdah.finished where state = 'S'") == 10_000
    assert store.one("select count(*) from _howdah.lease") == 0


async def test_what_was_claimed_at_a_pace_that_is_over_goes_to_who_has_room(dsn, store, eventually):
    """Short jobs first, so that it claims ahead; then long ones, of which it can run two."""
    go_on = asyncio.Event()

    def declare(app):
        @app.task(name="short")
        async def short() -> None: ...

        @app.task(name="long", timeout="60s")
        async def long() -> None:
            await go_on.wait()

        return app

    async with declare(App(dsn)).worker(slots=2) as busy:
        for _ in range(600):
            store.enqueue("short")
        for _ in range(10):
            store.enqueue("long")
        await eventually(lambda: len(busy.status()["running"]) == 2 and busy.status()["waiting"])

        async with declare(App(dsn)).worker(slots=20) as free:
            await eventually(lambda: len(free.status()["running"]) == 8, within=5)
            go_on.set()
            await eventually(lambda: store.states()["succeeded"] == 610)

    assert store.one("select max(attempt) from howdah.jobs where task = 'long'") == 1


async def test_slots_that_never_run_dry_keep_no_others_waiting(app, store, eventually):
    ran: list[str] = []

    @app.task(name="flood", queue="flood")
    async def flood():
        ran.append("flood")

    @app.task(name="own", queue="own")
    async def own():
        ran.append("own")

    async with app:
        worker = app.worker(queues=["flood:10", "own:10"])
        first, second = worker._parts.groups[:2]
        async with worker:
            await eventually(lambda: store.one("select count(*) from howdah.workers where idle"))
            job = Claimed(
                id=uuid4(), lease=uuid4(), queue="flood", task="flood", args="{}", priority=0,
                attempt=1, base_attempt=0, max_attempts=4, timeout_ms=None,
                delivery="at_least_once", leased_until=None, headers=None, tags=None,
            )  # fmt: skip
            first.waiting.extend([job] * 400)
            second.waiting.extend([msgspec.structs.replace(job, task="own")] * 5)
            worker._parts.runner.fill()
            await eventually(lambda: len(ran) == 405)

    assert ran[:10].count("own") == 5
