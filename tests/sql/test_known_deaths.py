"""Deaths that whoever started the worker has seen: what ran counts a crash, the rest is free."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest


def test_what_ran_counts_a_crash_and_what_had_not_started_is_released(door):
    worker = door.worker()
    ids = [door.enqueue() for _ in range(5)]
    door.claim(5, worker=worker)

    count = door.value("rescue", worker=worker, running=ids[:2])

    rows = [door.job(job_id) for job_id in ids]
    assert count == 5
    assert [(row.state, row.attempt, row.crashes) for row in rows] == (
        [("ready", 0, 1)] * 2 + [("ready", 0, 0)] * 3
    )
    assert [door.attempts(job_id)[0].outcome for job_id in ids] == ["lost"] * 2 + ["released"] * 3
    assert door.rows("select id from howdah.workers") == []


def test_all_leases_of_the_worker_are_looked_at_and_nobody_elses(door):
    dead, alive = door.worker("dead"), door.worker("alive")
    first, second, other = door.enqueue(), door.enqueue(), door.enqueue()
    door.take(worker=dead)
    door.take(worker=dead)
    door.take(worker=alive)

    door.value("rescue", worker=dead, running=[second, other])

    assert (door.job(first).crashes, door.job(second).crashes) == (0, 1)
    assert (door.state(other), door.job(other).crashes) == ("running", 0)


def test_they_come_back_to_the_front_in_their_order(door):
    worker = door.worker()
    ids = [door.enqueue() for _ in range(6)]
    door.claim(4, worker=worker)

    door.value("rescue", worker=worker, running=ids[1:3])

    assert [job.id for job in door.claim(6)] == ids


def test_a_job_to_be_run_at_most_once_is_lost_whether_it_ran_or_not(door):
    """Nobody can know whether it had ended, and its outcome was waiting to be stored."""
    worker = door.worker()
    ids = [door.enqueue(delivery="at_most_once") for _ in range(2)]
    door.claim(2, worker=worker)

    door.value("rescue", worker=worker, running=ids[:1])

    assert [(door.job(job_id).state, door.job(job_id).error) for job_id in ids] == [
        ("failed", "lost")
    ] * 2


def test_the_third_crash_is_the_last(door):
    job_id = door.enqueue(max_attempts=10)

    for _ in range(3):
        worker = door.worker()
        door.take(worker=worker)
        door.value("rescue", worker=worker, running=[job_id])

    job = door.job(job_id)
    assert (job.state, job.error, job.crashes) == ("failed", "worker lost", 3)


def test_a_late_finish_of_the_dead_is_refused(door):
    worker = door.worker()
    door.enqueue()
    job = door.take(worker=worker)
    door.value("rescue", worker=worker, running=[job.id])

    refused = door.call("finish", ids=[job.id], leases=[job.lease])

    assert [row.reason for row in refused] == ["lost"]
    assert door.state(job.id) == "ready"


def test_a_row_that_somebody_holds_is_left_to_the_chores(door, another_door, clock):
    worker = door.worker()
    ids = [door.enqueue() for _ in range(2)]
    door.claim(2, worker=worker)
    holder = another_door()

    with holder.transaction():
        holder.rows("select from _howdah.job where id = %s for update", ids[0])
        count = door.value("rescue", worker=worker, running=ids)
    clock.forward("31 s")
    door.chores()

    assert count == 1
    assert {door.state(job_id) for job_id in ids} == {"ready"}


def test_an_unknown_worker_has_nothing_to_bring_back(door):
    assert door.value("rescue", worker=uuid4(), running=[]) == 0


def test_a_crashed_process_counts_a_crash_and_keeps_its_own_words(door):
    worker = door.worker()
    job_id = door.enqueue(max_attempts=1)

    for _ in range(3):
        job = door.take(worker=worker)
        door.call(
            "finish",
            ids=[job.id],
            leases=[job.lease],
            outcomes=["crashed"],
            errors=["its process was killed by SIGSEGV"],
        )

    assert (door.state(job_id), door.job(job_id).error) == (
        "failed",
        "its process was killed by SIGSEGV",
    )
    assert [a.outcome for a in door.attempts(job_id)] == ["crashed"] * 3


def test_a_crash_ends_what_may_be_run_once_as_lost(door):
    worker = door.worker()
    job_id = door.enqueue(delivery="at_most_once")
    job = door.take(worker=worker)

    door.call(
        "finish", ids=[job.id], leases=[job.lease], outcomes=["crashed"], errors=["exited with 1"]
    )

    assert (door.state(job_id), door.job(job_id).error) == ("failed", "lost: exited with 1")


def test_one_beat_keeps_several_workers_and_says_what_each_is_told(door, clock):
    one, other, gone = door.worker("one", lost_after="10 s"), door.worker("other"), uuid4()
    door.value("drain", worker=other)
    job_id = door.enqueue()
    door.take(worker=one)

    for _ in range(5):
        clock.forward("8 s")
        told = {row.worker: row for row in door.call("heartbeats", workers=[one, other, gone])}
        door.chores()

    assert {worker: row.action for worker, row in told.items()} == {
        one: "go",
        other: "drain",
        gone: "swept",
    }
    assert told[one].lost_after.total_seconds() == 10
    assert door.state(job_id) == "running"


@pytest.mark.parametrize("workers", [[], None])
def test_a_beat_for_nobody_is_no_error(door, workers):
    assert door.call("heartbeats", workers=workers) == []


@pytest.mark.parametrize("verb", ["rescue", "leave"])
def test_a_claim_that_is_under_way_is_waited_for_and_brought_back_too(door, another_door, verb):
    """Its worker died in the middle of it: the lease must not be left without a worker."""
    worker = door.worker()
    job_id = door.enqueue()
    claimer, undertaker = another_door(), another_door()
    arguments = {"worker": worker, "running": []} if verb == "rescue" else {"worker": worker}

    with ThreadPoolExecutor(1) as pool:
        with claimer.transaction():
            claimer.take(worker=worker)
            ended = pool.submit(undertaker.value, verb, **arguments)
            with pytest.raises(TimeoutError):
                ended.result(0.3)
        ended.result(5)

    assert door.rows("select from _howdah.lease") == []
    assert (door.state(job_id), door.job(job_id).crashes) == ("ready", 0)


def test_a_beat_is_taken_while_the_worker_claims(door, another_door, clock):
    worker = door.worker()
    door.enqueue()
    claimer = another_door()
    clock.forward("10 s")
    before = door.one("select beat_at from howdah.workers")

    with claimer.transaction():
        claimer.take(worker=worker)
        door.call("heartbeats", workers=[worker])

    assert door.one("select beat_at from howdah.workers") > before
