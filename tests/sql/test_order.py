"""The order in which jobs come: greatest priority first, then first come."""

from __future__ import annotations

import random

import pytest


def tasks(jobs):
    return [job.task for job in jobs]


def test_greater_priorities_run_first(door):
    for priority in (0, 5, -5, 1, 2147483647, -2147483648):
        door.enqueue(str(priority), priority=priority)

    claimed = door.claim(9)

    assert tasks(claimed) == ["2147483647", "5", "1", "0", "-5", "-2147483648"]


def test_within_a_priority_first_come_is_first(door):
    expected = [door.enqueue(str(n)) for n in range(20)]

    claimed = [door.take().id for _ in range(20)]

    assert claimed == expected


def test_many_jobs_of_one_transaction_keep_their_order(door):
    with door.transaction():
        expected = [door.enqueue(str(n)) for n in range(10)]
        expected += [row.id for row in door.enqueue_json(*[{"task": f"m{n}"} for n in range(10)])]

    claimed = door.claim(20)

    assert [job.id for job in claimed] == expected


def test_one_claim_answers_in_the_order_in_which_many_would(door):
    chance = random.Random(7)
    jobs = [{"task": str(n), "priority": chance.randint(-2, 2)} for n in range(60)]
    door.enqueue_json(*jobs)

    claimed = door.claim(25) + [door.take() for _ in range(10)] + door.claim(25)

    assert tasks(claimed) == tasks_of(sorted(jobs, key=lambda job: -job["priority"]))


def tasks_of(jobs):
    return [job["task"] for job in jobs]


def test_across_queues_the_greatest_head_comes_first(door):
    door.enqueue("low", queue="a", priority=1)
    door.enqueue("high", queue="b", priority=2)
    door.enqueue("older", queue="c", priority=2)

    one_by_one = [door.take().task for _ in range(3)]

    assert one_by_one == ["high", "older", "low"]


def test_a_released_job_goes_to_the_front_of_its_priority(door):
    door.enqueue_json({"task": "a"}, {"task": "b"}, {"task": "c"}, {"task": "top", "priority": 1})
    assert door.take().task == "top"
    first = door.take()

    door.release(first)

    assert tasks(door.claim(9)) == ["a", "b", "c"]


def test_released_jobs_keep_their_order_among_each_other(door):
    door.enqueue_json(*[{"task": str(n)} for n in range(6)])
    one, two = door.claim(2), door.claim(2)

    for job in (two[1], one[0], two[0], one[1]):
        door.release(job)

    assert tasks(door.claim(9)) == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize("turns", [2, 5])
def test_a_job_may_be_released_again_and_again(door, turns):
    door.enqueue_json({"task": "a"}, {"task": "b"})

    for _ in range(turns):
        door.release(door.take())

    assert tasks(door.claim(9)) == ["a", "b"]


def test_a_released_job_does_not_pass_a_greater_priority(door):
    door.enqueue("low", priority=-1)
    low = door.take()
    door.enqueue("high", priority=0)

    door.release(low)

    assert tasks(door.claim(9)) == ["high", "low"]


def test_a_retried_job_goes_behind_those_that_wait(door):
    door.enqueue("a")
    first = door.take()
    door.enqueue("b")

    door.nack(first, retry_in="0")

    assert tasks(door.claim(9)) == ["b", "a"]


def test_due_jobs_are_staged_in_the_order_of_their_times(door, clock):
    door.enqueue("third", delay="30 min")
    door.enqueue("first", delay="10 min")
    door.enqueue("second", delay="20 min")

    clock.forward("1 hour")
    door.chores()

    assert tasks(door.claim(9)) == ["first", "second", "third"]


def test_jobs_run_now_take_their_place_at_the_end(door):
    late = door.enqueue("late", delay="1 hour")
    door.enqueue("early")

    door.value("run_now", id=late)

    assert tasks(door.claim(9)) == ["early", "late"]


def test_a_job_brought_back_by_retry_takes_its_place_at_the_end(door):
    job_id = door.enqueue("old")
    door.nack(door.take(), retry=False)
    door.enqueue("waiting")

    door.value("retry", id=job_id)

    assert tasks(door.claim(9)) == ["waiting", "old"]


def test_a_rescued_job_goes_to_the_front(door, clock):
    worker = door.worker()
    door.enqueue_json({"task": "a"}, {"task": "b"}, {"task": "c"})
    door.claim(2, worker=worker)

    clock.forward("1 min")
    door.chores()

    assert tasks(door.claim(9)) == ["a", "b", "c"]
