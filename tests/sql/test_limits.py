"""Limits: at most so many jobs of a key run at once, in the whole fleet."""

from __future__ import annotations

from threading import Thread

import pytest
from psycopg.types.json import Jsonb


def test_at_most_so_many_of_a_key_run_at_once(door):
    door.call("put_limit", key="tenant:a", n=2)
    ids = [door.enqueue(limit_keys=["tenant:a"]) for _ in range(5)]

    first = door.claim(10)
    assert [job.id for job in first] == ids[:2]
    assert door.claim(10) == []
    door.ack(first[0])

    assert [job.id for job in door.claim(10)] == [ids[2]]
    assert "limit 2 of key tenant:a reached, held by" in door.why(ids[4])


def test_a_full_key_keeps_nobody_else_waiting(door):
    door.call("put_limit", key="tenant:*", n=1)
    for _ in range(3):
        door.enqueue(limit_keys=["tenant:a"])
    others = [door.enqueue(limit_keys=["tenant:b"]), door.enqueue()]

    claimed = {job.id for job in door.claim(10)}

    assert {*others} < claimed
    assert len(claimed) == 3


def test_a_limit_of_its_own_goes_before_the_pattern(door):
    door.call("put_limit", key="tenant:*", n=1)
    door.call("put_limit", key="tenant:big", n=3)
    for _ in range(5):
        door.enqueue(limit_keys=["tenant:big"])

    assert len(door.claim(10)) == 3


def test_a_limit_can_be_changed_and_taken_away_while_jobs_wait(door):
    door.call("put_limit", key="k", n=0)
    for _ in range(6):
        door.enqueue(limit_keys=["k"])
    assert door.claim(10) == []

    door.call("put_limit", key="k", n=2)
    assert len(door.claim(10)) == 2

    door.call("put_limit", key="k", n=None)
    assert len(door.claim(10)) == 4


@pytest.mark.parametrize("n", [2, 0])
def test_a_limit_that_is_lowered_holds_for_jobs_that_were_let_in_already(door, n):
    door.call("put_limit", key="k", n=4)
    ids = [door.enqueue(limit_keys=["k"]) for _ in range(6)]
    running = door.take()
    assert door.one("select count(*) from howdah.ready") == 3

    door.call("put_limit", key="k", n=n)
    went_on = [job.id for job in door.claim(10)]
    door.ack(running)
    went_on += [job.id for job in door.claim(10)]

    assert went_on == ids[1 : n + 1]


def test_a_lowered_limit_holds_for_jobs_that_wait_for_their_share(door):
    door.call("put_queue", queue="q", fair_by="{tenant}")
    door.call("put_limit", key="queue:q", n=3)
    for _ in range(5):
        door.enqueue(queue="q", args=Jsonb({"tenant": "a"}))
    door.take()

    door.call("put_limit", key="queue:q", n=2)

    assert len(door.claim(10)) == 1


@pytest.mark.parametrize("keys", [{}, {"serial_key": "s"}])
def test_a_limit_is_raised_while_its_first_job_is_looked_at(door, another_door, eventually, keys):
    other = another_door()
    door.call("put_limit", key="k", n=0)
    job_id = door.enqueue(limit_keys=["k"], **keys)
    with other.transaction():
        assert other.claim(10) == []
        door.call("put_limit", key="k", n=5)
        assert door.claim(10) == []  # looks, and cannot see who waits

    [job] = eventually(lambda: door.claim(10))
    assert job.id == job_id


def test_a_job_that_was_claimed_while_its_limit_was_put_has_a_place(door, another_door, eventually):
    other = another_door()
    with other.transaction():
        other.call("put_limit", key="queue:q", n=1)
        door.enqueue(queue="q")
        running = door.take()
    for _ in range(3):
        door.enqueue(queue="q")

    eventually(lambda: door.chores("admit") and door.job(running.id).limit_keys == ["queue:q"])
    assert door.claim(10) == []
    door.ack(running)
    assert len(door.claim(10)) == 1


def test_a_job_that_a_claim_holds_while_its_limit_is_put_has_a_place(
    door, another_door, eventually
):
    other = another_door()
    door.enqueue(queue="q")
    with other.transaction():
        running = other.take()
        door.connection.execute("set statement_timeout = '5s'")
        door.call("put_limit", key="queue:q", n=1)
        door.chores("admit")
    door.enqueue(queue="q")

    eventually(lambda: door.chores("admit") and door.job(running.id).limit_keys == ["queue:q"])
    assert door.claim(10) == []


def test_a_limit_for_all_keys_is_none_of_shares(door):
    door.call("put_queue", queue="q", fair_by="{tenant}")
    for _ in range(2):
        door.enqueue(queue="q", args=Jsonb({"tenant": "a"}))
    door.take()

    door.call("put_limit", key="*", n=5)
    door.chores("admit")

    assert door.one("select array_agg(key) from _howdah.share") == ["a"]


def test_a_key_without_a_limit_is_none(door):
    for _ in range(3):
        door.enqueue(limit_keys=["k"])

    assert len(door.claim(10)) == 3


def test_greatest_priority_gets_the_next_place(door):
    door.call("put_limit", key="k", n=1)
    door.enqueue(limit_keys=["k"])
    running = door.take()
    door.enqueue(limit_keys=["k"])
    urgent = door.enqueue(limit_keys=["k"], priority=5)

    door.ack(running)

    assert [job.id for job in door.claim(10)] == [urgent]


def test_a_queue_and_a_task_are_limited_with_the_jobs_they_have(door):
    for _ in range(3):
        door.enqueue("t", queue="q")
    running = door.take()

    door.call("put_limit", key="queue:q", n=2)

    assert len(door.claim(10)) == 1
    door.enqueue("u", queue="q")
    assert door.claim(10) == []
    door.ack(running)
    assert len(door.claim(10)) == 1


def test_a_job_whose_enqueue_was_under_way_when_the_limit_was_put_is_limited(door, another_door):
    other = another_door()
    other.rows("begin")
    late = {other.enqueue("t", queue="q") for _ in range(3)}
    door.call("put_limit", key="queue:q", n=1)
    door.call("put_limit", key="task:t", n=2)
    other.rows("commit")

    [news] = door.claim(10, worker=door.worker(), floors={})  # nobody looks at the limit before
    assert news.lease is None  # they go back
    [running] = door.claim(10)
    assert running.id in late
    assert door.claim(10) == []
    door.ack(running)

    assert len(door.claim(10)) == 1
    assert {row.taken for row in door.rows("select taken from howdah.limits")} == {1}


def test_a_retry_gives_its_place_up_and_a_rescue_brings_it_back(own_door):
    own_door.call("put_limit", key="k", n=1)
    first, second = own_door.enqueue(limit_keys=["k"]), own_door.enqueue(limit_keys=["k"])
    own_door.nack(own_door.take(), retry_in="1 minute")
    worker = own_door.worker()
    [job] = own_door.claim(10, worker=worker)
    assert job.id == second

    own_door.forward("10 minutes")
    own_door.chores("rescue")

    assert len(own_door.claim(10)) == 1
    assert own_door.state(first) in {"blocked", "running"}


def test_a_job_of_several_limits_needs_a_place_in_each(door):
    door.call("put_limit", key="a", n=1)
    door.call("put_limit", key="b", n=1)
    both = door.enqueue(limit_keys=["a", "b"])
    only_b = door.enqueue(limit_keys=["b"])

    [job] = door.claim(10)
    assert job.id == both
    door.ack(job)

    assert [job.id for job in door.claim(10)] == [only_b]


def test_a_serial_key_and_a_limit_together(door):
    door.call("put_limit", key="k", n=1)
    first = door.enqueue(serial_key="s", limit_keys=["k"])
    second = door.enqueue(serial_key="s", limit_keys=["k"])
    other = door.enqueue(limit_keys=["k"])

    order = []
    for _ in range(3):
        [job] = door.claim(10)
        order.append(job.id)
        door.ack(job)

    assert order.index(first) < order.index(second)
    assert other in order


def test_never_one_too_many_with_many_claimers(door, another_door):
    door.call("put_limit", key="k", n=3)
    for _ in range(120):
        door.enqueue(limit_keys=["k"])
    most = []

    def work() -> None:
        mine = another_door()
        misses = 0
        while misses < 30:
            claimed = mine.claim(2)
            misses = 0 if claimed else misses + 1
            if claimed:
                most.append(mine.one("select count(*) from howdah.running"))
            for job in claimed:
                mine.ack(job)

    threads = [Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert max(most) <= 3
    assert door.one("select count(*) from howdah.jobs where state = 'succeeded'") == 120


def test_the_view_shows_limits_and_how_full_they_are(door):
    door.call("put_limit", key="tenant:*", n=2)
    door.enqueue(limit_keys=["tenant:a"])
    door.claim(1)

    rows = {row.key: row for row in door.rows("select * from howdah.limits")}

    assert (rows["tenant:*"].most, rows["tenant:*"].is_own) == (2, True)
    assert (rows["tenant:a"].most, rows["tenant:a"].taken) == (2, 1)


def test_unique_while_waiting_per_queue_and_for_a_time(own_door):
    first = own_door.enqueue(unique_key="u", unique_while="waiting")
    assert own_door.enqueue(unique_key="u", unique_while="waiting") == first
    own_door.take()
    assert own_door.enqueue(unique_key="u", unique_while="waiting") != first

    one = own_door.enqueue(queue="a", unique_key="p", unique_per="queue")
    assert own_door.enqueue(queue="b", unique_key="p", unique_per="queue") != one
    assert own_door.enqueue(queue="a", unique_key="p", unique_per="queue") == one

    timed = own_door.enqueue(queue="t", unique_key="w", unique_for="1 minute")
    own_door.ack(own_door.take(queues=["t"]))
    assert own_door.enqueue(queue="t", unique_key="w", unique_for="1 minute") == timed
    own_door.forward("2 minutes")
    assert own_door.enqueue(queue="t", unique_key="w", unique_for="1 minute") != timed


def test_a_conflict_can_replace_the_waiting_job_or_refuse_the_new_one(door, refused):
    first = door.enqueue(unique_key="u", delay="1 hour", args=Jsonb({"a": 1}))

    same = door.enqueue(unique_key="u", args=Jsonb({"b": 2}), priority=5, on_conflict="replace")

    assert same == first
    job = door.job(first)
    assert (job.args, job.priority, job.state) == ({"b": 2}, 5, "ready")
    with refused("JQ003"):
        door.call("enqueue", task="t", unique_key="u", on_conflict="raise")


def test_keys_of_which_nothing_is_left_are_pruned(own_door):
    door = own_door
    door.call("put_limit", key="k", n=1)
    door.enqueue(serial_key="s", limit_keys=["k"], unique_key="u", unique_for="1 minute")
    door.finish([door.take()])
    kept = door.enqueue(serial_key="t")
    door.take()
    door.chores("prune")
    assert door.one("select count(*) from _howdah.unique_until") == 1

    door.forward("2 minutes")
    door.chores("prune")

    left = "select array_agg(key) from _howdah."
    assert door.one(left + "serial_key") == ["t"]
    assert door.one(left + "gate") is None
    assert door.one(left + "unique_until") is None
    assert door.state(kept) == "running"
