"""Workers that are told to stop: by signals, by calls, by SQL, by burst."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import threading
import time

import psycopg
import pytest

from howdah import App, Conflict, Context, workers
from howdah.events import WorkerStarted, WorkerStopped, WorkerStopping
from howdah.foreground import Foreground


async def test_an_idle_worker_leaves_within_a_second_of_sigterm(work, store, eventually):
    """D-14, X-05, MQ-11."""
    worker = work()
    await eventually(lambda: store.one("select count(*) from howdah.workers where idle"))

    worker.send(signal.SIGTERM)
    asked = time.monotonic()

    assert await worker.ended() == 0
    assert time.monotonic() - asked < 1
    assert store.one("select count(*) from howdah.workers") == 0


async def test_without_a_parent_too_a_worker_says_what_it_does_and_takes_signals(
    work, store, ledger, eventually
):
    worker = work(name="alone")
    job_id = store.enqueue("hold", {"first": 60})
    await eventually(lambda: ledger.starts()[job_id] == 1)

    worker.send(signal.SIGUSR1)
    said = await eventually(lambda: re.search("^{.*", worker.errors, re.MULTILINE))
    worker.send(signal.SIGTERM)
    await eventually(lambda: ledger.lines("stopping"))
    worker.send(signal.SIGTERM)

    assert [job["id"] for job in json.loads(said[0])["running"]] == [str(job_id)]
    assert await worker.ended() == 0
    assert (store.state(job_id), store.job(job_id).attempt) == ("ready", 0)


async def test_a_busy_worker_ends_what_runs_and_hands_back_the_rest_at_once(
    work, store, ledger, eventually
):
    """Fast jobs first, so that it holds more than it runs. X-05, MQ-11."""
    jobs = [store.enqueue("hold", priority=9) for _ in range(300)]
    jobs += [store.enqueue("hold", {"first": 1.0}) for _ in range(300)]
    worker = work(slots=5)
    await eventually(lambda: ledger.ends() >= 300 and len(ledger.starts()) > 300)

    worker.send(signal.SIGTERM)
    asked = time.monotonic()
    started = len(ledger.starts())
    await eventually(lambda: store.states()["running"] <= 5, within=1)
    at_once = time.monotonic() - asked
    assert await worker.ended() == 0

    assert at_once < 0.5
    assert len(ledger.starts()) <= started + 5  # what its slots took before it heard
    assert ledger.ends() == len(ledger.starts())
    assert store.states() == {"succeeded": ledger.ends(), "ready": 600 - ledger.ends()}
    assert set(store.one("select array_agg(distinct attempt) from howdah.ready")) == {0}
    assert len(jobs) == 600


async def test_a_second_sigterm_releases_what_runs_at_once_and_uncharged(
    work, store, ledger, eventually
):
    """X-05."""
    jobs = [store.enqueue("hold", {"first": 60}) for _ in range(5)]
    jobs += [store.enqueue("block", {"length": 60}) for _ in range(5)]
    worker = work()
    await eventually(lambda: len(ledger.starts()) == 10)

    worker.send(signal.SIGTERM)
    await eventually(lambda: ledger.lines("stopping"))  # two pending signals would be one
    worker.send(signal.SIGTERM)
    asked = time.monotonic()

    assert await worker.ended() == 0
    assert time.monotonic() - asked < 2
    assert {(store.job(job_id).state, store.job(job_id).attempt) for job_id in jobs} == {
        ("ready", 0)
    }
    assert {tuple(store.attempts(job_id)) for job_id in jobs} == {("released",)}


async def test_a_job_to_be_run_at_most_once_is_not_released_after_it_started(
    work, store, ledger, eventually
):
    job_id = store.enqueue("once", {"first": 60}, delivery="at_most_once")
    worker = work()
    await eventually(lambda: ledger.starts()[job_id] == 1)

    worker.send(signal.SIGTERM)
    worker.send(signal.SIGINT)
    await worker.ended()
    work()
    after = store.enqueue("hold")
    await eventually(lambda: store.state(after) == "succeeded")

    assert store.job(job_id).state == "failed"
    assert "lost" in store.job(job_id).error
    assert ledger.starts()[job_id] == 1


async def test_running_jobs_that_outlast_their_time_to_end_are_released(
    work, store, ledger, eventually
):
    """X-05."""
    job_id = store.enqueue("hold", {"first": 60})
    worker = work(shutdown_after=0.5)
    await eventually(lambda: ledger.starts()[job_id] == 1)

    worker.send(signal.SIGTERM)
    asked = time.monotonic()

    assert await worker.ended() == 0
    assert 0.5 <= time.monotonic() - asked < 2.5
    assert (store.job(job_id).state, store.job(job_id).attempt) == ("ready", 0)


LEAVE = {"drain": "howdah.drain(name => '*')", "kill": "howdah.kill(name => '*')"}
LEAVE["now"] = "howdah.kill(name => '*', now => true)"


@pytest.mark.parametrize("word", LEAVE)
async def test_a_worker_can_be_told_by_sql(work, store, ledger, eventually, word):
    job_id = store.enqueue("hold", {"first": 1.0})
    worker = work(poll_every=30.0)
    await eventually(lambda: ledger.starts()[job_id] == 1)

    store.do(f"select {LEAVE[word]}")

    assert await worker.ended(within=5) == 0
    assert store.state(job_id) == ("ready" if word == "now" else "succeeded")


@pytest.mark.parametrize("word", LEAVE)
async def test_an_idle_worker_that_is_told_by_sql_leaves_within_two_seconds_and_takes_no_job(
    work, store, ledger, eventually, word
):
    """S-11, PIPE-08."""
    worker = work(poll_every=30.0)
    await eventually(lambda: store.one("select count(*) from howdah.workers where idle"))

    store.do(f"select {LEAVE[word]}")
    told = time.monotonic()
    await eventually(lambda: ledger.lines("stopping"))
    job_id = store.enqueue("hold")

    assert await worker.ended(within=5) == 0
    assert time.monotonic() - told < 2
    assert store.job(job_id).attempt == 0


async def test_a_drain_lasts_as_long_as_the_jobs_a_kill_as_long_as_there_is_time(
    work, store, ledger, eventually
):
    """PIPE-08. They are told anew with each heartbeat, which gives nobody more time."""
    settings = {"shutdown_after": 0.3, "poll_every": 0.1, "slots": 1}
    drained = work(**settings, name="drained", queues=["long"])
    killed = work(**settings, name="killed", queues=["short"])
    await eventually(lambda: store.one("select count(*) from howdah.workers") == 2)
    long = store.enqueue("hold", {"first": 1.5}, queue="long")
    short = store.enqueue("hold", {"first": 1.5}, queue="short")
    await eventually(lambda: len(ledger.starts()) == 2)

    store.do("select howdah.drain(name => 'drained'), howdah.kill(name => 'killed')")
    told = time.monotonic()
    assert await killed.ended(within=10) == 0
    early = time.monotonic() - told
    assert await drained.ended(within=5) == 0

    assert 0.3 <= early < 1.5
    assert (store.state(long), store.state(short)) == ("succeeded", "ready")
    assert (store.job(short).attempt, store.attempts(short)) == (0, ["released"])


async def test_a_worker_that_drains_can_still_be_killed(work, store, ledger, eventually):
    job_id = store.enqueue("hold", {"first": 60})
    worker = work(shutdown_after=0.3)
    await eventually(lambda: ledger.starts()[job_id] == 1)

    store.do("select howdah.drain(name => '*')")
    await eventually(lambda: ledger.lines("stopping"))
    store.do("select howdah.kill(name => '*')")

    assert await worker.ended(within=4) == 0
    assert (store.job(job_id).state, store.job(job_id).attempt) == ("ready", 0)


async def test_to_be_killed_twice_means_at_once(work, store, ledger, eventually):
    job_id = store.enqueue("hold", {"first": 60})
    worker = work(shutdown_after=60)
    await eventually(lambda: ledger.starts()[job_id] == 1)

    store.do("select howdah.kill(name => '*')")
    await eventually(lambda: ledger.lines("stopping"))
    store.do("select howdah.kill(name => '*')")

    assert await worker.ended(within=4) == 0
    assert (store.job(job_id).state, store.job(job_id).attempt) == ("ready", 0)


async def test_a_worker_of_the_same_name_that_starts_later_works_on(
    work, store, ledger, eventually
):
    """S-11, PIPE-08."""
    first = work(name="classification")
    await eventually(lambda: store.one("select count(*) from howdah.workers where idle"))

    store.do("select howdah.kill(name => 'classification')")
    second = work(name="classification")
    assert await first.ended(within=5) == 0
    job_id = store.enqueue("hold")
    await eventually(lambda: store.state(job_id) == "succeeded")

    assert second.running
    assert ledger.starts_of(second.pid) == 1


async def test_leaving_the_block_bounds_a_drain(dsn, store, eventually):
    app = App(dsn, shutdown_after=0.3)

    @app.task(name="job")
    async def job():
        await asyncio.sleep(60)

    async with asyncio.timeout(5), app, app.worker() as worker:
        job_id = await job.enqueue()
        await eventually(lambda: store.state(job_id) == "running")
        await app.run(workers.drain(worker.identity.id))
        await eventually(lambda: worker.status()["stopping"])

    assert store.state(job_id) == "ready"


async def test_the_first_sigterm_to_a_worker_that_drains_lets_its_jobs_end(
    work, store, ledger, eventually
):
    job_id = store.enqueue("hold", {"first": 1.5})
    worker = work()
    await eventually(lambda: ledger.starts()[job_id] == 1)

    store.do("select howdah.drain(name => '*')")
    later = store.enqueue("hold")
    await eventually(lambda: store.one("select control from howdah.workers") == "drain")
    worker.send(signal.SIGTERM)

    assert await worker.ended(within=5) == 0
    assert store.state(job_id) == "succeeded"
    assert store.state(later) in {"ready", "succeeded"}


async def test_stop_from_another_thread(app, eventually, seen):
    """M-11."""
    stopping, stopped = seen(app, WorkerStopping), seen(app, WorkerStopped)

    async with app.worker() as worker:
        threading.Thread(target=worker.stop, args=("enough",)).start()
        async with asyncio.timeout(2):
            await worker.wait()

    assert [event.why for event in stopping] == ["enough"]
    assert len(stopped) == 1
    worker.stop()


async def test_stop_before_the_start_is_heeded(app, store):
    worker = app.worker()
    worker.stop()

    async with asyncio.timeout(3), worker:
        await worker.wait()

    assert store.one("select count(*) from howdah.workers") == 0


async def test_a_worker_starts_only_once(app, store, eventually):
    @app.task(name="job")
    async def job(): ...

    async with asyncio.timeout(5):
        async with app.worker() as worker:
            with pytest.raises(Conflict, match="started already"):
                await worker.__aenter__()
            job_id = await job.enqueue()
            await eventually(lambda: store.state(job_id) == "succeeded")
        with pytest.raises(Conflict, match="started already"):
            await worker.__aenter__()


async def test_stop_while_it_starts_is_heeded(app, store):
    worker = app.worker()
    async with asyncio.timeout(3):
        start = asyncio.create_task(worker.__aenter__())
        await asyncio.sleep(0)
        worker.stop()
        await start
        await worker.wait()

    assert store.one("select count(*) from howdah.workers") == 0


@pytest.mark.parametrize("how", ["cancelled", "stopped", "cancelled in the foreground"])
async def test_a_start_that_is_given_up_once_it_has_registered_leaves_no_row(
    app, store, eventually, how
):
    worker = app.worker()
    foreground = Foreground(worker, signals=())
    answered = lose_the_answer_to(worker, "registration")

    entering = worker.__aenter__() if how == "cancelled" else foreground.run()
    starting = asyncio.create_task(entering)
    await asyncio.wait_for(answered.wait(), 5)
    before = store.one("select count(*) from howdah.workers")
    if how == "stopped":
        foreground.stop("enough")
    else:
        starting.cancel()
    await asyncio.wait({starting}, timeout=5)

    assert starting.done()
    assert before == 1
    assert store.one("select count(*) from howdah.workers") == 0


def lose_the_answer_to(worker, what):
    """The store has taken it, and the worker waits for an answer for ever."""
    answered, run = asyncio.Event(), worker._parts.looks.run
    make = getattr(worker.identity, what)
    made = []

    def making():
        made.append(make())
        return made[-1]

    async def running(call, **given):
        answer = await run(call, **given)
        if call in made:
            answered.set()
            await asyncio.Event().wait()
        return answer

    setattr(worker.identity, what, making)
    worker._parts.looks.run = running
    return answered


async def test_a_start_that_is_cancelled_just_when_it_is_done_leaves_no_row(app, store, seen):
    worker = app.worker()
    foreground = asyncio.create_task(Foreground(worker, signals=()).run())
    app.events.subscribe(lambda event: isinstance(event, WorkerStarted) and foreground.cancel())

    await asyncio.wait({foreground}, timeout=5)

    assert foreground.cancelled()
    assert store.one("select count(*) from howdah.workers") == 0


async def test_leaving_the_block_after_stop_lets_running_jobs_end(app, store, eventually):
    @app.task(name="job")
    async def job():
        await asyncio.sleep(0.3)

    async with app.worker() as worker:
        job_id = await job.enqueue()
        await eventually(lambda: store.state(job_id) == "running")
        worker.stop()

    assert store.state(job_id) == "succeeded"


async def test_a_worker_that_cannot_start_leaves_no_connection_behind(own_dsn, store_of):
    store = store_of(own_dsn)
    store.do("drop function howdah.heartbeat")
    app = App(own_dsn)

    with pytest.raises(Exception, match="heartbeat"):
        await app.worker().__aenter__()

    mine = "datname = current_database() and application_name like 'howdah worker%%'"
    async with asyncio.timeout(3):
        while store.one(f"select count(*) from pg_stat_activity where {mine}"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_burst_ends_when_all_is_done_and_what_jobs_enqueued_too(work, store, ledger):
    """D-4, D-9."""
    store.enqueue("family", {"children": 4})

    worker = work(burst=True, slots=3)

    assert await worker.ended(within=15) == 0
    assert store.states() == {"succeeded": 65}
    assert sum(ledger.starts().values()) == 65


async def test_burst_with_nothing_to_do_ends_at_once(work):
    assert await work(burst=True).ended(within=5) == 0


@pytest.mark.parametrize("signals", [1, 2])
async def test_a_busy_burst_can_be_stopped(work, store, ledger, eventually, signals):
    job_id = store.enqueue("hold", {"first": 1.0})
    worker = work(burst=True, slots=1)
    await eventually(lambda: ledger.starts()[job_id] == 1)

    for _ in range(signals):
        worker.send(signal.SIGTERM)
        await asyncio.sleep(0.05)

    assert await worker.ended(within=5) == 0
    assert store.state(job_id) == ("succeeded" if signals == 1 else "ready")


async def test_a_worker_leaves_though_the_store_forgot_it(app, store, eventually):
    async with app.worker() as worker:
        old = worker.identity.id
        store.do("delete from _howdah.idle")
        store.do("delete from _howdah.worker")
        await eventually(lambda: worker.identity.id != old)
        await eventually(lambda: store.one("select id from howdah.workers") == worker.identity.id)

    assert store.one("select count(*) from howdah.workers") == 0


async def test_a_task_may_stop_its_own_worker(app, store):
    holder = []

    @app.task(name="last")
    async def last(ctx: Context):
        holder[0].stop("by its task")

    async with app.worker() as worker:
        holder.append(worker)
        job_id = await last.enqueue()
        async with asyncio.timeout(5):
            await worker.wait()

    assert store.state(job_id) == "succeeded"
    assert await app.run(workers.list()) == []


async def test_what_a_claim_brings_in_after_the_shutdown_began_is_handed_back(
    app, dsn, store, eventually
):
    end = asyncio.Event()

    @app.task(name="long")
    async def long():
        await end.wait()

    async with app, app.worker(slots=2) as worker:
        first = await long.enqueue()
        await eventually(lambda: store.state(first) == "running")
        with psycopg.connect(dsn) as holder:  # a claim waits for it
            holder.execute("select from _howdah.worker for update")
            second = await long.enqueue()
            await asyncio.sleep(0.3)
            worker.stop()
            await asyncio.sleep(1.3)  # longer than the shutdown waits for a claim under way
        await eventually(lambda: store.state(second) == "ready")
        end.set()
        await asyncio.wait_for(worker.wait(), 5)

    assert store.state(first) == "succeeded"
    assert store.job(second).attempt == 0
