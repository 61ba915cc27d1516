"""Waiting for a job's end: by notification, with a poll behind it."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from howdah import App, Job, JobCancelled, JobFailed, NotFound, jobs, waits
from howdah.outcome import Succeeded


def listening(db: psycopg.Connection) -> int:
    row = db.execute(
        "select count(*) from pg_stat_activity where datname = current_database() "
        "and application_name = 'howdah listener' and query ilike '%listen%'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def waiting(db: psycopg.Connection) -> int:
    row = db.execute("select count(*) from _howdah.waiter").fetchone()
    assert row is not None
    return int(row[0])


async def ended(app: App, result: object = None) -> UUID:
    job_id = await app.enqueue(Job("t", "{}"))
    [job] = await app.run(jobs.claim())
    await app.run(jobs.ack(job.id, job.lease, result))
    return job_id


@pytest.mark.parametrize("result", [None, 5, "text", [1, None], {"a": {"b": "é"}}, False, 0, ""])
async def test_the_result_of_a_job_that_has_ended_is_there_at_once(
    app: App, result: object
) -> None:
    job_id = await ended(app, result)

    assert await app.result(job_id, timeout=5) == result


async def test_a_failed_job_raises_with_its_error(app: App) -> None:
    job_id = await app.enqueue(Job("t", "{}"))
    [job] = await app.run(jobs.claim())
    await app.run(jobs.nack(job.id, job.lease, "Traceback\nValueError: no", retry=False))

    with pytest.raises(JobFailed) as failed:
        await app.result(job_id, timeout=5)

    assert (failed.value.job_id, failed.value.error) == (job_id, "Traceback\nValueError: no")


async def test_a_cancelled_job_raises_with_its_reason(app: App) -> None:
    job_id = await app.enqueue(Job("t", "{}"))
    await app.run(jobs.cancel(job_id))

    with pytest.raises(JobCancelled) as cancelled:
        await app.result(job_id, timeout=5)

    assert cancelled.value.reason == "cancelled before it ran"


async def test_a_job_that_is_not_there_is_not_waited_for(app: App) -> None:
    with pytest.raises(NotFound) as refused:
        await app.result(uuid4(), timeout=30)

    assert refused.value.hint


async def test_a_job_that_is_deleted_while_somebody_waits_is_not_found(
    app: App, db: psycopg.Connection, until: Any
) -> None:
    job_id = await app.enqueue(Job("t", "{}"))
    result = asyncio.create_task(app.result(job_id, timeout=20))
    await until(lambda: waiting(db) == 1)

    await app.run(jobs.delete(job_id))

    with pytest.raises(NotFound):
        await asyncio.wait_for(result, 5)


async def test_a_job_that_does_not_end_in_time_is_a_timeout(app: App) -> None:
    job_id = await app.enqueue(Job("t", "{}"))
    started = time.monotonic()

    with pytest.raises(TimeoutError):
        await app.result(job_id, timeout="200ms")

    assert 0.2 <= time.monotonic() - started < 1


async def test_a_store_that_does_not_answer_is_not_waited_for_any_longer(
    app: App, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "ONE_LOOK", 0.2)
    job_id = await app.enqueue(Job("t", "{}"))

    with psycopg.connect(dsn) as locking:
        locking.execute("lock table _howdah.job in access exclusive mode")
        with pytest.raises(TimeoutError, match="not ended in time"):
            await app.result(job_id, timeout=0.1)


async def test_no_time_at_all_is_one_look(app: App) -> None:
    waiting_id = await app.enqueue(Job("other", "{}"))
    with pytest.raises(TimeoutError):
        await app.result(waiting_id, timeout=0)
    await app.run(jobs.cancel(waiting_id))

    assert await app.result(await ended(app, 5), timeout=0) == 5


async def test_the_end_is_told_by_notification_long_before_the_next_poll(
    app: App, db: psycopg.Connection, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "FIRST_POLL", 60.0)
    monkeypatch.setattr(waits, "LONGEST_POLL", 60.0)
    await app.enqueue(Job("t", "{}"))
    [job] = await app.run(jobs.claim())
    result = asyncio.create_task(app.result(job.id, timeout=30))
    await until(lambda: listening(db) == 1 and waiting(db) == 1)
    await until(lambda: app._waits.here()._ends)

    started = time.monotonic()
    db.execute("select howdah.ack(%s, %s, '5')", [job.id, job.lease])

    assert await result == 5
    assert time.monotonic() - started < 0.5


async def test_a_lost_listener_costs_no_more_than_the_poll(
    app: App, db: psycopg.Connection, until: Any
) -> None:
    await app.enqueue(Job("t", "{}"))
    [job] = await app.run(jobs.claim())
    result = asyncio.create_task(app.result(job.id, timeout=30))
    await until(lambda: listening(db) == 1 and waiting(db) == 1)

    db.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and application_name = 'howdah listener'"
    )
    db.execute("select howdah.ack(%s, %s, '5')", [job.id, job.lease])

    assert await asyncio.wait_for(result, 2.5) == 5
    await until(lambda: listening(db) == 1)


async def test_hundreds_wait_at_once_with_one_listener(
    app: App, db: psycopg.Connection, until: Any
) -> None:
    ids = await app.enqueue_many([Job("t", "{}")] * 300)
    results = [asyncio.create_task(app.result(job_id, timeout=30)) for job_id in ids]
    twice = asyncio.create_task(app.result(ids[0], timeout=30))
    await until(lambda: listening(db) == 1 and waiting(db) == 300)

    held = await app.run(jobs.claim(None, 300))
    await app.run(
        jobs.finish([Succeeded(id=job.id, lease=job.lease, result=f'"{job.id}"') for job in held])
    )

    assert await asyncio.wait_for(asyncio.gather(*results), 10) == [str(job_id) for job_id in ids]
    assert await twice == str(ids[0])
    assert listening(db) == 1


async def test_who_gives_up_waiting_leaves_the_others_waiting(
    app: App, db: psycopg.Connection, until: Any
) -> None:
    await app.enqueue(Job("t", "{}"))
    [job] = await app.run(jobs.claim())
    patient, impatient = (asyncio.create_task(app.result(job.id, timeout=20)) for _ in range(2))
    await until(lambda: waiting(db) == 1)

    impatient.cancel()
    await asyncio.wait({impatient})
    await app.run(jobs.ack(job.id, job.lease, 5))

    assert await asyncio.wait_for(patient, 5) == 5


def test_results_are_waited_for_on_one_event_loop_after_another(dsn: str) -> None:
    app = App(dsn)

    async def once() -> object:
        job_id = await ended(app, 5)
        try:
            return await app.result(job_id, timeout=5)
        finally:
            await app.close()

    assert [asyncio.run(once()), asyncio.run(once())] == [5, 5]


def test_results_are_waited_for_on_two_event_loops_at_once(
    dsn: str, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hears its end by a listener of its own: no poll comes in time."""
    monkeypatch.setattr(waits, "FIRST_POLL", 60.0)
    monkeypatch.setattr(waits, "LONGEST_POLL", 60.0)
    app = App(dsn)

    async def wait(task: str) -> object:
        return await app.result(await app.enqueue(Job(task, "{}")), timeout=20)

    with ThreadPoolExecutor(2) as threads:
        results = [threads.submit(asyncio.run, wait(task)) for task in ("a", "b")]
        deadline = time.monotonic() + 10
        while listening(db) < 2 or waiting(db) < 2:
            assert time.monotonic() < deadline, "there are no two listeners"
            time.sleep(0.01)
        time.sleep(0.1)  # both have looked again after their listeners came up
        began = time.monotonic()
        for id_, lease in db.execute("select id, lease from howdah.claim(n => 2)").fetchall():
            db.execute("select howdah.ack(%s, %s, '5')", [id_, lease])
        found = [result.result(15) for result in results]

    assert found == [5, 5]
    assert time.monotonic() - began < 5


async def test_closing_the_app_takes_the_listener_with_it(
    dsn: str, db: psycopg.Connection, until: Any
) -> None:
    async with App(dsn) as app:
        job_id = await app.enqueue(Job("t", "{}"))
        with pytest.raises(TimeoutError):
            await app.result(job_id, timeout=0.3)
        await until(lambda: listening(db) == 1)

    await until(lambda: listening(db) == 0)


async def test_a_job_by_hand_is_claimed_performed_and_finished(app: App) -> None:
    @app.task(name="double")
    async def double(n: int) -> int:
        return 2 * n

    job_id = await double.enqueue(21)
    [claimed] = await app.run(jobs.claim(tasks=["double"]))
    outcome = await app.perform(claimed)
    refused = await app.run(jobs.finish([outcome]))

    assert refused == []
    assert await app.result(job_id, timeout=5) == 42
