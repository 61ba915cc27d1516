"""What workers of the five systems before us do, under its ids: running, and reporting it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from howdah import App, Context, Fail, JobFailed, Retry, jobs
from howdah.outcome import Retrying, Succeeded


async def test_d4_all_that_is_there_is_run_by_hand_and_each_outcome_is_a_value(app: App) -> None:
    """D-4."""

    @app.task(name="half")
    def half(n: int) -> int:
        if n % 2:
            raise ValueError(f"{n} is odd")
        return n // 2

    ids = await app.enqueue_many([half.job(n) for n in range(4)])
    outcomes = {}
    while found := await app.run(jobs.claim(n=1)):
        outcome = await app.perform(found[0])
        await app.run(jobs.finish([outcome]))
        outcomes[outcome.id] = outcome

    assert [type(outcomes[job_id]) for job_id in ids] == [Succeeded, Retrying] * 2
    assert [outcomes[job_id].result for job_id in ids[::2]] == ["0", "1"]
    assert ["is odd" in (outcomes[job_id].error or "") for job_id in ids[1::2]] == [True, True]


async def test_d15_the_connections_of_a_worker_carry_its_process(
    app: App, db: psycopg.Connection, until: Any
) -> None:
    """D-15."""

    at_work = (
        "select application_name from pg_stat_activity where datname = current_database() "
        "and application_name like 'howdah worker%'"
    )

    async with app.worker():
        await until(lambda: len(db.execute(at_work).fetchall()) >= 3)
        names = {name for (name,) in db.execute(at_work)}

    assert {" ".join(name.split()[:3]) for name in names} == {f"howdah worker {os.getpid()}"}


async def test_d5_d17_log_lines_say_how_long_it_took_and_which_job_failed_and_why(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    """D-5, D-17."""

    @app.task(name="work", retry=Retry(max_attempts=1))
    async def work(fails: bool) -> None:
        await asyncio.sleep(0.02)
        if fails:
            raise ValueError("out of order")

    fine, broken = await app.enqueue_many([work.job(fails) for fails in (False, True)])
    with caplog.at_level(logging.INFO, "howdah"):
        async with app.worker() as worker:
            await worker.idle()

    said: dict[str, Any] = {vars(record).get("job_id", ""): record for record in caplog.records}
    assert {record.name for record in caplog.records} == {"howdah.worker"}
    assert [said[str(job_id)].levelname for job_id in (fine, broken)] == ["INFO", "WARNING"]
    assert all(0.02 <= said[str(job_id)].seconds < 1 for job_id in (fine, broken))
    assert said[str(broken)].error == "ValueError: out of order"
    assert "work" in said[str(fine)].getMessage()


async def test_m11_a_worker_is_called_after_host_and_process_and_says_what_it_does(
    app: App, until: Any
) -> None:
    """M-11."""

    go_on = asyncio.Event()

    @app.task(name="t")
    async def task() -> None:
        await go_on.wait()

    async with app.worker(queues=["mail:2", "*"], slots=3) as worker:
        job_id = await task.enqueue()
        await until(lambda: worker.status()["running"])
        status = worker.status()
        go_on.set()

    assert status["name"] == f"{socket.gethostname()}.{os.getpid()}"
    assert (status["queues"], status["slots"]) == (["mail", "*"], 5)
    assert ([job["id"] for job in status["running"]], status["waiting"]) == ([str(job_id)], 0)
    assert status["idle_slots"] == 4
    assert (status["stopping"], worker.status()["stopping"]) == (False, True)


async def test_m14_a_task_fails_for_good_with_a_result_of_its_own(
    app: App, db: psycopg.Connection
) -> None:
    """M-14."""

    @app.task(name="pay", retry=Retry(max_attempts=5))
    async def pay() -> None:
        raise Fail("the card was declined", {"code": 51, "advice": ["call", "the bank"]})

    job_id = await pay.enqueue()
    async with app.worker():
        with pytest.raises(JobFailed, match="the card was declined") as failed:
            await app.result(job_id, timeout=10)

    assert failed.value.result == {"code": 51, "advice": ["call", "the bank"]}
    assert db.execute(
        "select state, attempt, error, result->>'code' from howdah.jobs"
    ).fetchall() == [("failed", 1, "the card was declined", "51")]
    assert db.execute("select outcome, error from howdah.attempts").fetchall() == [
        ("error", "the card was declined")
    ]


async def test_m16_an_error_whose_arguments_are_cyclic_or_bytes_is_written_down(app: App) -> None:
    """M-16."""

    class Odd(Exception):
        pass

    cycle: list[object] = [b"\xff\x00"]
    cycle.append(cycle)

    @app.task(name="t", retry=Retry(max_attempts=1))
    async def task() -> None:
        raise Odd("no\x00way", cycle, b"\x00\xff")

    job_id = await task.enqueue()
    async with app.worker() as worker:
        await worker.idle()
    found = await app.run(jobs.get(job_id))

    assert found is not None
    assert found.state == "failed"
    for part in ("Traceback", "Odd", "way", r"b'\xff\x00'", "[...]"):
        assert part in (found.error or "")


async def test_m17_a_flood_of_new_jobs_does_not_keep_a_worker_from_what_is_due(app: App) -> None:
    """M-17."""

    ran: list[int] = []

    @app.task(name="t")
    async def task(n: int) -> None:
        ran.append(n)
        await asyncio.sleep(0.005)

    due = await task.options(delay=0.2, priority=9).enqueue(-1)
    await app.enqueue_many([task.job(n) for n in range(2000)])
    async with app.worker(slots=10):
        await app.result(due, timeout=10)
        before = len(ran)
    found = await app.run(jobs.get(due))

    assert found is not None
    assert found.started_at is not None
    assert before < 2000
    assert 0 <= (found.started_at - found.run_at).total_seconds() < 1


async def test_m22_what_a_thread_logs_carries_the_job_that_it_runs(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    """M-22."""

    @app.task(name="t")
    def task(context: Context) -> str:
        logging.getLogger("somebody.elses").warning("%s", context.job_id)
        return threading.current_thread().name

    ids = await app.enqueue_many([task.job() for _ in range(3)])
    async with app.worker(slots=1):
        names = [await app.result(job_id, timeout=10) for job_id in ids]
        others = [thread.name for thread in threading.enumerate()]

    records = [record for record in caplog.records if record.name == "somebody.elses"]
    assert names == [record.threadName for record in records]
    assert [name.endswith(f" job {job_id}") for name, job_id in zip(names, ids, strict=True)] == [
        True
    ] * 3
    assert not any(" job " in name for name in others)


async def test_m22_how_late_a_job_has_started_stands_in_its_row_while_it_runs_and_after(
    app: App, db: psycopg.Connection, until: Any
) -> None:
    """M-22."""

    started, go_on = asyncio.Event(), asyncio.Event()

    @app.task(name="t")
    async def task() -> None:
        started.set()
        await go_on.wait()

    def late() -> float:
        how = "select extract(epoch from started_at - run_at)::float from howdah.jobs"
        [(seconds,)] = db.execute(how).fetchall()
        return seconds

    job_id = await task.options(run_at=datetime.now(UTC) - timedelta(seconds=40)).enqueue()
    async with app.worker():
        await asyncio.wait_for(started.wait(), 10)
        while_it_runs = late()
        go_on.set()
        await app.result(job_id, timeout=10)

    assert 40 <= while_it_runs < 50
    assert late() == while_it_runs


async def test_mq11_four_threads_take_two_rounds_for_eight_jobs(app: App) -> None:
    @app.task(name="t")
    def task() -> None:
        time.sleep(0.3)

    ids = await app.enqueue_many([task.job() for _ in range(8)])
    began = time.monotonic()
    async with app.worker(slots=4):
        for job_id in ids:
            await app.result(job_id, timeout=10)
        took = time.monotonic() - began

    assert 0.6 <= took < 1.5


async def test_dpq05_a_slow_job_among_thousands_holds_up_none_of_four_workers(
    app: App, db: psycopg.Connection, until: Any
) -> None:
    ran: Counter[int] = Counter()
    go_on = asyncio.Event()

    @app.task(name="t")
    async def task(n: int) -> None:
        ran[n] += 1
        if n == 1000:
            await go_on.wait()

    await app.enqueue_many([task.job(n) for n in range(2000)])
    async with app.worker(), app.worker(), app.worker(), app.worker():
        await until(
            lambda: (
                db.execute("select count(*) from howdah.jobs where state = 'succeeded'").fetchone()
                == (1999,)
            )
        )
        left = db.execute("select args->>'n', state from howdah.jobs where state <> 'succeeded'")
        go_on.set()

    assert left.fetchall() == [("1000", "running")]
    assert ran == Counter(range(2000))


async def test_dpq09_dead_rows_are_vacuumed_while_a_task_runs(
    app: App, db: psycopg.Connection, until: Any
) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    @app.task(name="t")
    async def task() -> None:
        started.set()
        await go_on.wait()

    def vacuumed() -> bool:  # not while a heartbeat or a chore is under way: those are short
        db.execute("vacuum dead")
        return db.execute("select pg_relation_size('dead')").fetchone() == (0,)

    db.execute(
        "drop table if exists dead; create table dead as select generate_series(1, 10000) as n"
    )
    async with app.worker():
        job_id = await task.enqueue()
        await asyncio.wait_for(started.wait(), 10)
        db.execute("delete from dead")
        await until(vacuumed, within=5)
        found = await app.run(jobs.get(job_id))
        go_on.set()
    db.execute("drop table dead")

    assert found is not None
    assert found.state == "running"


async def test_pj08_the_time_of_a_job_begins_with_its_own_start(
    app: App, db: psycopg.Connection
) -> None:
    """Twenty of them wait for one slot, three times as long as each may take."""

    @app.task(name="t", timeout=0.4)
    async def task() -> None:
        await asyncio.sleep(0.06)

    ids = await app.enqueue_many([task.job() for _ in range(20)])
    async with app.worker(slots=1):
        for job_id in ids:
            await app.result(job_id, timeout=10)

    assert db.execute("select count(*) from howdah.attempts").fetchone() == (0,)
    assert db.execute("select distinct attempt from howdah.jobs").fetchall() == [(1,)]


async def test_pj09_half_a_second_of_cpu_in_a_thread_does_not_stop_the_heart(
    dsn: str, db: psycopg.Connection, until: Any
) -> None:
    app, beats = App(dsn, lost_after=1.0), set()

    @app.task(name="t")
    def task() -> None:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            pass

    def ended() -> bool:
        beats.update(db.execute("select beat_at from howdah.workers").fetchall())
        return db.execute("select 1 from howdah.jobs where state = 'succeeded'").fetchone() == (1,)

    async with app, app.worker():
        await task.enqueue()
        await until(ended)

    assert len(beats) >= 3
