"""howdah.enqueue: one job, in the caller's transaction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest


def test_a_task_name_is_all_that_a_job_needs(door):
    job_id = door.one("select howdah.enqueue('mail.send')")

    job = door.job(job_id)

    assert isinstance(job_id, UUID)
    assert (job.task, job.queue, job.args, job.state) == ("mail.send", "default", {}, "ready")
    assert (job.priority, job.attempt, job.max_attempts) == (0, 0, 4)
    assert job.timeout == timedelta(seconds=60)
    assert (job.worker, job.result, job.error, job.started_at, job.finished_at) == (None,) * 5


def test_every_option_is_kept_as_it_was_said(door):
    job_id = door.enqueue(
        "mail.send",
        args={"to": "Zoë", "n": [1, None, True]},
        queue="mail",
        priority=-7,
        max_attempts=2,
        timeout="90 s",
        delivery="at_most_once",
        unique_key="w42",
        headers={"trace": "abc"},
        tags=["a", "b"],
    )

    job = door.job(job_id)

    assert job.args == {"to": "Zoë", "n": [1, None, True]}
    assert (job.queue, job.priority, job.max_attempts) == ("mail", -7, 2)
    assert job.timeout == timedelta(seconds=90)
    assert (job.delivery, job.unique_key) == ("at_most_once", "w42")
    assert (job.headers, job.tags) == ({"trace": "abc"}, ["a", "b"])


def test_the_engine_makes_version_7_ids_that_follow_time(door):
    ids = [door.enqueue() for _ in range(5)]

    versions = {job_id.version for job_id in ids}
    stamp = datetime.fromtimestamp((ids[0].int >> 80) / 1000, UTC)

    assert versions == {7}
    assert len({*ids}) == 5
    assert abs(stamp - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_delay_makes_a_scheduled_job(door):
    job_id = door.enqueue(delay="10 min")

    job = door.job(job_id)

    assert job.state == "scheduled"
    assert job.run_at - job.created_at == pytest.approx(
        timedelta(minutes=10), abs=timedelta(seconds=1)
    )
    assert door.claim() == []


def test_a_time_in_the_past_makes_a_ready_job(door):
    job_id = door.enqueue(run_at="2001-02-03 04:05:06+00")

    job = door.job(job_id)

    assert job.state == "ready"
    assert job.run_at == datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert door.take().id == job_id


def test_one_instant_is_one_instant_from_any_time_zone(another_door):
    door = another_door(options="-c timezone=America/New_York")

    at_utc = door.enqueue(run_at="2030-01-01 12:00:00+00")
    at_delhi = door.enqueue(run_at="2030-01-01 17:30:00+05:30")
    same = door.one("select count(distinct run_at) from howdah.jobs")

    assert same == 1
    assert door.job(at_utc).run_at == datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert door.job(at_delhi).state == "scheduled"


def test_a_job_may_have_no_timeout(door):
    job_id = door.enqueue(no_timeout=True)

    claimed = door.take()

    assert door.job(job_id).timeout is None
    assert claimed.timeout_ms is None


def test_a_rolled_back_transaction_leaves_no_job(door):
    with door.transaction() as transaction:
        job_id = door.enqueue(unique_key="k")
        assert door.job(job_id) is not None
        raise psycopg.Rollback(transaction)

    assert door.counts() == (0, 0)
    assert door.enqueue(unique_key="k") != job_id


def test_a_rolled_back_savepoint_takes_only_its_own_jobs(door):
    with door.transaction():
        kept = door.enqueue()
        with door.transaction() as savepoint:
            door.enqueue()
            raise psycopg.Rollback(savepoint)

    assert [job.id for job in door.claim(10)] == [kept]


def test_others_see_the_job_when_the_transaction_has_committed(door, another_door):
    other = another_door()

    with door.transaction():
        job_id = door.enqueue()
        before = other.claim()

    assert before == []
    assert other.take().id == job_id


def test_any_name_works_for_queues_and_tasks(door):
    for name in (
        "Echo",
        "my-queue",
        "日本",
        "a b",
        "x" * 120,
        "it's",
        'say "hi"',
        "%",
        "a_b",
        "\\",
    ):
        door.enqueue(name, queue=name)

    claimed = door.claim(20)

    assert len(claimed) == 10
    assert all(job.queue == job.task for job in claimed)


def test_enqueue_works_inside_serializable_and_repeatable_read(door):
    for level in ("repeatable read", "serializable"):
        with door.transaction():
            door.rows(f"set transaction isolation level {level}")
            door.enqueue()

    assert door.counts() == (2, 0)


def test_nulls_everywhere_but_the_task_mean_the_defaults(door):
    job_id = door.enqueue(
        args=None, queue=None, priority=None, run_at=None, delay=None, max_attempts=None,
        timeout=None, delivery=None, id=None, unique_key=None, headers=None, tags=None,
    )  # fmt: skip

    job = door.job(job_id)

    assert (job.args, job.queue, job.priority, job.max_attempts) == ({}, "default", 0, 4)
    assert job.delivery == "at_least_once"


def test_args_of_almost_a_mebibyte_are_taken(door):
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 20000))) * 17  # 1,020,000 bytes

    job_id = door.enqueue(args={"t": text})

    assert door.take().args == {"t": text}
    assert door.state(job_id) == "running"


def test_args_64_deep_are_taken(door):
    deep = "[" * 63 + "]" * 63

    job_id = door.one(f"""select howdah.enqueue('t', '{{"a": {deep}}}')""")

    assert door.take().id == job_id
