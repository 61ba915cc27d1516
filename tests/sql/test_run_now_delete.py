"""howdah.run_now and howdah.delete."""

from __future__ import annotations

from uuid import uuid4

import pytest


def test_a_scheduled_job_becomes_ready(door):
    job_id = door.enqueue(delay="1 day")

    did = door.value("run_now", id=job_id)

    assert did is True
    assert door.state(job_id) == "ready"
    assert door.take().id == job_id


def test_a_job_that_waits_for_its_next_attempt_may_run_now_too(door):
    job_id = door.enqueue()
    door.nack(door.take(), retry_in="1 day")

    door.value("run_now", id=job_id)

    assert door.take().attempt == 2


@pytest.mark.parametrize("state", ["ready", "running", "succeeded"])
def test_run_now_leaves_other_jobs_alone(door, state):
    job_id = door.enqueue()
    if state != "ready":
        job = door.take()
    if state == "succeeded":
        door.ack(job)

    did = door.value("run_now", id=job_id)

    assert did is False
    assert door.state(job_id) == state


@pytest.mark.parametrize("delay", [None, "1 hour"])
def test_a_waiting_job_is_deleted(door, delay):
    job_id = door.enqueue(delay=delay)

    did = door.value("delete", id=job_id)

    assert did is True
    assert door.job(job_id) is None
    assert door.claim() == []


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_a_finished_job_is_deleted_with_its_attempts(door, end):
    job_id = door.enqueue()
    door.nack(door.take(), retry_in="0")
    door.finish([door.take()], outcomes=[end])

    did = door.value("delete", id=job_id)

    assert did is True
    assert door.job(job_id) is None
    assert door.attempts(job_id) == []


def test_a_running_job_is_not_deleted(door):
    job_id = door.enqueue()
    job = door.take()

    did = door.value("delete", id=job_id)

    assert did is False
    assert door.state(job_id) == "running"
    door.ack(job)


def test_unknown_jobs_are_neither_run_nor_deleted(door):
    assert door.value("run_now", id=uuid4()) is False
    assert door.value("delete", id=uuid4()) is False


def test_operating_on_one_job_touches_no_other(door):
    ids = [door.enqueue(delay="1 hour") for _ in range(3)]

    door.value("run_now", id=ids[0])
    door.value("delete", id=ids[1])

    assert [door.state(job_id) for job_id in ids] == ["ready", None, "scheduled"]
