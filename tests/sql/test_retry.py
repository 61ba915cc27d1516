"""howdah.retry: a finished job comes back as the same id, with fresh room for attempts."""

from __future__ import annotations

from threading import Thread
from uuid import uuid4

import psycopg
import pytest


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_a_finished_job_comes_back_as_the_same_id(door, end):
    job_id = door.enqueue("t", args={"n": 1}, queue="q", priority=4, tags=["x"], headers={"h": 1})
    door.finish([door.take()], outcomes=[end], errors=["e"])

    did = door.value("retry", id=job_id)
    again = door.take()

    assert did is True
    assert (again.id, again.task, again.args, again.queue) == (job_id, "t", {"n": 1}, "q")
    assert (again.priority, again.tags, again.headers) == (4, ["x"], {"h": 1})
    assert door.counts() == (1, 0)


def test_it_goes_on_counting_with_as_much_room_as_at_first(door):
    job_id = door.enqueue(max_attempts=2)
    for _ in range(2):
        door.nack(door.take(), retry_in="0")
    assert door.state(job_id) == "failed"

    door.value("retry", id=job_id)
    counted = []
    while door.state(job_id) != "failed":
        counted.append((job := door.take()).attempt)
        door.nack(job, retry_in="0")

    assert counted == [3, 4]
    assert [a.attempt for a in door.attempts(job_id)] == [1, 2, 3, 4]


def test_backoff_begins_anew_after_a_retry(door):
    job_id = door.enqueue(max_attempts=6)
    for _ in range(6):
        door.nack(door.take(), retry_in="0")
    door.value("retry", id=job_id)

    door.nack(door.take())

    wait = door.job(job_id).run_at - door.attempts(job_id)[-1].finished_at
    assert wait.total_seconds() == pytest.approx(3, rel=0.3)


def test_a_job_that_kept_killing_workers_gets_fresh_room_for_crashes(door, clock):
    job_id = door.enqueue()
    crash_until_failed(door, clock, job_id)

    door.value("retry", id=job_id)
    worker = door.worker()
    door.take(worker=worker)
    clock.forward("1 min")
    door.chores()

    assert door.state(job_id) == "ready"


def crash_until_failed(door, clock, job_id):
    while door.state(job_id) != "failed":
        door.take(worker=door.worker())
        clock.forward("1 min")
        door.chores()


@pytest.mark.parametrize("state", ["ready", "scheduled", "running"])
def test_an_unfinished_job_is_left_alone(door, state):
    job_id = door.enqueue(delay="1 hour" if state == "scheduled" else None)
    if state == "running":
        door.take()

    did = door.value("retry", id=job_id)

    assert did is False
    assert door.state(job_id) == state


def test_an_unknown_job_is_not_retried(door):
    assert door.value("retry", id=uuid4()) is False


def test_a_retried_job_has_left_history(door):
    job_id = door.enqueue()
    door.ack(door.take(), result={"old": True})

    door.value("retry", id=job_id)
    row = door.job(job_id)

    assert (row.state, row.result, row.finished_at) == ("ready", None, None)
    assert door.rows("select id from howdah.jobs where id = %s", job_id) == [(job_id,)]


def test_the_lease_of_the_run_before_is_worth_nothing(door, refused):
    job_id = door.enqueue()
    old = door.take()
    door.ack(old)
    door.value("retry", id=job_id)

    with refused("JQ002"):
        door.ack(old)

    assert door.state(job_id) == "ready"


def test_two_retries_at_once_bring_back_one_job(door, another_door, waits_for_lock):
    one, two, answers = another_door(), another_door(), []
    job_id = door.enqueue()
    door.ack(door.take())
    one.rows("begin")
    first = one.value("retry", id=job_id)
    thread = Thread(target=lambda: answers.append(two.value("retry", id=job_id)))

    thread.start()
    waits_for_lock(two)
    one.rows("commit")
    thread.join()

    assert (first, answers) == (True, [False])
    assert door.counts() == (1, 0)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_retry_that_races_an_enqueue_of_its_key_is_a_conflict_when_that_commits(
    door, another_door, waits_for_lock, end
):
    producer, retrier, answers = another_door(), another_door(), []
    job_id = door.enqueue(unique_key="k")
    door.nack(door.take(), retry=False)
    producer.rows("begin")
    producer.enqueue(unique_key="k")

    def retry():
        try:
            answers.append(retrier.value("retry", id=job_id))
        except psycopg.Error as error:
            answers.append(error.sqlstate)

    thread = Thread(target=retry)
    thread.start()
    waits_for_lock(retrier)
    producer.rows(end)
    thread.join()

    assert answers == ["JQ003" if end == "commit" else True]
    assert door.state(job_id) == ("failed" if end == "commit" else "ready")
