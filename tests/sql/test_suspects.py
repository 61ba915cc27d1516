"""Suspects: jobs that may have killed their worker, and are handed out as they can run alone."""

from __future__ import annotations

import pytest


def killed(door, *ids, among=()):
    """A process that ran these jobs died, and its parent saw it."""
    worker = door.worker()
    claimed = {job.id for job in door.claim(len(ids) + len(among), worker=worker)}
    assert claimed == {*ids, *among}
    door.value("rescue", worker=worker, running=[*ids])


def lost(door, clock):
    """A whole worker is gone, and nobody knows what it ran."""
    door.claim(100, worker=door.worker())
    clock.forward("31 s")
    door.chores("rescue")


def suspects(door, n=100):
    return {job.id: job.suspect for job in door.claim(n)}


def test_what_ran_in_a_process_that_died_is_suspect_and_what_waited_there_is_not(door):
    ran, waited = door.enqueue(), door.enqueue()

    killed(door, ran, among=[waited])

    assert suspects(door) == {ran: True, waited: False}


def test_what_died_in_a_process_of_its_own_is_suspect(door):
    job_id = door.enqueue()

    door.finish([door.take()], outcomes=["crashed"], reasons=["crashed"])

    assert suspects(door) == {job_id: True}


def test_the_loss_of_a_whole_worker_makes_suspects_only_by_the_second_time(door, clock):
    ids = [door.enqueue() for _ in range(3)]
    after = []

    for _ in range(2):
        lost(door, clock)
        back = door.claim(100)
        after.append({job.suspect for job in back})
        for job in back:
            door.release(job)

    assert after == [{False}, {True}]
    assert {door.job(each).crashes for each in ids} == {2}


def test_no_more_suspects_are_claimed_than_were_asked_for(door):
    ids = [door.enqueue() for _ in range(5)]
    killed(door, *ids)

    first, second, none = (door.claim(10, suspects=n) for n in (2, 1, 0))

    assert [job.id for job in (*first, *second)] == ids[:3]
    assert none == []
    assert [door.state(each) for each in ids[3:]] == ["ready", "ready"]


def test_suspects_that_are_not_wanted_are_stepped_over(door):
    accused = [door.enqueue() for _ in range(3)]
    killed(door, *accused)
    others = [door.enqueue() for _ in range(3)]

    assert [job.id for job in door.claim(2, suspects=0)] == others[:2]
    assert [job.id for job in door.claim(10, suspects=1)] == [accused[0], others[2]]


def test_suspects_left_out_of_a_claim_can_be_claimed_at_once(door, another_door):
    ids = [door.enqueue() for _ in range(3)]
    killed(door, *ids)

    with door.transaction():
        mine = door.claim(3, suspects=1)
        locked = another_door().claim(3)

    assert [job.id for job in (*mine, *door.claim(3))] == ids
    assert locked == []  # only while that claim was under way


def test_a_suspect_stays_one_until_it_is_retried_by_hand(door):
    job_id = door.enqueue(max_attempts=2)
    killed(door, job_id)

    door.nack(door.take(), retry_in="0 s")
    before = door.take()
    door.nack(before)
    door.value("retry", id=job_id)

    assert (before.suspect, door.take().suspect) == (True, False)


def test_fewer_than_no_suspects_cannot_be_asked_for(door, refused):
    with refused("JQ001", "-1 suspects"):
        door.claim(suspects=-1)


@pytest.mark.parametrize("wanted", [1, 3])
def test_whoever_leaves_suspects_behind_wakes_somebody_for_them(door, wanted):
    """It got all it asked for, and so there may be more than it can take."""
    ids = [door.enqueue() for _ in range(3)]
    killed(door, *ids)
    sleeper = door.worker("sleeper")
    door.rows("insert into _howdah.idle (worker, queues) values (%s, '{*}')", sleeper)

    door.claim(3, worker=door.worker("busy"), suspects=wanted)

    assert door.rows("select from _howdah.idle") == []


def test_who_hung_is_charged_the_attempt_and_a_crash_and_waits_as_after_an_error(door, clock):
    job_id = door.enqueue()
    job = door.take(worker=door.worker())

    door.finish([job], outcomes=["hung"], errors=["timed out"], reasons=["timeout"])

    found = door.job(job_id)
    assert (found.state, found.attempt, found.crashes) == ("scheduled", 1, 1)
    assert [each.outcome for each in door.attempts(job_id)] == ["timeout"]
    clock.forward("1 min")
    door.chores("stage")
    assert suspects(door) == {job_id: True}


@pytest.mark.parametrize(("max_attempts", "executions"), [(1, 1), (2, 2), (4, 3), (10, 3)])
def test_who_hangs_each_time_ends_with_its_attempts_or_with_max_crashes(
    door, max_attempts, executions
):
    job_id = door.enqueue(max_attempts=max_attempts)

    for _ in range(executions):
        assert door.state(job_id) == "ready"
        hung = {"outcomes": ["hung"], "errors": ["hung"], "retry_in": ["0 s"]}
        door.finish([door.take(worker=door.worker())], **hung)

    job = door.job(job_id)
    assert (job.state, job.error, job.crashes) == ("failed", "hung", executions)
