"""Several at once: no job twice, none left behind, nobody waits for a stranger."""

from __future__ import annotations

import random
from collections import Counter
from threading import Lock, Thread

import pytest


def all_at_once(*works):
    errors = []

    def guarded(work):
        try:
            work()
        except Exception as error:
            errors.append(error)

    threads = [Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.parametrize("with_workers", [False, True])
def test_several_claimers_take_each_job_once(door, another_door, with_workers):
    door.enqueue_json(
        *[{"task": "t", "queue": f"q{n % 3}", "priority": n % 2} for n in range(1200)]
    )
    taken, guard = Counter(), Lock()

    def claimer():
        mine = another_door()
        worker = mine.worker() if with_workers else None
        while jobs := mine.claim(17, worker=worker):
            with guard:
                taken.update(job.id for job in jobs)
            assert mine.finish(jobs) == {}

    all_at_once(*[claimer] * 5)

    assert len(taken) == 1200
    assert {*taken.values()} == {1}
    assert door.counts() == (0, 1200)


def test_claims_that_roll_back_leave_no_job_behind(door, another_door):
    door.enqueue_json(*[{"task": "t"}] * 400)
    done, guard, chance = [], Lock(), random.Random(3)

    def claimer():
        mine = another_door()
        for _ in range(400):
            mine.rows("begin")
            jobs = mine.claim(5)
            give_up = chance.random() < 0.3
            if not give_up:
                mine.finish(jobs)
            mine.rows("rollback" if give_up else "commit")
            if not jobs and door_is_empty():
                return
            if not give_up:
                with guard:
                    done.extend(job.id for job in jobs)

    def door_is_empty():
        with guard:
            return len(done) >= 400

    all_at_once(*[claimer] * 4)
    while jobs := door.claim(50):
        door.finish(jobs)
        done.extend(job.id for job in jobs)

    assert len(done) == len({*done}) == 400


def test_producers_claimers_and_operators_at_once_lose_nothing(door, another_door):
    ids, guard, stop = [], Lock(), []

    def producer(n):
        def produce():
            mine, chance = another_door(), random.Random(n)
            for _ in range(40):
                rows = mine.enqueue_json(*[{"task": "t", "priority": chance.randint(-1, 1)}] * 5)
                with guard:
                    ids.extend(row.id for row in rows)

        return produce

    def claimer():
        mine, chance = another_door(), random.Random(9)
        while not (len(ids) >= 400 and not (jobs := mine.claim(1)) and not stop):
            jobs = mine.claim(9)
            outcomes = [
                chance.choice(["succeeded", "released", "succeeded", "failed"]) for _ in jobs
            ]
            mine.finish(jobs, outcomes=outcomes)
            if len(ids) >= 400 and not jobs:
                return

    def operator():
        mine, chance = another_door(), random.Random(5)
        for _ in range(60):
            with guard:
                some = chance.choice(ids) if ids else None
            if some:
                mine.value(chance.choice(["cancel", "retry", "run_now"]), id=some)
            mine.chores("stage", "rescue", "expire")

    all_at_once(producer(1), producer(2), claimer, claimer, operator)

    states = door.rows("select id, count(*) as n from howdah.jobs group by id")
    assert {row.id for row in states} == {*ids}
    assert {row.n for row in states} == {1}


def test_a_held_row_stops_no_claim(door, another_door):
    first, second = door.enqueue("held"), door.enqueue("free")
    other = another_door()
    other.rows("begin")
    other.rows("select from _howdah.job where id = %s for update", first)

    door.rows("set lock_timeout = '1s'")
    claimed = door.claim(5)
    other.rows("rollback")

    assert [job.id for job in claimed] == [second]
    assert door.take().id == first


def test_an_open_claim_stops_neither_claims_nor_enqueues_nor_chores(door, another_door):
    other = another_door()
    door.enqueue_json(*[{"task": "t"}] * 4)
    other.rows("begin")
    theirs = other.claim(2)

    door.rows("set lock_timeout = '1s'")
    mine = door.claim(9)
    door.chores()
    door.enqueue()
    other.rows("commit")

    assert len(theirs) == len(mine) == 2
    assert not {job.id for job in theirs} & {job.id for job in mine}


def test_an_open_claim_with_a_worker_stops_no_heartbeat(door, another_door):
    other, worker = another_door(), door.worker()
    door.enqueue()
    other.rows("begin")
    other.take(worker=worker)

    door.rows("set lock_timeout = '1s'")
    control = door.beat(worker)
    other.rows("commit")

    assert control.action == "go"


def test_open_enqueues_to_a_new_queue_do_not_wait_for_each_other(door, another_door):
    one, two = another_door(), another_door()
    two.rows("set lock_timeout = '1s'")
    one.rows("begin")
    one.enqueue(queue="brand new")

    two.enqueue(queue="brand new")
    one.rows("commit")

    assert len(door.claim(5)) == 2


def test_finishes_of_overlapping_jobs_do_not_deadlock(door, another_door):
    door.enqueue_json(*[{"task": "t"}] * 200)
    jobs = door.claim(200)
    refused = []

    def finisher(order):
        def finish():
            mine = another_door()
            for start in range(0, 200, 20):
                some = order[start : start + 20]
                refused.extend(mine.finish(some, skip_locked=True).values())

        return finish

    all_at_once(finisher(jobs), finisher(jobs[::-1]))
    door.finish(jobs, skip_locked=True)

    assert {*refused} <= {"done", "busy"}
    assert door.counts() == (0, 200)


def test_two_acks_of_one_job_at_once_count_once(door, another_door, waits_for_lock):
    one, two = another_door(), another_door()
    door.enqueue()
    job = door.take()
    one.rows("begin")
    one.ack(job, result={"n": 1})

    thread = Thread(target=lambda: two.ack(job, result={"n": 2}))
    thread.start()
    waits_for_lock(two)
    one.rows("commit")
    thread.join()

    assert door.job(job.id).result == {"n": 1}
    assert door.counts() == (0, 1)


def test_a_claim_races_a_sweep_and_one_of_them_wins(door, another_door, clock, waits_for_lock):
    worker, sweeper = door.worker(), another_door()
    door.enqueue()
    claimer = another_door()
    clock.forward("1 min")
    claimer.rows("begin")
    job = claimer.take(worker=worker)

    sweeper.rows("set lock_timeout = '1s'")
    sweeper.chores("rescue")
    claimer.rows("commit")
    door.chores("rescue")
    door.chores("rescue")

    assert door.state(job.id) in {"ready", "running"}
    assert door.state(job.id) == "ready" or door.rows("select id from howdah.workers") == [
        (worker,)
    ]


def test_repeatable_read_claims_do_no_harm(door, another_door):
    other = another_door()
    door.enqueue_json(*[{"task": "t"}] * 2)
    other.rows("begin isolation level repeatable read")
    other.rows("select count(*) from howdah.jobs")
    first = door.take()

    try:
        theirs = [job.id for job in other.claim(5)]
        other.rows("commit")
    except Exception:
        theirs = []
        other.rows("rollback")

    assert first.id not in theirs
    assert door.state(first.id) == "running"
