"""howdah.outcome: what became of a job, for whoever knows its id."""

from __future__ import annotations

from uuid import uuid4


def test_an_outcome_follows_the_job_through_its_life(door):
    job_id, states = door.enqueue(delay="1 h"), []

    states.append(door.call("outcome", id=job_id)[0].state)
    door.value("run_now", id=job_id)
    states.append(door.call("outcome", id=job_id)[0].state)
    job = door.take()
    states.append(door.call("outcome", id=job_id)[0].state)
    door.ack(job, result={"n": 1})
    [end] = door.call("outcome", id=job_id)

    assert states == ["scheduled", "ready", "running"]
    assert (end.state, end.result, end.error) == ("succeeded", {"n": 1}, None)


def test_a_failed_job_gives_its_error(door):
    job_id = door.enqueue()
    door.nack(door.take(), error="boom", retry=False)

    [end] = door.call("outcome", id=job_id)

    assert (end.state, end.result, end.error) == ("failed", None, "boom")


def test_a_cancelled_job_that_had_succeeded_gives_its_result(door):
    job_id = door.enqueue()
    job = door.take()
    door.value("cancel", id=job_id)
    door.ack(job, result={"n": 1})

    [end] = door.call("outcome", id=job_id)

    assert (end.state, end.result) == ("cancelled", {"n": 1})


def test_an_unknown_job_has_no_outcome(door):
    answer = door.call("outcome", id=uuid4())

    assert answer == [] or answer == [(None, None, None)]


def test_a_retried_job_gives_the_outcome_of_its_last_run(door):
    job_id = door.enqueue()
    door.nack(door.take(), error="boom", retry=False)
    door.value("retry", id=job_id)
    door.ack(door.take(), result={"n": 2})

    [end] = door.call("outcome", id=job_id)

    assert (end.state, end.result, end.error) == ("succeeded", {"n": 2}, None)
