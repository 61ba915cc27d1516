"""howdah.extend and howdah.release: more time, and giving back."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest


def test_extend_prolongs_the_lease_of_a_caller_without_worker(door, clock):
    door.enqueue(timeout="10 s")
    job = door.take()

    until = door.extend(job, "5 min")
    clock.forward("4 min")
    door.chores()
    door.ack(job)

    assert until - job.leased_until == pytest.approx(
        timedelta(minutes=4, seconds=50), abs=timedelta(seconds=1)
    )
    assert door.state(job.id) == "succeeded"


def test_extend_of_a_workers_job_says_until_when(door):
    worker = door.worker()
    door.enqueue()
    job = door.take(worker=worker)

    until = door.extend(job, "5 min")

    assert until is not None
    door.ack(job)


@pytest.mark.parametrize("token", ["wrong", "old", "expired", "finished", "none"])
def test_extend_is_refused_without_a_good_lease(door, clock, refused, token):
    door.enqueue(timeout="10 s")
    job = door.take()
    lease = {"wrong": uuid4(), "none": None}.get(token, job.lease)
    match token:
        case "old":
            door.nack(job, retry_in="0")
            door.take()
        case "expired":
            clock.forward("11 s")
        case "finished":
            door.ack(job)

    with refused("JQ002"):
        door.call("extend", id=job.id, lease=lease, duration="1 min")


@pytest.mark.parametrize("duration", ["0", "-1 min", "999999 years", None])
def test_extend_by_nothing_or_less_is_bad_input(door, refused, duration):
    door.enqueue()
    job = door.take()

    with refused("JQ001"):
        door.extend(job, duration)

    assert door.job(job.id).leased_until == job.leased_until


def test_release_gives_the_job_back_uncharged(door):
    job_id = door.enqueue(max_attempts=1)

    job = door.take()
    door.release(job)

    assert (door.state(job_id), door.job(job_id).attempt) == ("ready", 0)
    assert door.take().attempt == 1


def test_release_is_written_down(door):
    job_id = door.enqueue()

    door.release(door.take())

    assert [a.outcome for a in door.attempts(job_id)] == ["released"]


@pytest.mark.parametrize("token", ["wrong", "expired", "finished", "none"])
def test_release_is_refused_without_a_good_lease(door, clock, refused, token):
    door.enqueue(timeout="10 s")
    job = door.take()
    lease = {"wrong": uuid4(), "none": None}.get(token, job.lease)
    if token == "expired":
        clock.forward("11 s")
    if token == "finished":
        door.ack(job)
    before = door.state(job.id)

    with refused("JQ002"):
        door.call("release", id=job.id, lease=lease)

    assert door.state(job.id) == before


def test_the_released_lease_is_worth_nothing_any_more(door, refused):
    door.enqueue()
    job = door.take()
    door.release(job)

    with refused("JQ002"):
        door.ack(job)

    assert door.state(job.id) == "ready"


def test_release_of_a_job_whose_cancelling_was_asked_for_does_not_run_it_again(door):
    door.enqueue()
    job = door.take()
    door.value("cancel", id=job.id)

    door.release(job)

    assert door.state(job.id) == "cancelled"
