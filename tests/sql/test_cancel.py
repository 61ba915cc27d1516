"""howdah.cancel: a waiting job ends at once, a running one when its worker hears of it."""

from __future__ import annotations

from uuid import uuid4

import pytest


@pytest.mark.parametrize("delay", [None, "1 hour"])
def test_a_waiting_job_is_cancelled_at_once(door, delay):
    job_id = door.enqueue(delay=delay)

    did = door.value("cancel", id=job_id)

    assert did is True
    assert (door.state(job_id), door.job(job_id).attempt) == ("cancelled", 0)
    assert door.claim() == []


def test_the_worker_of_a_running_job_is_asked_to_stop_it(door):
    worker, bystander = door.worker("a"), door.worker("b")
    door.enqueue()
    job = door.take(worker=worker)

    did = door.value("cancel", id=job.id)

    assert did is True
    assert door.state(job.id) == "running"
    assert door.beat(worker).cancel == [job.id]
    assert not door.beat(bystander).cancel


@pytest.mark.parametrize("how", ["ack", "nack", "release", "failed", "cancelled", "snoozed"])
def test_however_a_cancelled_attempt_ends_the_job_ends_cancelled(door, how):
    door.enqueue()
    job = door.take()
    door.value("cancel", id=job.id)

    match how:
        case "ack":
            door.ack(job, result={"n": 1})
        case "nack":
            assert door.nack(job, error="stopped") == "cancelled"
        case "release":
            door.release(job)
        case outcome:
            door.finish([job], outcomes=[outcome])

    assert door.state(job.id) == ("failed" if how == "failed" else "cancelled")
    assert door.counts() == (0, 1)
    assert door.claim() == []


def test_a_success_that_meets_a_request_keeps_its_result(door):
    door.enqueue()
    job = door.take()
    door.value("cancel", id=job.id)

    door.ack(job, result={"n": 1})

    assert (door.state(job.id), door.job(job.id).result) == ("cancelled", {"n": 1})


def test_a_cancelled_job_of_a_lost_worker_is_not_run_again(door, clock):
    worker = door.worker()
    door.enqueue()
    job = door.take(worker=worker)
    door.value("cancel", id=job.id)

    clock.forward("1 min")
    door.chores()

    assert door.state(job.id) == "cancelled"


def test_a_cancelled_job_whose_lease_ran_out_is_not_run_again(door, clock):
    door.enqueue(timeout="10 s")
    job = door.take()
    door.value("cancel", id=job.id)

    clock.forward("1 min")
    door.chores()

    assert door.state(job.id) == "cancelled"


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_a_finished_job_cannot_be_cancelled(door, end):
    door.enqueue()
    job = door.take()
    door.finish([job], outcomes=[end])

    did = door.value("cancel", id=job.id)

    assert did is False
    assert door.state(job.id) == end


def test_an_unknown_job_cannot_be_cancelled(door):
    assert door.value("cancel", id=uuid4()) is False


def test_a_request_does_not_outlive_its_job(door):
    door.enqueue()
    job = door.take()
    door.value("cancel", id=job.id)
    door.ack(job)

    door.value("retry", id=job.id)
    door.ack(door.take())

    assert door.state(job.id) == "succeeded"
    assert door.one("select count(*) from _howdah.cancel_request") == 0


def test_an_open_cancel_of_a_running_job_does_not_stop_its_finisher(door, another_door):
    other = another_door()
    door.enqueue()
    job = door.take()
    other.rows("begin")
    other.value("cancel", id=job.id)

    refused = door.finish([job], skip_locked=True)
    other.rows("rollback")

    assert refused == {}
    assert door.state(job.id) == "succeeded"


def test_cancel_twice_does_no_harm(door):
    job_id = door.enqueue()

    first, second = door.value("cancel", id=job_id), door.value("cancel", id=job_id)

    assert (first, second) == (True, False)
    assert door.counts() == (0, 1)


def test_a_job_whose_holder_nobody_could_tell_is_cancelled_at_once(door, refused):
    door.enqueue(no_timeout=True)
    job = door.take()

    did = door.value("cancel", id=job.id)
    with refused("JQ002"):
        door.ack(job)

    assert (did, door.state(job.id)) == (True, "cancelled")
    assert door.claim() == []


def test_a_request_that_commits_after_the_finish_stops_no_later_run(door, another_door):
    worker, other = door.worker(), another_door()
    door.enqueue()
    job = door.take(worker=worker)
    other.rows("begin")
    other.value("cancel", id=job.id)
    door.finish([job])
    other.rows("commit")

    door.value("retry", id=job.id)
    again = door.take(worker=worker)
    asked = door.beat(worker).cancel
    door.ack(again)

    assert not asked
    assert door.state(job.id) == "succeeded"


def test_a_request_that_commits_after_the_nack_stops_no_later_attempt(door, another_door):
    worker, other = door.worker(), another_door()
    door.enqueue()
    job = door.take(worker=worker)
    other.rows("begin")
    other.value("cancel", id=job.id)
    door.nack(job, retry_in="0")
    other.rows("commit")

    claimed = door.claim(worker=worker)
    asked = door.beat(worker).cancel
    door.finish(claimed)

    assert not asked
    assert door.state(job.id) == ("succeeded" if claimed else "cancelled")
