"""A user of pgjobs: migrate, publish, consume, acknowledge, look at the views, run a worker."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import asyncpg
import psycopg
import pytest

from howdah import App, LeaseLost, jobs
from howdah.migrate import migrate, status


async def test_an_empty_database_is_migrated_once_and_then_left_alone(empty_dsn: str) -> None:
    connection = await asyncpg.connect(empty_dsn)

    before = await status(connection, "howdah")
    first = await migrate(connection, "howdah")
    second = await migrate(connection, "howdah")
    after = await status(connection, "howdah")
    await connection.close()

    assert not before.is_current
    assert (len(first), second) == (len(before.pending), [])
    assert after.is_current


def test_a_job_is_published_and_consumed_and_acknowledged_from_sql(db: psycopg.Connection) -> None:
    db.execute(
        """select howdah.enqueue('email.send', '{"to": "ann"}', run_at => now() - interval '1 s')"""
    )

    [job] = db.execute(
        "select id, lease, task, args, attempt from howdah.claim(null, 1)"
    ).fetchall()
    running = db.execute("select id from howdah.running").fetchall()
    db.execute("""select howdah.ack(%s, %s, '{"sent": true}')""", job[:2])

    assert job[2:] == ("email.send", {"to": "ann"}, 1)
    assert running == [(job[0],)]
    assert db.execute("select state, result from howdah.jobs").fetchall() == [
        ("succeeded", {"sent": True})
    ]


def test_many_jobs_are_published_in_one_statement(db: psycopg.Connection) -> None:
    made = db.execute(
        """select ordinal, created from howdah.enqueue_many(array(
             select row('email.send', jsonb_build_object('n', n), null, n, null, null, null, null,
                        null, null, null, null, null, null)::howdah.new_job
             from generate_series(1, 3) n))"""
    ).fetchall()

    consumed = db.execute("select args->>'n' from howdah.claim(null, 10)").fetchall()

    assert made == [(1, True), (2, True), (3, True)]
    assert consumed == [("3",), ("2",), ("1",)]


def test_a_job_that_was_not_acknowledged_well_comes_back_after_its_backoff(
    db: psycopg.Connection, clock: Any
) -> None:
    db.execute("select howdah.enqueue('email.send')")
    [job] = db.execute("select id, lease from howdah.claim()").fetchall()

    [(state,)] = db.execute("select howdah.nack(%s, %s, 'no such host')", job).fetchall()
    early = db.execute("select id from howdah.claim()").fetchall()
    clock.forward("3.5 s")
    late = db.execute("select id, attempt from howdah.claim()").fetchall()

    assert (state, early, late) == ("scheduled", [], [(job[0], 2)])
    assert db.execute("select attempt, outcome, error from howdah.attempts").fetchall() == [
        (1, "error", "no such host")
    ]


def test_the_views_show_each_job_where_it_is(db: psycopg.Connection) -> None:
    for n in range(4):
        db.execute("select howdah.enqueue('t', priority => %s)", [n])
    db.execute("select howdah.enqueue('t', delay => '1 hour')")
    first, second = db.execute("select id, lease from howdah.claim(null, 2)").fetchall()
    db.execute("select howdah.nack(%s, %s, 'broken', retry => false)", first)

    counts = {
        view: db.execute(f"select count(*) from howdah.{view}").fetchone()
        for view in ("jobs", "ready", "scheduled", "running", "failed", "expired")
    }
    failed = db.execute("select error from howdah.failed").fetchall()

    assert counts == {
        "jobs": (5,), "ready": (2,), "scheduled": (1,), "running": (1,), "failed": (1,),
        "expired": (0,),
    }  # fmt: skip
    assert failed == [("broken",)]
    assert second


async def test_the_same_from_python_with_a_loop_of_ones_own(app: App) -> None:
    """J-8."""

    @app.task(name="email.send")
    async def send(to: str) -> str:
        return f"sent to {to}"

    [first, *_] = await app.enqueue_many([send.job("ann"), send.job("bob")])
    claimed = await app.run(jobs.claim(n=2))
    outcomes = [await app.perform(job) for job in claimed]
    refused = await app.run(jobs.finish(outcomes))

    assert refused == []
    assert await app.result(first, timeout=5) == "sent to ann"


async def test_what_was_performed_may_be_acknowledged_by_itself(app: App) -> None:
    @app.task(name="email.send")
    async def send(to: str) -> dict[str, str]:
        return {"sent": to}

    job_id = await send.enqueue("ann")
    [claimed] = await app.run(jobs.claim())
    outcome = await app.perform(claimed)
    await app.run(jobs.ack(claimed.id, claimed.lease, outcome.result))

    assert await app.result(job_id, timeout=5) == {"sent": "ann"}


async def test_a_second_acknowledgement_changes_nothing(app: App) -> None:
    await app.run(jobs.enqueue(_job()))
    [claimed] = await app.run(jobs.claim())
    await app.run(jobs.ack(claimed.id, claimed.lease, "first"))

    await app.run(jobs.ack(claimed.id, claimed.lease, "second"))  # as after a lost reply
    with pytest.raises(LeaseLost):
        await app.run(jobs.nack(claimed.id, claimed.lease))

    assert await app.result(claimed.id, timeout=5) == "first"


async def test_an_acknowledgement_by_somebody_else_is_refused(app: App) -> None:
    await app.run(jobs.enqueue(_job()))
    [claimed] = await app.run(jobs.claim())

    for foreign in (jobs.ack(claimed.id, uuid4()), jobs.nack(claimed.id, uuid4())):
        with pytest.raises(LeaseLost):
            await app.run(foreign)
    found = await app.run(jobs.get(claimed.id))

    assert found is not None
    assert found.state == "running"


async def test_a_worker_runs_what_was_published(app: App) -> None:
    """J-9."""

    @app.task(name="email.send")
    async def send(to: str) -> str:
        return to.upper()

    job_id = await send.enqueue("ann")
    async with app.worker():
        result = await app.result(job_id, timeout=10)

    assert result == "ANN"


def _job() -> Any:
    from howdah import Job

    return Job("t", "{}")
