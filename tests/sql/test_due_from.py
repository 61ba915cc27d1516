"""Looks for due jobs begin above those that were staged, and find all the same what came late."""

from __future__ import annotations

import random
from contextlib import contextmanager

import psycopg
import pytest
from touching import VACUUM, touched

STAGED = 3_000


def stage(door):
    return door.one("select howdah.stage()")


def look(door, clock):
    """What workers do once a second."""
    clock.forward("1 s")
    door.worker()
    return stage(door)


@contextmanager
def old_snapshot(dsn):
    with psycopg.connect(dsn) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("select count(*) from _howdah.queue").fetchall()
        yield


@pytest.fixture
def swept(door, clock):
    """A door whose last look for due jobs found none."""
    door.rows(VACUUM)
    look(door, clock)
    return door


LOOKS = {
    "stage": stage,
    "next due": lambda door: door.one("select _howdah.next_due()"),
    "chores": lambda door: door.chores("stage"),
}


@pytest.mark.parametrize("work", LOOKS)
def test_what_was_staged_costs_no_look_although_somebody_holds_an_old_snapshot(
    swept, clock, dsn, work
):
    with old_snapshot(dsn):
        swept.enqueue_json(*[{"task": "t", "delay": "1 min"}] * STAGED)
        clock.forward("61 s")
        while look(swept, clock):
            pass
        clock.forward("31 s")
        look(swept, clock)
        swept.finish(swept.claim(STAGED))

        found = touched(swept, lambda: LOOKS[work](swept))

    assert found.scans == 0
    assert found.rows <= 20
    assert found.blocks <= 40


def test_a_job_of_a_transaction_that_commits_late_is_staged_with_the_next_beat(
    swept, clock, another_door
):
    late = another_door()
    with late.transaction():
        job_id = late.enqueue(delay="1 s")
        for _ in range(6):
            look(swept, clock)
        assert swept.one("select due_from > _howdah.clock() - interval '3 s' from _howdah.pulse")

    look(swept, clock)

    assert swept.state(job_id) == "ready"


def test_one_that_commits_minutes_late_is_staged_within_a_minute(swept, clock, another_door):
    late = another_door()
    with late.transaction():
        job_id = late.enqueue(delay="1 s")
        for _ in range(8):
            clock.forward("20 s")
            look(swept, clock)

    for _ in range(30):
        clock.forward("1 s")
        look(swept, clock)

    assert swept.state(job_id) == "ready"


def test_a_job_comes_back_whose_staging_was_rolled_back(swept, clock, another_door):
    job_id, stager = swept.enqueue(delay="1 s"), another_door()
    clock.forward("2 s")
    with stager.connection.transaction(force_rollback=True):
        assert stage(stager) == 1
        look(swept, clock)
        look(swept, clock)

    assert stage(swept) == 1
    assert swept.state(job_id) == "ready"


def test_a_beat_with_an_old_snapshot_hides_nothing(swept, clock, another_door):
    old = another_door()
    old.connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with old.transaction():
        old.one("select count(*) from _howdah.queue")
        job_id = swept.enqueue(delay="1 s")
        clock.forward("40 s")
        old.rows("select _howdah.beat()")

    assert stage(swept) == 1
    assert swept.state(job_id) == "ready"


def test_due_jobs_are_found_although_somebody_keeps_the_pulse_from_beating(
    swept, clock, another_door
):
    keeper = another_door()
    with keeper.transaction():
        clock.forward("1 s")
        keeper.claim(1)
        ids = []
        for wait in ("1 s", "20 s", "100 s", "200 s"):
            ids.append(swept.enqueue(delay=wait))
            clock.forward(wait)
            look(swept, clock)

    assert [swept.state(job_id) for job_id in ids] == ["ready"] * 4


@pytest.mark.parametrize("back", ["1 hour", "50 s"])
def test_a_clock_that_was_set_back_hides_nothing(swept, clock, back):
    clock.forward("55 s")
    look(swept, clock)
    clock.forward(f"-{back}")

    job_id = swept.enqueue(delay="1 s")

    look(swept, clock)
    look(swept, clock)
    assert swept.state(job_id) == "ready"


@pytest.mark.parametrize("seed", range(4))
def test_no_due_job_is_left_behind_whatever_happens_at_once(swept, clock, another_door, seed):
    chance, doors = random.Random(seed), [another_door() for _ in range(4)]
    open_since: dict[int, int] = {}
    for second in range(60):
        for n, door in enumerate(doors):
            if n not in open_since:
                door.rows("begin")
                open_since[n] = second
            for _ in range(chance.randrange(3)):
                door.enqueue(delay=f"{chance.randint(10, 4000)} ms")
            if chance.random() < 0.1:
                door.rows("savepoint s")
                stage(door)
                door.rows("rollback to s" if chance.random() < 0.5 else "release s")
            if chance.random() < 0.2 or second - open_since[n] > 25:
                door.rows("rollback" if chance.random() < 0.2 else "commit")
                del open_since[n]
        look(swept, clock)
    for n in open_since:
        doors[n].rows("commit")
    clock.forward("3 s")

    while look(swept, clock):
        pass

    assert swept.one("select count(*) from howdah.ready") > 100
    assert swept.one("select count(*) from howdah.scheduled") == 0
