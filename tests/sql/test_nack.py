"""howdah.nack: one attempt did not succeed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest


def test_a_nacked_job_is_scheduled_again_and_the_attempt_written_down(door):
    worker = door.worker()
    door.enqueue()
    job = door.take(worker=worker)

    state = door.nack(job, error="boom")
    [attempt] = door.attempts(job.id)

    assert state == door.state(job.id) == "scheduled"
    assert (attempt.attempt, attempt.error, attempt.worker) == (1, "boom", worker)
    assert attempt.started_at <= attempt.finished_at
    assert door.job(job.id).error == "boom"


def test_backoff_doubles_from_three_seconds_counted_from_now(door, clock):
    job_id = door.enqueue(max_attempts=6)
    waits = []

    for _ in range(5):
        job = door.take()
        clock.forward("20 s")
        door.nack(job, error="boom")
        waits.append(door.job(job_id).run_at - door.attempts(job_id)[-1].finished_at)
        door.value("run_now", id=job_id)

    for wait, expected in zip(waits, (3, 6, 12, 24, 48), strict=True):
        assert wait.total_seconds() == pytest.approx(expected, rel=0.26)


def test_backoff_is_capped_at_an_hour(door):
    job_id = door.enqueue(max_attempts=40)

    for _ in range(20):
        door.nack(door.take(), error="boom")
        wait = door.job(job_id).run_at - door.attempts(job_id)[-1].finished_at
        door.value("run_now", id=job_id)

    assert wait <= timedelta(minutes=72)
    assert wait >= timedelta(minutes=48)


def test_backoff_has_jitter(door):
    door.enqueue_json(*[{"task": "t"}] * 10)

    for job in door.claim(10):
        door.nack(job)
    waits = door.rows("select run_at - clock_timestamp() as wait from howdah.scheduled")

    assert len({row.wait.total_seconds() // 0.01 for row in waits}) > 3


def test_four_attempts_by_default_then_failed_with_the_last_error(door):
    job_id = door.enqueue()

    states = []
    for n in range(1, 5):
        job = door.take()
        states.append(door.nack(job, error=f"boom {n}", retry_in="0"))
        assert job.attempt == n

    assert states == ["ready", "ready", "ready", "failed"]
    assert (door.job(job_id).state, door.job(job_id).error, door.job(job_id).attempt) == (
        "failed",
        "boom 4",
        4,
    )
    assert [a.error for a in door.attempts(job_id)] == ["boom 1", "boom 2", "boom 3", "boom 4"]
    assert door.claim() == []


def test_max_attempts_of_one_runs_once(door):
    job_id = door.enqueue(max_attempts=1)

    state = door.nack(door.take(), error="boom")

    assert state == door.state(job_id) == "failed"
    assert len(door.attempts(job_id)) == 1


def test_an_explicit_wait_is_kept_exactly(door):
    job_id = door.enqueue()
    job = door.take()

    door.nack(job, retry_in="10 min")

    wait = door.job(job_id).run_at - door.attempts(job_id)[0].finished_at
    assert wait == pytest.approx(timedelta(minutes=10), abs=timedelta(seconds=1))


def test_an_explicit_time_is_kept_exactly(door):
    job_id = door.enqueue()
    job = door.take()
    at = datetime.now(UTC).replace(microsecond=123456) + timedelta(hours=3)

    door.nack(job, retry_at=at)

    assert door.job(job_id).run_at == at


def test_a_wait_of_nothing_makes_it_ready_at_once(door):
    door.enqueue()

    state = door.nack(door.take(), retry_in="0")

    assert state in {"ready", "scheduled"}
    assert door.take().attempt == 2


def test_retry_false_fails_at_once(door):
    job_id = door.enqueue(max_attempts=10)

    state = door.nack(door.take(), error="never", retry=False)

    assert state == "failed"
    assert (door.state(job_id), door.job(job_id).error) == ("failed", "never")


def test_a_nacked_job_comes_back_without_any_worker(door, clock):
    job_id = door.enqueue()
    door.nack(door.take(), retry_in="5 min")
    assert door.claim() == []

    clock.forward("6 min")
    claimed = [job for _ in range(2) for job in door.claim()]

    assert [(job.id, job.attempt) for job in claimed] == [(job_id, 2)]


@pytest.mark.parametrize("token", ["wrong", "old", "none", "expired"])
def test_a_token_that_is_not_good_is_refused_and_nothing_changes(door, clock, refused, token):
    door.enqueue(timeout="10 s")
    job = door.take()
    lease = {"wrong": uuid4(), "none": None}.get(token, job.lease)
    if token == "old":
        clock.forward("11 s")
        door.chores()
        door.value("run_now", id=job.id)
        assert door.take().lease != lease
    if token == "expired":
        clock.forward("11 s")
    before = door.job(job.id)

    with refused("JQ002"):
        door.call("nack", id=job.id, lease=lease, error="x", retry=False)

    assert door.job(job.id) == before


def test_the_same_nack_twice_counts_once(door):
    job_id = door.enqueue()
    job = door.take()
    door.nack(job, error="boom", retry_in="1 hour")

    again = door.nack(job, error="boom", retry_in="1 hour")

    assert again == "scheduled"
    assert len(door.attempts(job_id)) == 1


def test_the_same_last_nack_twice_is_already_done(door):
    job_id = door.enqueue(max_attempts=1)
    job = door.take()
    door.nack(job, error="boom")

    again = door.nack(job, error="boom")

    assert again == "failed"
    assert door.counts() == (0, 1)
    assert len(door.attempts(job_id)) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"retry_in": "-1 s"},
        {"retry_in": "1 hour", "retry_at": "2027-01-01 00:00+00"},
        {"retry_at": "infinity"},
        {"retry_at": "-infinity"},
        {"retry_in": "900000 years"},
    ],
    ids=str,
)
def test_times_that_make_no_sense_are_refused(door, refused, bad):
    door.enqueue()
    job = door.take()

    with refused("JQ001"):
        door.nack(job, **bad)

    assert door.state(job.id) == "running"
    assert door.attempts(job.id) == []


def test_an_error_of_any_text_is_kept(door):
    door.enqueue()
    text = "Traceback…\n\t'quoted' \"x\" \\ 日本 " + "x" * 20000

    job = door.take()
    door.nack(job, error=text)

    assert door.attempts(job.id)[0].error.startswith(text[:1000])


def test_a_tasks_own_backoff_is_used(door):
    door.call("declare_tasks", tasks=[
        {"name": "t", "first_ms": 60000, "factor": 1, "longest_ms": 60000, "jitter": 0}
    ])  # fmt: skip
    job_id = door.enqueue("t")

    door.nack(door.take())

    wait = door.job(job_id).run_at - door.attempts(job_id)[0].finished_at
    assert wait == pytest.approx(timedelta(minutes=1), abs=timedelta(milliseconds=200))


def test_a_time_long_ago_makes_it_ready_at_once(door):
    door.enqueue()

    state = door.nack(door.take(), retry_at="1960-01-01 00:00+00")

    assert state == "ready"
    assert door.take().attempt == 2
