"""Interleavings that are rare in life, made on purpose."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from uuid import uuid4

import pytest

from howdah import App, Retry, jobs
from howdah.events import AttemptFinished, LeaseRefused, TaskStuck
from howdah.worker import fetcher as fetcher_module
from howdah.worker.threads import Threads

SWEEP = """
update _howdah.worker set beat_at = '2020-01-01', lock_key = null;
update _howdah.pulse set resumed_at = 'epoch', beat_at = clock_timestamp();
select _howdah.rescue(1000);
"""


async def test_a_job_that_comes_back_while_its_last_attempt_still_ends_costs_no_slot(
    dsn, store, eventually, seen
):
    app, starts, ended = App(dsn, lost_after=1.0), Counter(), asyncio.Event()
    refused = seen(app, LeaseRefused)

    @app.task(name="job")
    async def job(n: int):
        starts[n] += 1
        if starts[n] > 1:
            return
        try:
            await asyncio.sleep(60)
        finally:
            await ended.wait()  # it ends slowly

    async with app, app.worker(slots=4) as worker:
        ids = await app.enqueue_many([job.job(n) for n in range(2)])
        await eventually(lambda: len(starts) == 2)
        store.do(SWEEP)
        await eventually(lambda: [store.state(job_id) for job_id in ids] == ["succeeded"] * 2)
        ended.set()
        await eventually(lambda: not worker.status()["running"])
        assert sum(group.running for group in worker._parts.groups) == 0

    assert starts == {0: 2, 1: 2}
    assert refused == []


@pytest.mark.parametrize("road", [".claim(", ".claim_above("])
async def test_a_claim_that_was_under_way_when_the_worker_was_swept_starts_nothing(
    dsn, store, eventually, road
):
    app, starts = App(dsn, poll_every=30.0), []

    @app.task(name="job")
    async def job():
        starts.append(1)

    async with app, app.worker() as worker:
        await worker._parts.listener.up.wait()  # which has it look once more
        if road == ".claim_above(":  # a floor is needed
            first = await job.enqueue()
            await eventually(lambda: store.state(first) == "succeeded")
            await eventually(lambda: store.one("select count(*) from _howdah.idle") == 1)
            starts.clear()
        await worker._parts.fetcher.found_nothing.wait()  # no claim is under way
        original = worker._parts._claims.run
        late, arrived = asyncio.Event(), asyncio.Event()

        async def slow(call, **options):
            answer = await original(call, **options)
            if road in call.text and answer and answer[0] and not late.is_set():
                arrived.set()
                await late.wait()
            return answer

        worker._parts._claims.run = slow
        old = worker.identity.id
        job_id = await job.enqueue()
        await arrived.wait()
        store.do(SWEEP)
        worker._parts.looker.poke()
        await eventually(lambda: worker.identity.id != old)
        late.set()
        await eventually(lambda: store.state(job_id) == "succeeded")

    assert starts == [1]


async def test_a_worker_that_had_no_room_to_ask_does_not_take_itself_for_marked(
    app, store, monkeypatch
):
    """Its pace may fall between two questions; a mark that is only believed loses wake-ups."""
    worker = app.worker()
    slots, fetcher = worker._parts.groups[0], worker._parts.fetcher
    room = iter([1, 0])
    monkeypatch.setattr(slots, "wants", lambda: next(room, 0))
    await worker._parts.looks.run(worker.identity.registration())

    assert not await fetcher._claim_for(slots)
    await worker._parts._claims.close()
    await worker._parts.looks.close()

    marked = store.one("select count(*) from _howdah.idle")
    assert len(fetcher._marked) == marked


async def test_a_job_that_came_between_the_look_and_the_mark_is_found_before_sleeping(
    dsn, store, eventually
):
    """Its enqueuer saw no mark, and notified nobody."""
    app = App(dsn, poll_every=30.0)

    @app.task(name="job")
    async def job(): ...

    worker, came = app.worker(), []
    original = worker._parts._claims.run

    async def between(call, **options):
        answer = await original(call, **options)
        if ".claim(" in call.text and True in call.values and not came:
            came.append(store.one(QUIETLY))
        return answer

    worker._parts._claims.run = between
    async with app, worker:
        await eventually(lambda: came and store.state(came[0]) == "succeeded", within=2)


QUIETLY = """
insert into _howdah.job (seq, created_at, id, state, queue, task, args)
values (nextval('_howdah.seq'), now(), gen_random_uuid(), 'r', 'default', 'job', '{}') returning id
"""


async def test_marks_are_made_again_after_each_find(app, store, eventually):
    @app.task(name="job")
    async def job(): ...

    async with app.worker(queues=["a:1", "b:2", "c*"]):
        for queue in ("a", "b", "cc", "a", "b", "cc"):
            job_id = await job.options(queue=queue).enqueue()
            await eventually(lambda job_id=job_id: store.state(job_id) == "succeeded")
            await eventually(lambda: store.one("select cardinality(queues) from _howdah.idle") == 3)


async def test_a_subscriber_that_raises_costs_neither_slots_nor_deadlines(app, store, eventually):
    def rude(event):
        if isinstance(event, AttemptFinished | TaskStuck):
            raise RuntimeError("a bad subscriber")

    @app.task(name="job", timeout=0.1, retry=Retry(max_attempts=1))
    async def job(n: int):
        await asyncio.sleep(60 if n % 2 else 0)

    app.events.subscribe(rude)
    async with app.worker(slots=2):
        ids = await app.enqueue_many([job.job(n) for n in range(10)])
        await eventually(lambda: store.states() == {"succeeded": 5, "failed": 5})

    assert len(ids) == 10


async def test_threads_end_with_what_used_them(app, store, eventually):
    @app.task(name="job")
    def job(): ...

    def ours():
        return [thread for thread in threading.enumerate() if "howdah thread" in thread.name]

    before = len(ours())
    for _ in range(30):
        await job.enqueue()
        [claimed] = await app.run(jobs.claim(n=1))
        await app.run(jobs.finish([await app.perform(claimed)]))

    await eventually(lambda: len(ours()) <= before, within=3)


async def test_a_function_that_was_cancelled_before_its_thread_took_it_is_not_called():
    threads, began, go, called = Threads(), threading.Event(), threading.Event(), []
    box = threads._new_thread()

    def first():
        began.set()
        go.wait(10)

    future = threads_future()
    box.put((future, first))
    await asyncio.to_thread(began.wait, 10)
    second = threads_future()
    box.put((second, lambda: called.append(1)))

    assert second.cancel()
    go.set()
    last = threads_future()
    box.put((last, lambda: "last"))
    assert await asyncio.wrap_future(last) == "last"
    threads.stop()

    assert called == []


def threads_future():
    from concurrent.futures import Future

    return Future()


@pytest.mark.parametrize("ticks", range(5))
async def test_a_look_that_is_asked_for_while_the_worker_leaves_does_not_keep_it(app, ticks):
    """Whoever waits for one of two things may not take the one for the other."""
    async with app.worker() as worker:
        for _ in range(20):
            sleep = asyncio.create_task(worker._parts.looker._sleep(60))
            await asyncio.sleep(0.001)
            worker._parts.looker.poke()
            for _ in range(ticks):
                await asyncio.sleep(0)
            was_told = sleep.cancel()
            await asyncio.wait({sleep})

            assert sleep.cancelled() == was_told
            worker._parts.looker._poked.clear()


async def test_a_stop_between_claim_and_start_hands_the_claimed_back(dsn, store, eventually):
    app, starts = App(dsn, poll_every=30.0), []

    @app.task(name="job")
    async def job():
        starts.append(1)

    async with app, app.worker() as worker:
        await worker._parts.listener.up.wait()
        await worker._parts.fetcher.found_nothing.wait()
        original = worker._parts._claims.run
        go, arrived = asyncio.Event(), asyncio.Event()

        async def slow(call, **options):
            answer = await original(call, **options)
            if ".claim(" in call.text and answer[0]:
                arrived.set()
                await go.wait()
            return answer

        worker._parts._claims.run = slow
        job_id = await job.enqueue()
        await arrived.wait()
        worker.stop()
        await eventually(lambda: worker.status()["stopping"])
        go.set()
        await worker.wait()

    assert starts == []
    assert (store.job(job_id).state, store.job(job_id).attempt) == ("ready", 0)


async def test_a_claim_that_never_answers_does_not_keep_a_worker_from_leaving(
    dsn, store, eventually
):
    app = App(dsn, poll_every=30.0)

    @app.task(name="job")
    async def job(): ...

    async with app, app.worker() as worker:
        await worker._parts.listener.up.wait()
        await worker._parts.fetcher.found_nothing.wait()
        original = worker._parts._claims.run
        arrived = asyncio.Event()

        async def deaf(call, **options):
            answer = await original(call, **options)
            if ".claim(" in call.text and answer[0]:
                arrived.set()
                await asyncio.sleep(60)
            return answer

        worker._parts._claims.run = deaf
        job_id = await job.enqueue()
        await arrived.wait()
        async with asyncio.timeout(4):
            worker.stop()
            await worker.wait()

    assert (store.job(job_id).state, store.job(job_id).attempt) == ("ready", 0)
    assert store.one("select count(*) from howdah.workers") == 0


async def test_waiting_until_idle_ends_when_a_busy_worker_is_stopped(app, store, eventually):
    @app.task(name="job")
    async def job():
        await asyncio.sleep(0.3)

    async with app.worker(slots=1) as worker, asyncio.timeout(5):
        job_id = await job.enqueue()
        await eventually(lambda: store.state(job_id) == "running")
        idle = asyncio.create_task(worker.idle())
        await asyncio.sleep(0)
        worker.stop()
        await idle

    assert store.state(job_id) == "succeeded"


async def test_garbage_on_the_channel_disturbs_nobody(app, store, eventually):
    @app.task(name="job")
    async def job(): ...

    async with app.worker():
        for payload in ("", "w", "c", "f", "fxx,yy", "w" + "," * 3000, "🐘", "f" + str(uuid4())):
            store.do("select pg_notify(howdah.channel(), %s)", payload)
        job_id = await job.enqueue()
        waiting = asyncio.create_task(app.result(job_id, timeout=5))
        assert await waiting is None


async def test_a_loop_that_breaks_ends_the_worker_loudly_and_burst_too(app, monkeypatch):
    def broken(*_, **__):
        raise TypeError("a mistake of ours")

    worker = app.worker()
    async with asyncio.timeout(5):
        await worker.__aenter__()
        monkeypatch.setattr(fetcher_module.jobs, "claim", broken)
        worker._parts.fetcher.poke()
        await worker.idle()
        with pytest.raises(ExceptionGroup) as caught:
            await worker.wait()

    assert caught.group_contains(TypeError, match="a mistake of ours")
