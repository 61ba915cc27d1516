"""A queue that keeps none of its history: ack deletes."""

from __future__ import annotations

import pytest


@pytest.fixture
def plain(door):
    door.call("put_queue", queue="plain", keep_history=False)
    return door


@pytest.mark.parametrize("outcome", ["succeeded", "cancelled"])
def test_finished_jobs_are_gone(plain, outcome):
    job_id = plain.enqueue(queue="plain")

    plain.finish([plain.take()], outcomes=[outcome])

    assert plain.job(job_id) is None
    assert plain.counts() == (0, 0)


def test_other_queues_keep_theirs_in_the_same_call(plain):
    plain.enqueue_json({"task": "a", "queue": "plain"}, {"task": "b", "queue": "kept"})

    plain.finish(plain.claim(2))

    assert plain.rows("select queue, state from howdah.jobs") == [("kept", "succeeded")]


def test_the_key_of_a_job_that_is_gone_is_free(plain):
    first = plain.enqueue(queue="plain", unique_key="k")
    plain.ack(plain.take())

    assert plain.enqueue(queue="plain", unique_key="k") != first


def test_retries_go_on_as_ever(plain):
    plain.enqueue(queue="plain")

    plain.nack(plain.take(), retry_in="0")

    assert plain.take().attempt == 2


def test_history_may_be_kept_again(plain):
    plain.call("put_queue", queue="plain", keep_history=True)
    job_id = plain.enqueue(queue="plain")

    plain.ack(plain.take())

    assert plain.state(job_id) == "succeeded"


def test_a_null_leaves_the_setting_as_it_is(plain):
    plain.call("put_queue", queue="plain", durable=False)

    [queue] = plain.rows("select keep_history, durable from howdah.queues where queue = 'plain'")

    assert (queue.keep_history, queue.durable) == (False, False)


def test_put_queue_without_a_name_is_refused(door, refused):
    for bad in (None, "", "x" * 121):
        with refused("JQ001"):
            door.call("put_queue", queue=bad)


def test_its_result_is_not_to_be_had(plain):
    job_id = plain.enqueue(queue="plain")

    plain.ack(plain.take(), result={"n": 1})

    assert plain.call("outcome", id=job_id) in ([], [(None, None, None)])


def test_a_failed_job_is_kept(plain):
    job_id = plain.enqueue(queue="plain")

    plain.nack(plain.take(), error="boom", retry=False)

    assert (plain.state(job_id), plain.job(job_id).error) == ("failed", "boom")
    assert plain.value("retry", id=job_id) is True


def test_a_waiting_job_that_is_cancelled_is_gone(plain):
    job_id = plain.enqueue(queue="plain")

    plain.value("cancel", id=job_id)

    assert plain.job(job_id) is None
