"""unique_key: one unfinished job per key; a conflict returns its id."""

from __future__ import annotations

import random
import time
from threading import Thread

import pytest
from psycopg.types.json import Jsonb


def test_a_conflict_returns_the_unfinished_job(door):
    job_id = door.enqueue("a", unique_key="k")

    again = door.enqueue("b", unique_key="k", priority=9)

    assert again == job_id
    assert (door.job(job_id).task, door.job(job_id).priority) == ("a", 0)
    assert door.counts() == (1, 0)


@pytest.mark.parametrize("how", ["scheduled", "ready", "running", "waiting to be retried"])
def test_a_key_is_held_in_every_unfinished_state(door, how):
    job_id = door.enqueue(unique_key="k", delay="1 hour" if how == "scheduled" else None)
    if how in {"running", "waiting to be retried"}:
        job = door.take()
    if how == "waiting to be retried":
        door.nack(job)

    again = door.enqueue(unique_key="k")

    assert again == job_id
    assert door.counts() == (1, 0)


@pytest.mark.parametrize("end", ["ack", "fail", "cancel", "delete"])
def test_a_key_is_free_when_its_job_has_ended(door, end):
    job_id = door.enqueue(unique_key="k")
    match end:
        case "ack":
            door.ack(door.take())
        case "fail":
            door.nack(door.take(), retry=False)
        case _:
            door.value(end, id=job_id)

    again = door.enqueue(unique_key="k")

    assert again != job_id
    assert door.counts()[0] == 1


def test_a_key_is_one_for_all_queues_and_tasks(door):
    job_id = door.enqueue("a", queue="x", unique_key="k")

    again = door.enqueue("b", queue="y", unique_key="k")

    assert again == job_id


def test_keys_are_compared_to_the_letter(door):
    ids = {door.enqueue(unique_key=key) for key in ("k", "K", "k ", " k", "\uff4b", "x" * 200)}

    assert len(ids) == 6


def test_the_loser_gets_a_job_of_its_own_when_the_winner_rolls_back(
    door, another_door, waits_for_lock
):
    winner, loser, answers = another_door(), another_door(), []
    winner.rows("begin")
    first = winner.enqueue("winner", unique_key="k")
    thread = Thread(target=lambda: answers.append(loser.enqueue("loser", unique_key="k")))

    thread.start()
    waits_for_lock(loser)
    winner.rows("rollback")
    thread.join()

    assert answers != [first]
    assert door.job(answers[0]).task == "loser"
    assert door.counts() == (1, 0)


def test_the_loser_gets_the_winners_id_when_the_winner_commits(door, another_door, waits_for_lock):
    winner, loser, answers = another_door(), another_door(), []
    winner.rows("begin")
    first = winner.enqueue("winner", unique_key="k")
    thread = Thread(target=lambda: answers.append(loser.enqueue("loser", unique_key="k")))

    thread.start()
    waits_for_lock(loser)
    winner.rows("commit")
    thread.join()

    assert answers == [first]
    assert door.counts() == (1, 0)


def test_batches_that_share_keys_in_opposite_order_do_not_deadlock(another_door, door):
    doors, errors = [another_door() for _ in range(4)], []

    def enqueue_all(mine, keys):
        try:
            for turn in range(10):
                mine.enqueue_json(*[{"task": "t", "unique_key": f"{turn}-{key}"} for key in keys])
        except Exception as error:
            errors.append(error)

    threads = [
        Thread(target=enqueue_all, args=(mine, [*range(20)][:: 1 if i % 2 else -1]))
        for i, mine in enumerate(doors)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert door.counts() == (200, 0)


def test_many_producers_of_one_key_make_one_job(door, another_door):
    doors, answers = [another_door() for _ in range(6)], []

    def enqueue_often(mine):
        answers.extend(mine.enqueue(unique_key="k") for _ in range(20))

    threads = [Thread(target=enqueue_often, args=(mine,)) for mine in doors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 120
    assert len({*answers}) == 1
    assert door.counts() == (1, 0)


def test_retry_of_a_job_whose_key_is_taken_again_is_a_conflict(door, refused):
    old = door.enqueue(unique_key="k")
    door.nack(door.take(), retry=False)
    door.enqueue(unique_key="k")

    with refused("JQ003"):
        door.value("retry", id=old)

    assert door.state(old) == "failed"


def test_retry_takes_the_key_back(door):
    job_id = door.enqueue(unique_key="k")
    door.nack(door.take(), retry=False)

    door.value("retry", id=job_id)

    assert door.enqueue(unique_key="k") == job_id


def test_a_key_conflict_sees_jobs_that_end_meanwhile(door, another_door, waits_for_lock):
    finisher, producer, answers = another_door(), another_door(), []
    job_id = door.enqueue(unique_key="k")
    job = door.take()
    finisher.rows("begin")
    finisher.ack(job)
    thread = Thread(target=lambda: answers.append(producer.enqueue(unique_key="k")))

    thread.start()
    waits_for_lock(producer)
    finisher.rows("commit")
    thread.join()

    assert answers != [job_id]
    assert door.state(answers[0]) == "ready"


@pytest.mark.slow
def test_batches_that_share_keys_with_jobs_that_end_meanwhile_do_not_deadlock(another_door):
    until, errors = time.monotonic() + 3, []

    def producer(mine, chance):
        while time.monotonic() < until:
            keys = chance.sample(range(40), 30)
            mine.rows(
                "select * from howdah.enqueue_many((select array_agg(jsonb_populate_record("
                "null::howdah.new_job, j)) from jsonb_array_elements(%s) j))",
                Jsonb([{"task": "t", "unique_key": f"k{key}"} for key in keys]),
            )

    def finisher(mine, chance):
        while time.monotonic() < until:
            for job in mine.claim(chance.randint(1, 9)):
                mine.ack(job)

    def guarded(work, n):
        try:
            work(another_door(), random.Random(n))
        except Exception as error:
            errors.append(error)

    works = [*[producer] * 4, *[finisher] * 2]
    threads = [Thread(target=guarded, args=(work, n)) for n, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []


@pytest.fixture
def collapsing(door):
    """A task whose jobs collapse by their serial keys, one for each n."""
    keys = {"serial_key": "s:{n}", "collapse": "waiting"}
    door.call("declare_tasks", tasks=Jsonb([{"name": "collapsing", "keys": keys}]))
    return "collapsing"


def test_who_names_a_unique_key_does_not_collapse_as_the_task_declares(door, collapsing):
    waiting = door.enqueue(collapsing, args=Jsonb({"n": 1}))

    unique = door.enqueue(collapsing, args=Jsonb({"n": 1}), unique_key="u")

    assert unique != waiting
    assert door.job(unique).serial_key == "s:1"
    assert door.enqueue(collapsing, args=Jsonb({"n": 1})) == waiting
    assert door.enqueue(collapsing, args=Jsonb({"n": 1}), unique_key="u") == unique


def test_batches_wait_for_each_other_by_one_kind_of_key(door, another_door, collapsing):
    """With two they could wait in a circle, whatever the order in which either is sorted."""
    jobs = [{"task": collapsing, "args": {"n": n}} for n in (1, 2)]
    other = another_door()
    other.rows("begin")
    other.enqueue_json(*[{**job, "unique_key": f"a{i}"} for i, job in enumerate(jobs)])
    door.rows("set lock_timeout to '2 s'")

    door.enqueue_json(*[{**job, "unique_key": f"b{i}"} for i, job in enumerate(reversed(jobs))])
    door.enqueue(collapsing, args=Jsonb({"n": 1}), unique_key="c")

    assert door.counts() == (3, 0)


def test_a_throttle_leads_to_jobs_that_exist(door, collapsing):
    door.enqueue(collapsing, args=Jsonb({"n": 1}))
    door.enqueue(collapsing, args=Jsonb({"n": 1}), unique_key="u", unique_for="1 hour")
    while claimed := door.claim(5):
        door.ack(*claimed)

    throttled = door.enqueue(collapsing, args=Jsonb({"n": 1}), unique_key="u", unique_for="1 hour")

    assert door.state(throttled) == "succeeded"


ACCOUNTS = {"name": "of account", "keys": {"serial_key": "acc:{id}", "limit_keys": ["lim:{id}"]}}


@pytest.mark.parametrize("how", ["replace", "merge"])
@pytest.mark.parametrize("task", ["of account", "another"])
def test_a_job_has_the_keys_of_its_new_arguments(door, how, task):
    door.call("declare_tasks", tasks=Jsonb([ACCOUNTS]))
    door.call("put_limit", key="lim:*", n=1)
    one, two = (Jsonb({"id": n}) for n in (1, 2))
    changed = door.enqueue("of account", args=one, unique_key="u")
    behind = door.enqueue("of account", args=one)
    door.call("admit")

    assert door.enqueue(task, args=two, unique_key="u", on_conflict=how) == changed
    other = door.enqueue("of account", args=two)

    running = door.claim(5)
    assert {(job.id, job.args["id"]) for job in running} == {(behind, 1), (changed, 2)}
    assert door.job(changed).limit_keys == ["lim:2"]
    for job in running:
        door.ack(job)
    assert door.take().id == other


def test_a_job_that_is_replaced_by_one_without_keys_holds_none(door):
    door.call("put_limit", key="k", n=1)
    changed = door.enqueue(unique_key="u", serial_key="s", limit_keys=["k"])
    behind = [door.enqueue(serial_key="s"), door.enqueue(limit_keys=["k"])]
    door.call("admit")

    door.enqueue(unique_key="u", on_conflict="replace")

    assert {job.id for job in door.claim(5)} == {changed, *behind}


def test_a_job_of_later_that_is_replaced_has_its_new_keys_when_it_is_due(door):
    job_id = door.enqueue(unique_key="u", serial_key="old", delay="1 hour")

    door.enqueue(unique_key="u", serial_key="new", delay="2 hours", on_conflict="replace")

    assert (door.state(job_id), door.job(job_id).serial_key) == ("scheduled", "new")


@pytest.mark.parametrize(
    ("field", "value", "good"),
    [
        ("unique_for", "abc", "1 day 02:03:04.5"),
        ("unique_for", "10 fortnights", "P1DT2H"),
        ("unique_for", "", 5),
        ("earlier", "x", True),
        ("earlier", 3, "true"),
    ],
)
def test_json_that_is_no_time_and_no_truth_is_refused_in_words(door, refused, field, value, good):
    job = {"task": "t", "unique_key": "u"}

    with refused("JQ001", f"job 1 of the batch: {field} must be"):
        door.enqueue_json({**job, field: value})
    door.enqueue_json({**job, field: good})

    assert door.counts() == (1, 0)
