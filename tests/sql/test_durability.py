"""Enqueue and finish are durable unless the queue says otherwise, whatever the session says."""

from __future__ import annotations

import pytest
from psycopg.types.json import Jsonb

VERBS = {
    "enqueue": lambda door, _: door.enqueue(),
    "enqueue_json": lambda door, _: door.enqueue_json({"task": "t"}),
    "enqueue_many": lambda door, _: door.rows(
        "select * from howdah.enqueue_many(array[jsonb_populate_record(null::howdah.new_job, %s)])",
        Jsonb({"task": "t"}),
    ),
    "enqueue_batch": lambda door, _: door.call(
        "enqueue_batch", task="t", ids=["01900000-0000-7000-8000-000000000001"], args=["{}"]
    ),
    "enqueue_unique": lambda door, _: door.call(
        "enqueue_unique",
        task="t",
        ids=["01900000-0000-7000-8000-000000000001"],
        args=["{}"],
        unique_keys=["k"],
    ),
    "insert": lambda door, _: door.rows("insert into howdah.jobs (task) values ('t')"),
    "ack": lambda door, job: door.ack(job),
    "nack": lambda door, job: door.nack(job),
    "failed": lambda door, job: door.nack(job, retry=False),
    "finish": lambda door, job: door.finish([job]),
    "finish many ways": lambda door, job: door.finish([job], outcomes=["retry"]),
}


def setting(door):
    return door.one("select current_setting('synchronous_commit')")


@pytest.mark.parametrize("verb", VERBS)
def test_a_commit_is_durable_although_the_session_says_off(door, another_door, verb):
    careless = another_door(options="-c synchronous_commit=off")
    door.enqueue()
    job = door.take()

    with careless.transaction():
        VERBS[verb](careless, job)
        at_commit = setting(careless)

    assert at_commit == "on"
    assert setting(careless) == "off"


@pytest.mark.parametrize("level", ["local", "remote_write", "on", "remote_apply"])
@pytest.mark.parametrize("verb", ["enqueue", "ack", "finish"])
def test_no_other_level_is_touched(door, another_door, verb, level):
    careful = another_door(options=f"-c synchronous_commit={level}")
    door.enqueue()
    job = door.take()

    with careful.transaction():
        VERBS[verb](careful, job)
        at_commit = setting(careful)

    assert at_commit == level


def test_a_queue_may_say_otherwise(door, another_door):
    careless = another_door(options="-c synchronous_commit=off")
    door.call("put_queue", queue="telemetry", durable=False)
    levels = []

    with careless.transaction():
        careless.enqueue(queue="telemetry")
        levels.append(setting(careless))
    job = careless.take()
    with careless.transaction():
        careless.ack(job)
        levels.append(setting(careless))

    assert levels == ["off", "off"]


def test_one_durable_job_among_others_makes_the_batch_durable(door, another_door):
    careless = another_door(options="-c synchronous_commit=off")
    door.call("put_queue", queue="telemetry", durable=False)

    with careless.transaction():
        careless.enqueue_json({"task": "t", "queue": "telemetry"}, {"task": "t", "queue": "money"})
        at_commit = setting(careless)
    jobs = careless.claim(2)
    with careless.transaction():
        careless.finish(jobs)
        at_finish = setting(careless)

    assert (at_commit, at_finish) == ("on", "on")


def test_the_claim_of_a_job_that_may_not_start_twice_is_durable(door, another_door):
    careless = another_door(options="-c synchronous_commit=off")
    door.enqueue(delivery="at_most_once")

    with careless.transaction():
        assert careless.take()
        at_commit = setting(careless)

    assert at_commit == "on"
