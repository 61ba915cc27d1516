"""Progress at the SQL door: what a running job says of itself, under its lease."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest


def test_a_running_job_says_how_far_it_is(door):
    door.enqueue()
    job = door.take()

    door.value("progress", id=job.id, lease=job.lease, done=1, total=4, note="first")
    door.value("progress", id=job.id, lease=job.lease, done=2, total=4)

    told = door.job(job.id).progress
    assert (told["done"], told["total"], told["percent"], told["note"]) == (2, 4, 50, None)


def test_a_lost_lease_says_nothing_more(door, clock):
    door.enqueue(timeout="5 s")
    job = door.take()
    door.value("progress", id=job.id, lease=job.lease, done=1)
    clock.forward("6 seconds")

    for lease in (job.lease, uuid4()):
        with pytest.raises(psycopg.Error) as refused:
            door.value("progress", id=job.id, lease=lease, done=2)
        assert refused.value.sqlstate == "JQ002"

    assert door.job(job.id).progress["done"] == 1


def test_what_an_earlier_attempt_said_is_no_progress_of_the_next(door):
    door.enqueue()
    job = door.take()
    door.value("progress", id=job.id, lease=job.lease, done=3)

    door.release(job)
    waiting = door.job(job.id).progress
    again = door.take()

    assert waiting is None
    assert door.job(again.id).progress is None


def test_many_are_told_at_once_and_those_of_others_left_out(door):
    for _ in range(3):
        door.enqueue()
    a, b, c = door.claim(3)

    noted = door.value(
        "note_progress", ids=[a.id, b.id, c.id, a.id],
        leases=[a.lease, b.lease, uuid4(), a.lease], done=[1.0, 1.0, 1.0, 2.0],
        totals=[2.0, None, None, 2.0], notes=["x", None, None, "y" * 500],
    )  # fmt: skip

    assert noted == 2
    assert door.job(a.id).progress["done"] == 2
    assert len(door.job(a.id).progress["note"]) == 200
    assert door.job(c.id).progress is None


@pytest.mark.parametrize("done", [-1.0, float("nan"), float("inf"), None])
def test_what_is_no_number_is_refused(door, done):
    door.enqueue()
    job = door.take()

    with pytest.raises(psycopg.Error) as refused:
        door.value("progress", id=job.id, lease=job.lease, done=done)

    assert refused.value.sqlstate == "JQ001"


def test_progress_of_ended_attempts_leaves_with_the_chores(door, clock, db):
    door.enqueue(timeout="1 h")
    door.enqueue()
    running, ended = door.claim(2)
    for job in (running, ended):
        door.value("progress", id=job.id, lease=job.lease, done=3)
    door.ack(ended)
    clock.forward("2 minutes")

    door.chores("prune")

    assert db.execute("select job_id from _howdah.progress").fetchall() == [(running.id,)]
