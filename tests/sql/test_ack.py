"""howdah.ack: one job succeeded."""

from __future__ import annotations

from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb


def test_an_acked_job_has_succeeded_with_its_result(door):
    door.enqueue("t", args={"n": 1}, tags=["x"], priority=3)
    job = door.take()

    door.ack(job, result={"rows": [1, 2]})
    row = door.job(job.id)

    assert (row.state, row.result, row.error) == ("succeeded", {"rows": [1, 2]}, None)
    assert (row.task, row.args, row.tags, row.priority) == ("t", {"n": 1}, ["x"], 3)
    assert row.created_at <= row.started_at <= row.finished_at


@pytest.mark.parametrize("result", [None, "text", 0, False, [], {"a": None}, "日本"])
def test_any_json_is_a_result(door, result):
    door.enqueue()
    job = door.take()

    door.ack(job, result=Jsonb(result))

    assert door.job(job.id).result == result


def test_an_ack_without_result_leaves_null(door):
    door.enqueue()
    job = door.take()

    door.ack(job)

    assert door.one("select result is null from howdah.jobs where id = %s", job.id)
    assert door.attempts(job.id) == []


def test_a_wrong_token_is_refused_and_changes_nothing(door, refused):
    door.enqueue()
    job = door.take()

    with refused("JQ002"):
        door.call("ack", id=job.id, lease=uuid4())

    assert door.state(job.id) == "running"
    door.ack(job)


def test_a_missing_token_is_refused(door, refused):
    door.enqueue()
    job = door.take()

    with refused("JQ002"):
        door.call("ack", id=job.id, lease=None)

    assert door.state(job.id) == "running"


def test_the_token_of_another_job_is_refused(door, refused):
    door.enqueue_json({"task": "a"}, {"task": "b"})
    first, second = door.take(), door.take()

    with refused("JQ002"):
        door.call("ack", id=first.id, lease=second.lease)

    assert {door.state(first.id), door.state(second.id)} == {"running"}


def test_the_token_of_an_earlier_attempt_is_refused(door, refused):
    door.enqueue()
    old = door.take()
    door.nack(old, retry_in="0")
    new = door.take()

    with refused("JQ002"):
        door.ack(old)

    assert door.state(new.id) == "running"
    door.ack(new)


def test_a_job_that_waits_cannot_be_acked(door, refused):
    job_id = door.enqueue()

    with refused("JQ002"):
        door.call("ack", id=job_id, lease=uuid4())

    assert door.state(job_id) == "ready"


def test_an_unknown_job_cannot_be_acked(door, refused):
    with refused("JQ002"):
        door.call("ack", id=uuid4(), lease=uuid4())


def test_the_same_ack_sent_twice_is_already_done(door):
    door.enqueue()
    job = door.take()

    door.ack(job, result={"n": 1})
    door.ack(job, result={"n": 2})

    assert door.job(job.id).result == {"n": 1}
    assert door.counts() == (0, 1)


def test_an_ack_after_a_nack_under_the_same_lease_does_not_make_it_succeed(door, refused):
    door.enqueue()
    job = door.take()
    door.nack(job, retry_in="1 hour")

    with refused("JQ002"):
        door.ack(job)

    assert door.state(job.id) == "scheduled"


def test_a_lease_past_its_time_is_refused_before_any_chore_noticed(door, clock, refused):
    door.enqueue(timeout="10 s")
    job = door.take()
    clock.forward("11 s")

    with refused("JQ002"):
        door.ack(job)

    assert door.state(job.id) == "running"
    assert door.job(job.id).result is None


def test_a_workers_lease_never_ends_by_the_clock_alone(door, clock):
    worker = door.worker()
    door.enqueue(timeout="10 s")
    job = door.take(worker=worker)

    clock.forward("2 hours")
    door.ack(job)

    assert door.state(job.id) == "succeeded"


def test_a_finish_after_rescue_is_refused(door, clock, refused):
    worker = door.worker()
    door.enqueue()
    job = door.take(worker=worker)
    clock.forward("1 min")
    door.chores()

    with refused("JQ002"):
        door.ack(job)

    assert door.state(job.id) == "ready"


def test_an_ack_rolls_back_with_its_transaction(door):
    door.enqueue()
    job = door.take()

    door.rows("begin")
    door.ack(job)
    door.rows("rollback")

    assert door.state(job.id) == "running"
    door.ack(job)


def test_a_refused_ack_spoils_nothing_done_before_it_in_a_savepoint(door, refused):
    door.enqueue_json({"task": "a"}, {"task": "b"})
    good, bad = door.claim(2)

    with door.transaction():
        door.ack(good)
        with refused("JQ002"), door.transaction():
            door.call("ack", id=bad.id, lease=uuid4())

    assert [door.state(good.id), door.state(bad.id)] == ["succeeded", "running"]


def test_the_finished_job_says_which_worker_ran_it(door):
    worker = door.worker()
    door.enqueue()
    job = door.take(worker=worker)

    door.ack(job)

    assert door.job(job.id).worker == worker
