"""Batches of jobs with unique keys by the quick road: the same promises as one by one."""

from __future__ import annotations

from threading import Thread
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb


def enqueue(door, *keys, **options):
    """The ids that it answers with, and those that it was given."""
    given = [uuid4() for _ in keys]
    args = [f'{{"n": {n}}}' for n, _ in enumerate(keys)]
    answered = door.value(
        "enqueue_unique", task="t", ids=given, args=args, unique_keys=[*keys], **options
    )
    return answered, given


def test_new_keys_make_jobs_of_the_ids_that_were_given_in_input_order(door):
    answered, given = enqueue(door, "z", "a", "k")

    assert answered == given
    assert [job.id for job in door.claim(3)] == given
    assert door.counts() == (3, 0)


def test_a_key_that_is_held_leads_to_its_job_and_the_others_are_stored(door):
    holder = door.enqueue(unique_key="k")

    answered, given = enqueue(door, "a", "k", "b")

    assert answered == [given[0], holder, given[2]]
    assert door.counts() == (3, 0)


def test_a_key_that_comes_twice_makes_one_job(door):
    answered, given = enqueue(door, "k", "a", "k")

    assert answered == [given[0], given[1], given[0]]
    assert door.counts() == (2, 0)


def test_a_key_whose_job_has_ended_is_free(door):
    door.enqueue(unique_key="k")
    door.ack(door.take())

    answered, given = enqueue(door, "k")

    assert answered == given


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_who_waits_for_a_key_gets_its_job_or_one_of_its_own(
    door, another_door, waits_for_lock, end
):
    winner, loser, answers = another_door(), another_door(), []
    winner.rows("begin")
    [first], _ = enqueue(winner, "k")
    ask = Thread(target=lambda: answers.append(enqueue(loser, "k")))

    ask.start()
    waits_for_lock(loser)
    winner.rows(end)
    ask.join()

    [([answered], [given])] = answers
    assert answered == (first if end == "commit" else given)
    assert [job.id for job in door.claim(5)] == [answered]


@pytest.mark.parametrize("road", ["enqueue_unique", "enqueue_json"])
def test_batches_that_share_keys_in_opposite_order_do_not_wait_in_a_circle(
    door, another_door, waits_for_lock, road
):
    """Both stand before the key that somebody holds in the middle, with or without an end each."""
    holder, one, other, errors = another_door(), another_door(), another_door(), []

    def quick():
        enqueue(one, "a", "m", "z")

    def backwards():
        if road == "enqueue_unique":
            enqueue(other, "z", "m", "a")
        else:
            other.enqueue_json(*[{"task": "t", "unique_key": key} for key in "zma"])

    def guarded(work):
        try:
            work()
        except Exception as error:
            errors.append(error)

    holder.rows("begin")
    enqueue(holder, "m")
    threads = [Thread(target=guarded, args=(work,)) for work in (quick, backwards)]
    for thread, waiting in zip(threads, (one, other), strict=True):
        thread.start()
        waits_for_lock(waiting)
    holder.rows("rollback")
    for thread in threads:
        thread.join()

    assert errors == []
    assert door.counts() == (3, 0)


def test_a_key_that_becomes_free_meanwhile_leads_into_no_circle(door, another_door, waits_for_lock):
    holder = door.enqueue(unique_key="a")
    one, two, third = another_door(), another_door(), another_door()
    answers = {}
    third.rows("begin")
    third.enqueue(unique_key="c")
    first = Thread(target=lambda: answers.update(one=enqueue(one, "a", "b", "c")))
    second = Thread(target=lambda: answers.update(two=enqueue(two, "a", "b")))

    first.start()
    waits_for_lock(one)  # for c, and has b
    door.ack(door.take())
    second.start()
    waits_for_lock(two)  # for b, and has a
    third.rows("rollback")
    first.join()
    second.join()

    (ids, given), (other_ids, other_given) = answers["one"], answers["two"]
    assert ids == [holder, *given[1:]]
    assert other_ids == [other_given[0], given[1]]


def test_options_are_shared_and_what_is_not_said_is_what_the_task_declares(door):
    door.rows("select howdah.declare_tasks(%s)", Jsonb([{"name": "t", "queue": "mail"}]))

    [one], _ = enqueue(door, "k", priority=3, delay="1 hour", tags=["x"])

    job = door.job(one)
    assert (job.queue, job.priority, job.tags, job.state) == ("mail", 3, ["x"], "scheduled")
    assert job.unique_key == "k"


def test_a_queue_with_a_limit_holds_for_them_too(door):
    door.rows("select howdah.put_limit('queue:mail', 1)")

    enqueue(door, "a", "b", queue="mail")

    assert len(door.claim(5)) == 1
