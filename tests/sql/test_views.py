"""The views of the contract."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

OF_A_JOB = (
    "id queue task args state priority attempt max_attempts timeout run_at created_at"
    " started_at finished_at worker result error tags headers"
)
SLICES = ["ready", "scheduled", "running", "expired", "failed"]
PROMISED = {
    **dict.fromkeys(["jobs", *SLICES], OF_A_JOB),
    "attempts": "job_id attempt outcome error started_at finished_at worker",
    "queues": "queue",
    "workers": "id name host pid version started_at beat_at running control",
}


@pytest.mark.parametrize("view", PROMISED)
def test_a_view_has_the_columns_that_are_promised(door, view):
    columns = door.rows(
        "select column_name from information_schema.columns"
        " where table_schema = 'howdah' and table_name = %s",
        view,
    )

    assert {*PROMISED[view].split()} <= {row.column_name for row in columns}


def one_of_each(door, clock):
    ids = {}
    ids["expired"] = door.enqueue(timeout="5 s")
    door.take()
    clock.forward("10 s")
    ids["running"] = door.enqueue()
    door.claim(1, worker=door.worker())
    for state in ("succeeded", "failed", "cancelled"):
        ids[state] = door.enqueue(priority=9)
        door.finish(door.claim(1, worker=door.worker()), outcomes=[state])
    ids["scheduled"] = door.enqueue(delay="1 hour")
    ids["ready"] = door.enqueue()
    return ids


def test_every_job_is_in_jobs_exactly_once(door, clock):
    ids = one_of_each(door, clock)

    found = {row.id: row.state for row in door.rows("select id, state from howdah.jobs")}

    assert door.one("select count(*) from howdah.jobs") == len(ids)
    assert found == {job_id: "running" if s == "expired" else s for s, job_id in ids.items()}


def test_a_slice_says_of_a_job_what_jobs_says(door, clock):
    door.enqueue()
    door.nack(door.take(), error="no", retry_in="1 hour")
    one_of_each(door, clock)
    columns = ", ".join(OF_A_JOB.split())

    for view in SLICES:
        sliced = door.rows(f"select {columns} from howdah.{view} order by id")
        whole = door.rows(
            f"select {columns} from howdah.jobs where id = any (%s) order by id",
            [row.id for row in sliced],
        )
        assert sliced == whole != []


@pytest.mark.parametrize("view", SLICES)
def test_a_slice_holds_its_jobs_and_no_others(door, clock, view):
    ids = one_of_each(door, clock)

    found = door.rows(f"select id from howdah.{view}")

    assert [row.id for row in found] == [ids[view]]


def test_jobs_of_a_silent_worker_are_expired_and_not_running(door, clock):
    door.enqueue()
    job = door.take(worker=door.worker())
    assert door.one("select id from howdah.running") == job.id

    clock.forward("1 min")

    assert door.rows("select id from howdah.running") == []
    assert door.one("select id from howdah.expired") == job.id


def test_queues_count_by_state_and_know_the_oldest(door, clock):
    door.enqueue(queue="q")
    clock.forward("10 min")
    door.enqueue_json(*[{"task": "t", "queue": "q"}] * 3)
    door.enqueue(queue="q", delay="1 hour")
    door.enqueue(queue="q", priority=5)
    door.take(worker=door.worker())

    [queue] = door.rows("select * from howdah.queues where queue = 'q'")

    assert (queue.ready, queue.scheduled, queue.running, queue.failed) == (4, 1, 1, 0)
    assert timedelta(minutes=9) < queue.oldest < timedelta(minutes=11)
    assert queue.paused is False


def test_the_oldest_job_of_a_queue_is_the_oldest_whatever_its_priority(door, clock):
    door.enqueue(queue="q", priority=-1)
    clock.forward("10 min")
    door.enqueue(queue="q", priority=1)

    oldest = door.one("select oldest from howdah.queues where queue = 'q'")

    assert oldest > timedelta(minutes=9)


def test_workers_say_who_they_are_and_what_they_do(door):
    worker = door.worker("w1", host="h1", version="1.2", pid=77, slots=5, queues=["a*"])
    door.enqueue_json(*[{"task": "t", "queue": "a1"}] * 3)
    door.claim(2, worker=worker)

    [row] = door.rows("select * from howdah.workers")

    assert (row.id, row.name, row.host, row.version, row.pid) == (worker, "w1", "h1", "1.2", 77)
    assert (row.running, row.control) == (2, "go")
    assert row.started_at <= row.beat_at


def test_attempts_keep_every_attempt_that_did_not_simply_succeed(door):
    job_id = door.enqueue()
    door.nack(door.take(), error="one", retry_in="0")
    door.release(door.take())
    door.ack(door.take())

    kept = [(a.attempt, a.outcome, a.error) for a in door.attempts(job_id)]

    assert kept[0] == (1, "error", "one")
    assert kept[1][1] == "released"
    assert len(kept) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "update howdah.jobs set state = 'succeeded'",
        "delete from howdah.jobs",
        "delete from howdah.ready",
        "update howdah.ready set priority = 7",
        "update howdah.running set attempt = 0",
        "insert into howdah.queues (queue) values ('q')",
        "update howdah.settings set max_crashes = 9",
    ],
)
def test_views_cannot_be_written_around_the_engine(door, statement):
    door.enqueue()

    with pytest.raises(psycopg.Error):
        door.rows(statement)

    assert door.counts() == (1, 0)


def test_a_job_says_when_it_is_or_was_due(door):
    now, later = door.enqueue(), door.enqueue(delay="1 hour")

    door.ack(door.take())

    assert door.job(now).run_at == door.job(now).created_at
    assert door.job(later).run_at > door.job(later).created_at


@pytest.mark.parametrize("style", ["ISO, MDY", "Postgres, MDY", "SQL, DMY"])
def test_a_page_of_new_jobs_is_the_same_in_every_style_of_dates(door, another_door, style):
    job_id, other = door.enqueue(), another_door()
    other.rows(f"set datestyle = '{style}'")
    other.rows("set timezone = 'Asia/Kolkata'")

    new = other.rows("select id from howdah.list_jobs(newer_than => '1 hour')")
    old = other.rows("select id from howdah.list_jobs(older_than => '1 hour')")

    assert [row.id for row in new] == [job_id]
    assert old == []
