"""Jobs that wait in pgqueuer, put there by its own code, come over: each once, or not at all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from howdah import App, BadInput, NotFound
from howdah.importing import Plan, import_jobs, pgqueuer

THERE = pgqueuer("theirs")


def plan(ours: App, **more: Any) -> Plan:
    return Plan(known=ours.tasks, **more)


def logged(db: psycopg.Connection) -> dict[str, int]:
    return dict(
        db.execute(
            "select status::text, count(*) from theirs.pgqueuer_log group by status"
        ).fetchall()
    )


async def test_what_is_said_of_a_job_is_said_here(queuer, ours, here, db):
    await queuer.queries.enqueue(
        "shop.pay", b'{"n": 1}', 9, timedelta(hours=1), "pay:1", {"trace": "abc"}
    )
    db.execute("update theirs.pgqueuer set attempts = 1")

    await import_jobs(here, THERE, plan(ours))

    [[task, args, queue, priority, attempts, unique, state, headers]] = db.execute(
        "select task, args, queue, priority, max_attempts, unique_key, state, headers "
        "from howdah.jobs where run_at between now() + '59 min' and now() + '1 h'"
    ).fetchall()
    assert (task, args, queue, priority) == ("shop.pay", {"n": 1}, "money", 9)
    assert (attempts, unique, state) == (3, "pay:1", "scheduled")
    assert headers == {"trace": "abc", "imported": {"from": "pgqueuer", "id": 1, "attempts": 1}}
    assert logged(db) == {"queued": 1, "deleted": 1}


@pytest.mark.parametrize("n", [500, pytest.param(5_000, marks=pytest.mark.slow)])
async def test_all_are_run_once_while_their_worker_still_runs(
    queuer, ours, here, ran, eventually, n
):
    await queuer.pay(*range(n))
    their_worker = asyncio.create_task(queuer.worker.run(batch_size=10))
    await eventually(lambda: len(queuer.ran) > 20)

    report = await import_jobs(here, THERE, plan(ours))
    again = await import_jobs(here, THERE, plan(ours))
    async with ours.worker(slots=100):
        await eventually(lambda: len(queuer.ran) + len(ran) >= n, within=30)
    queuer.worker.shutdown.set()
    await their_worker

    assert sorted(queuer.ran + ran) == list(range(n))
    assert report.jobs + again.jobs == len(ran) > n / 10


async def test_a_dry_run_moves_nothing_and_a_repeat_moves_nothing_twice(queuer, ours, here, db):
    await queuer.pay(1, 2)

    would = await import_jobs(here, THERE, plan(ours), dry_run=True)
    before = logged(db)
    await import_jobs(here, THERE, plan(ours))
    again = await import_jobs(here, THERE, plan(ours))

    assert (would.jobs, before, again.jobs) == (2, {"queued": 2}, 0)
    assert db.execute("select count(*) from howdah.jobs").fetchone() == (2,)
    assert db.execute("select count(*) from theirs.pgqueuer").fetchone() == (0,)


async def test_what_runs_or_is_held_there_is_left(queuer, ours, here, db):
    await queuer.pay(1, 2, 3)
    db.execute("update theirs.pgqueuer set status = 'picked' where id = 1")
    db.execute("update theirs.pgqueuer set status = 'failed' where id = 2")

    report = await import_jobs(here, THERE, plan(ours))

    assert report.left == {"run there just now": 1, "have failed there and are held": 1}
    assert db.execute("select args from howdah.jobs").fetchall() == [({"n": 3},)]


async def test_payloads_become_arguments_as_it_is_said_of_their_task(queuer, ours, here, db):
    for name in ("text", "bytes"):
        ours.task(name=name)(_text if name == "text" else _bytes)
    await queuer.queries.enqueue(
        ["text", "bytes", "shop.pay"], ['"ü"'.encode(), b"\x00\xff", b'{"n": 1}'], [0, 0, 0]
    )

    refused = await import_jobs(here, THERE, plan(ours))
    await import_jobs(here, THERE, plan(ours, payloads={"text": "text", "bytes": "bytes"}))

    assert [(flaw.task, flaw.why) for flaw in refused.flaws.values()] == [
        ("text", "its arguments are no JSON object"),
        ("bytes", "its payload is no json, but bytes"),
    ]
    assert db.execute("select task, args from howdah.jobs order by task").fetchall() == [
        ("bytes", {"payload": "AP8="}),
        ("shop.pay", {"n": 1}),
        ("text", {"payload": '"ü"'}),
    ]


def _text(payload: str) -> str:
    return payload


def _bytes(payload: bytes) -> bytes:
    return payload


async def test_a_key_that_a_job_here_has_already_makes_no_second_one(queuer, ours, here, db):
    db.execute("select howdah.enqueue('shop.pay', '{\"n\": 1}', unique_key => 'pay:1')")
    await queuer.queries.enqueue("shop.pay", b'{"n": 1}', dedupe_key="pay:1")

    report = await import_jobs(here, THERE, plan(ours))

    assert (report.jobs, report.found) == (1, 1)
    assert db.execute("select count(*) from howdah.jobs").fetchone() == (1,)


async def test_what_is_due_in_a_hundred_years_is_refused_before_anything_is_moved(
    queuer, ours, here, db
):
    await queuer.pay(1, 2)
    db.execute(
        "update theirs.pgqueuer set execute_after = %s where id = 2",
        [datetime.now(UTC) + timedelta(days=36500)],
    )

    report = await import_jobs(here, THERE, plan(ours))

    assert [flaw.why for flaw in report.flaws.values()] == ["it is due in more than ten years"]
    assert db.execute("select count(*) from howdah.jobs").fetchone() == (0,)


async def test_tables_that_are_older_are_refused(queuer, ours, here, db):
    db.execute("alter table theirs.pgqueuer drop column attempts")

    with pytest.raises(NotFound, match="no column attempts"):
        await import_jobs(here, THERE, plan(ours))


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(BadInput, match="xml"):
        Plan(payloads={"": "xml"})
    with pytest.raises(BadInput, match="name in the database"):
        pgqueuer("x" * 64)
