"""How soon an idle worker starts what has come."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from statistics import median

import psycopg
import pytest

from howdah import App, Retry
from howdah.worker.fetcher import LOOK_EVERY


@pytest.fixture
def lazy(dsn):
    """An app whose workers look around every 30 s at most (and say that they live every 5 s)."""
    return App(dsn, poll_every=30.0)


@pytest.fixture
def idle(store):
    """The workers that are marked as idle."""
    return lambda n=1: store.one("select count(*) from _howdah.idle") == n


async def test_an_idle_worker_starts_a_job_at_its_commit(
    lazy, store, eventually, idle, record_property
):
    """D-7."""
    starts = []

    @lazy.task(name="job")
    async def job(n: int):
        starts.append(time.monotonic())

    took = []
    async with lazy, lazy.worker():
        for n in range(50):
            await eventually(idle)
            await job.enqueue(n)
            enqueued = time.monotonic()
            await eventually(lambda n=n: len(starts) == n + 1)
            took.append(starts[n] - enqueued)

    median, worst = statistics.median(took) * 1000, max(took) * 1000
    record_property("start_ms", (round(median, 2), round(worst, 2)))
    assert median < 10
    assert worst < 2000


async def test_a_job_starts_after_the_commit_of_its_transaction_and_not_before(
    lazy, dsn, store, eventually, idle
):
    starts = []

    @lazy.task(name="job")
    async def job():
        starts.append(time.monotonic())

    async with lazy, lazy.worker():
        await eventually(idle)
        with psycopg.connect(dsn) as connection:
            lazy.on(connection).enqueue(job.job())
            marker = await lazy.enqueue(job.options(unique_key="m").job())
            await eventually(lambda: store.state(marker) == "succeeded")
            assert len(starts) == 1
            await eventually(idle)
            committing = time.monotonic()
        await eventually(lambda: len(starts) == 2, within=6)

    assert starts[1] > committing


async def test_a_delayed_job_starts_when_it_is_due(lazy, store, eventually, idle, record_property):
    """DPQ-06."""
    starts = []

    @lazy.task(name="job")
    async def job():
        starts.append(time.time())

    async with lazy, lazy.worker():
        await eventually(idle)
        job_id = await job.options(delay=0.5).enqueue()
        await eventually(lambda: starts, within=3)

    due = store.one(
        "select extract(epoch from run_at)::float8 from howdah.jobs where id = %s", job_id
    )
    record_property("late_ms", round((starts[0] - due) * 1000, 1))
    assert 0 <= starts[0] - due + 0.001 < 0.25


async def test_a_retry_starts_when_it_is_due(lazy, store, eventually, idle):
    starts = []

    @lazy.task(name="job", retry=Retry(first=0.5, jitter=0))
    async def job():
        starts.append(time.monotonic())
        if len(starts) == 1:
            raise ValueError("once")

    async with lazy, lazy.worker():
        await eventually(idle)
        await job.enqueue()
        await eventually(lambda: len(starts) == 2, within=3)

    assert 0.45 < starts[1] - starts[0] < 0.8


async def test_a_worker_that_looks_around_seldom_is_not_taken_for_dead(lazy, store, eventually):
    """It beats at least six times within the time after which it would be lost."""
    async with lazy, lazy.worker() as worker:
        longest = store.one("select extract(epoch from lost_after)::float8 from howdah.workers")
        assert worker._parts.looker._every <= longest / 6


@pytest.fixture
async def told(lazy, store, eventually, idle):
    """A worker that slept and knows a floor, its task, and what its claims found from then on."""
    starts, found = [], []

    @lazy.task(name="job")
    async def job(n: int):
        starts.append(n)

    async with lazy, lazy.worker(slots=1) as worker:
        await eventually(idle)
        first = await job.enqueue(0)
        await eventually(lambda: store.state(first) == "succeeded" and idle())
        await worker._parts.fetcher.found_nothing.wait()
        original = worker._parts._claims.run

        async def noted(call, **options):
            answer = await original(call, **options)
            if "claim" in call.text:
                jobs = answer if "claim_above" in call.text else answer[0]
                found.append(("claim_above" in call.text, len(jobs)))
            return answer

        worker._parts._claims.run = noted
        yield worker, job, starts, found
        worker._parts._claims.run = original


async def test_who_is_told_of_a_job_claims_it_on_the_short_road(told, eventually, idle):
    _, job, starts, found = told

    await job.enqueue(1)
    await eventually(lambda: starts == [0, 1] and idle())

    assert found[0] == (True, 1)
    assert all(not is_short for is_short, _ in found[1:])


@pytest.mark.parametrize("queue", ["default", "urgent", "at once"])
async def test_of_what_came_together_the_greater_priority_starts_first(
    told, lazy, eventually, queue
):
    worker, job, starts, found = told
    looked_at = max(worker._parts.fetcher._looked_at.values())  # for other queues
    await eventually(lambda: time.monotonic() > looked_at + LOOK_EVERY)

    await lazy.enqueue_many([job.job(1), job.options(queue=queue, priority=5).job(2)])
    await eventually(lambda: len(starts) == 3)

    assert starts == [0, 2, 1]
    assert found[0] == (True, 0)


async def test_a_road_that_leads_nowhere_is_not_taken_each_time(told, store, eventually, idle):
    worker, job, starts, found = told
    for road in worker._parts.fetcher._short.values():
        road._rest = 60.0
    store.do("select howdah.put_limit('another', 1)")

    for n in range(1, 4):
        await job.enqueue(n)
        await eventually(lambda n=n: starts[-1] == n and idle())

    assert [len_found for is_short, len_found in found if is_short] == [0]


async def test_a_job_whose_claim_on_the_short_road_was_never_answered_runs_once(
    told, store, eventually
):
    worker, job, starts, found = told
    answered = worker._parts._claims.run

    async def lost(call, **options):
        answer = await answered(call, **options)
        if found[-1:] == [(True, 1)] and "claim_above" in call.text:
            await worker._parts._claims.close()
            raise ConnectionResetError("the answer was lost")
        return answer

    worker._parts._claims.run = lost
    job_id = await job.enqueue(1)
    await eventually(lambda: store.state(job_id) == "succeeded", within=3)

    assert starts == [0, 1]
    assert found[0] == (True, 1)
    assert store.one("select attempt from howdah.jobs where id = %s", job_id) == 1


async def test_of_twenty_idle_workers_one_stirs_for_one_job(
    lazy, store, eventually, idle, record_property
):
    """It claims the job, finds nothing more, and claims once more before it sleeps.

    A poll of its own in the same moment can add one; not each time.
    """

    @lazy.task(name="job")
    async def job(): ...

    async with lazy:
        workers = [lazy.worker(name=f"worker {n}") for n in range(20)]
        claims: Counter[str] = Counter()
        rounds: list[Counter[str]] = []
        for worker in workers:
            await worker.__aenter__()
            original = worker._parts._claims.run

            async def counted(call, *, original=original, name=worker.identity.name, **options):
                claims[name] += ".claim" in call.text
                return await original(call, **options)

            worker._parts._claims.run = counted
        try:
            await eventually(lambda: idle(20), within=20)
            for worker in workers:
                await eventually(worker._parts.fetcher.found_nothing.is_set)
            for _ in range(3):
                claims.clear()
                job_id = await job.enqueue()
                await asyncio.sleep(1.0)  # the second that is looked at
                assert store.state(job_id) == "succeeded"
                await eventually(lambda: idle(20))
                rounds.append(+claims)
        finally:
            for worker in workers:
                await worker.__aexit__()

    record_property("claims", [dict(each) for each in rounds])
    assert median(len(each) for each in rounds) == 1
    assert median(each.total() for each in rounds) <= 3
    assert max(each.total() for each in rounds) <= 6


async def test_a_thousand_jobs_for_a_saturated_worker_are_enqueued_without_one_notification(
    lazy, dsn, store, eventually, idle
):
    end = asyncio.Event()

    @lazy.task(name="long")
    async def long():
        await end.wait()

    with psycopg.connect(dsn, autocommit=True) as listener:
        async with lazy, lazy.worker(slots=2):
            await eventually(idle)
            await lazy.enqueue_many([long.job() for _ in range(6)])
            await eventually(lambda: store.states().get("running", 0) >= 2)
            listener.execute(f'listen "{store.one("select howdah.channel()")}"')
            for _ in range(1000):
                await long.enqueue()
            heard = [notice.payload for notice in listener.notifies(timeout=0.2)]
            end.set()
            await eventually(lambda: store.states() == {"succeeded": 1006}, within=30)

    assert heard == []


async def test_a_paused_queue_is_left_alone_until_it_is_resumed(lazy, store, eventually, idle):
    @lazy.task(name="job")
    async def job(): ...

    store.do("select howdah.pause('default')")
    async with lazy, lazy.worker():
        await eventually(idle)
        job_id = await job.enqueue()
        other = await job.options(queue="other").enqueue()
        await eventually(lambda: store.state(other) == "succeeded")
        assert store.state(job_id) == "ready"
        await eventually(idle)
        store.do("select howdah.resume('default')")
        await eventually(lambda: store.state(job_id) == "succeeded", within=2)
