"""Ids that callers choose: the same id again returns its job and adds nothing."""

from __future__ import annotations

from threading import Thread
from uuid import uuid4


def test_the_same_id_again_adds_nothing(door):
    job_id = uuid4()

    answers = [door.enqueue("a", id=job_id), door.enqueue("b", id=job_id)]

    assert answers == [job_id, job_id]
    assert door.job(job_id).task == "a"
    assert door.counts() == (1, 0)


def test_the_id_of_a_finished_job_is_not_run_again(door):
    job_id = door.enqueue(id=uuid4())
    door.ack(door.take())

    again = door.enqueue(id=job_id)

    assert again == job_id
    assert door.state(job_id) == "succeeded"
    assert door.counts() == (0, 1)


def test_the_id_of_a_job_of_a_queue_without_history_is_not_run_again(door):
    door.call("put_queue", queue="q", keep_history=False)
    job_id = door.enqueue(id=uuid4(), queue="q")
    door.ack(door.take())

    again = door.enqueue(id=job_id, queue="q")

    assert again == job_id
    assert door.counts() == (0, 0)


def test_an_id_that_the_engine_made_can_be_given_back_as_ones_own(door):
    job_id = door.enqueue("a")

    live = door.enqueue("b", id=job_id)
    door.ack(door.take())
    finished = door.enqueue("c", id=job_id)

    assert live == finished == job_id
    assert door.job(job_id).task == "a"
    assert door.counts() == (0, 1)


def test_an_id_is_free_again_when_its_transaction_rolled_back(door):
    job_id = uuid4()
    door.rows("begin")
    door.enqueue("a", id=job_id)
    door.rows("rollback")

    door.enqueue("b", id=job_id)

    assert door.job(job_id).task == "b"


def test_two_connections_with_one_id_make_one_job(door, another_door, waits_for_lock):
    one, two = another_door(), another_door()
    job_id, answers = uuid4(), []
    one.rows("begin")
    one.enqueue("one", id=job_id)
    second = Thread(target=lambda: answers.append(two.enqueue("two", id=job_id)))

    second.start()
    waits_for_lock(two)
    one.rows("commit")
    second.join()

    assert answers == [job_id]
    assert door.job(job_id).task == "one"
    assert door.counts() == (1, 0)


def test_the_loser_of_an_id_gets_its_job_when_the_winner_rolls_back(
    door, another_door, waits_for_lock
):
    one, two = another_door(), another_door()
    job_id, answers = uuid4(), []
    one.rows("begin")
    one.enqueue("one", id=job_id)
    second = Thread(target=lambda: answers.append(two.enqueue("two", id=job_id)))

    second.start()
    waits_for_lock(two)
    one.rows("rollback")
    second.join()

    assert answers == [job_id]
    assert door.job(job_id).task == "two"


def test_an_id_and_a_key_together_find_the_job_of_either(door):
    job_id = door.enqueue("a", id=uuid4(), unique_key="k")

    by_key = door.enqueue("b", id=uuid4(), unique_key="k")
    by_id = door.enqueue("c", id=job_id, unique_key="other")

    assert by_key == by_id == job_id
    assert door.counts() == (1, 0)


def test_an_id_refused_by_a_key_is_not_burnt(door):
    mine = uuid4()
    there = door.enqueue("a", unique_key="k")
    assert door.enqueue("b", id=mine, unique_key="k") == there
    door.ack(door.take())

    answer = door.enqueue("b", id=mine, unique_key="k")

    assert answer == mine
    assert door.state(mine) == "ready"


def test_an_id_that_came_twice_is_used_when_its_first_job_gave_way_to_a_unique_key(door):
    holder, given = door.enqueue(unique_key="k"), uuid4()

    first, second = door.enqueue_json(
        {"task": "t", "id": str(given), "unique_key": "k"}, {"task": "t", "id": str(given)}
    )

    assert (first.id, first.created) == (holder, False)
    assert (second.id, second.created) == (given, True)
    assert door.state(given) == "ready"


def test_an_id_that_came_twice_with_a_key_is_known_when_its_job_has_left_no_trace(door):
    door.call("put_queue", queue="q", keep_history=False)
    job = {"task": "t", "queue": "q", "id": str(uuid4()), "unique_key": "k"}
    door.enqueue_json(job, job)
    door.ack(door.take())

    [again] = door.enqueue_json(job)

    assert (str(again.id), again.created) == (job["id"], False)
    assert door.counts() == (0, 0)
