"""Rescue: the jobs of a lost worker run again, uncharged, until they have killed too many."""

from __future__ import annotations

import psycopg
import pytest


def test_the_jobs_of_a_silent_worker_come_back_uncharged(door, clock):
    worker = door.worker()
    door.enqueue_json(*[{"task": "t"}] * 20)
    ids = [job.id for job in door.claim(20, worker=worker)]

    clock.forward("31 s")
    door.chores()
    rows = [door.job(job_id) for job_id in ids]

    assert {(row.state, row.attempt, row.crashes, row.worker) for row in rows} == {
        ("ready", 0, 1, None)
    }
    assert {a.outcome for job_id in ids for a in door.attempts(job_id)} == {"lost"}


def test_a_heart_that_beats_keeps_all_leases(door, clock):
    worker = door.worker()
    job_id = door.enqueue(timeout="1 s")
    door.take(worker=worker)

    for _ in range(5):
        clock.forward("20 s")
        door.beat(worker)
        door.chores()

    assert door.state(job_id) == "running"


def test_nothing_is_rescued_before_lost_after(door, clock):
    worker = door.worker()
    job_id = door.enqueue()
    door.take(worker=worker)

    clock.forward("25 s")
    door.chores()

    assert door.state(job_id) == "running"


def test_lost_after_is_a_setting(door, clock):
    door.put_settings(lost_after="5 min")
    worker = door.worker()
    job_id = door.enqueue()
    door.take(worker=worker)

    clock.forward("4 min")
    door.chores()
    before = door.state(job_id)
    clock.forward("2 min")
    door.chores()

    assert (before, door.state(job_id)) == ("running", "ready")


def test_a_job_that_kills_its_workers_stops_after_max_crashes(door, clock):
    job_id = door.enqueue(max_attempts=100)
    states = []

    for _ in range(3):
        door.take(worker=door.worker())
        clock.forward("1 min")
        door.chores()
        states.append(door.state(job_id))

    assert states == ["ready", "ready", "failed"]
    assert "worker lost" in door.job(job_id).error
    assert [a.outcome for a in door.attempts(job_id)] == ["lost"] * 3


def test_crashes_do_not_use_up_attempts(door, clock):
    job_id = door.enqueue(max_attempts=1)
    door.take(worker=door.worker())

    clock.forward("1 min")
    door.chores()

    assert door.state(job_id) == "ready"
    assert door.take().attempt == 1


def test_max_crashes_is_a_setting(door, clock):
    door.put_settings(max_crashes=1)
    job_id = door.enqueue()
    door.take(worker=door.worker())

    clock.forward("1 min")
    door.chores()

    assert door.state(job_id) == "failed"


def test_an_at_most_once_job_of_a_lost_worker_fails_as_lost(door, clock):
    job_id = door.enqueue(delivery="at_most_once")
    door.take(worker=door.worker())

    clock.forward("1 min")
    door.chores()

    assert door.state(job_id) == "failed"
    assert "lost" in door.job(job_id).error
    assert door.claim() == []


def test_an_at_most_once_job_whose_lease_ran_out_fails_as_lost(door, clock):
    job_id = door.enqueue(delivery="at_most_once", timeout="10 s")
    door.take()

    clock.forward("1 min")
    door.chores()

    assert door.state(job_id) == "failed"
    assert "lost" in {door.job(job_id).error, *(a.outcome for a in door.attempts(job_id))}
    assert door.claim() == []


@pytest.mark.parametrize("outcome", ["retry", "failed"])
def test_an_at_most_once_job_is_never_started_twice_by_its_own_failure(door, outcome):
    job_id = door.enqueue(delivery="at_most_once", max_attempts=5)

    door.finish([door.take()], outcomes=[outcome], errors=["boom"])

    assert door.state(job_id) == "failed"
    assert door.job(job_id).error == "boom"


def test_a_rescued_job_may_be_claimed_by_another_and_the_first_is_fenced(door, clock, refused):
    first, second = door.worker("first"), door.worker("second")
    door.enqueue()
    old = door.take(worker=first)
    clock.forward("40 s")
    door.beat(second)
    door.chores()
    new = door.take(worker=second)

    with refused("JQ002"):
        door.ack(old)

    assert door.finish([old]) == {old.id: "lost"}
    assert door.job(new.id).worker == second
    door.ack(new)


def test_a_swept_worker_learns_it_and_cannot_claim_any_more(door, clock, refused):
    worker = door.worker()
    door.enqueue()
    door.take(worker=worker)
    clock.forward("1 min")
    door.chores()

    action = door.beat(worker).action

    assert action == "swept"
    with refused("JQ005"):
        door.claim(worker=worker)


def test_a_lost_worker_that_held_nothing_goes_too(door, clock):
    door.worker()

    clock.forward("10 min")
    for _ in range(2):
        door.chores()

    assert door.rows("select id from howdah.workers") == []


def test_a_beat_from_the_future_counts_as_now(door, clock):
    clock.forward("2 hours")
    worker = door.worker()
    job_id = door.enqueue()
    door.take(worker=worker)
    clock.forward("-2 hours")

    door.chores()
    clock.forward("1 min")
    door.chores()

    assert door.state(job_id) == "ready"


def test_down_time_of_the_database_does_not_count_against_leases(door, clock):
    worker = door.worker()
    job_id = door.enqueue()
    door.take(worker=worker)
    door.rows(
        "update _howdah.pulse set server_started_at = server_started_at - interval '1 day'"
    )  # as if the server had restarted since

    clock.forward("10 min")
    door.worker("first to come back")
    door.chores()
    just_back = door.state(job_id)
    clock.forward("1 min")
    door.chores()

    assert (just_back, door.state(job_id)) == ("running", "ready")


def test_the_absence_of_sweepers_is_no_down_time(door, clock):
    worker = door.worker()
    job_id = door.enqueue()
    door.take(worker=worker)

    clock.forward("10 min")
    door.worker("first after a long silence")
    door.chores()

    assert door.state(job_id) == "ready"


def test_a_lost_session_lock_shows_death_sooner(door, dsn, clock):
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute("select pg_advisory_lock(4711)")
        worker = door.worker(lock_key=4711)
        job_id = door.enqueue()
        door.take(worker=worker)
        clock.forward("10 s")
        door.chores()
        held = door.state(job_id)

    door.rows("select pg_advisory_lock(4711), pg_advisory_unlock(4711)")  # when the session is gone
    door.chores()

    assert (held, door.state(job_id)) == ("running", "ready")


def test_a_lost_session_lock_has_a_grace_of_five_seconds(door, clock):
    worker = door.worker(lock_key=4712)
    job_id = door.enqueue()
    door.take(worker=worker)

    clock.forward("3 s")
    door.chores()

    assert door.state(job_id) == "running"


def test_one_held_row_does_not_stop_the_rescue_of_others(door, another_door, clock):
    worker = door.worker()
    door.enqueue_json({"task": "a"}, {"task": "b"})
    held, free = door.claim(2, worker=worker)
    other = another_door()
    other.rows("begin")
    other.rows("select from _howdah.job where id = %s for update", held.id)

    clock.forward("1 min")
    door.rows("set lock_timeout = '2s'")
    door.chores()
    meanwhile = [door.state(held.id), door.state(free.id)]
    other.rows("rollback")
    door.chores()

    assert meanwhile == ["running", "ready"]
    assert door.state(held.id) == "ready"


def test_jobs_of_a_worker_row_that_vanished_come_back(door, clock):
    worker = door.worker()
    job_id = door.enqueue()
    door.take(worker=worker)
    door.rows("delete from _howdah.worker")

    clock.forward("1 min")
    door.chores()

    assert door.state(job_id) == "ready"


def test_a_restart_is_known_before_the_beat_that_notes_it_has_committed(door, another_door):
    worker = door.worker()
    job_id = door.enqueue()
    door.take(worker=worker)
    door.rows("update _howdah.worker set beat_at = now() - interval '10 min'")
    door.rows(
        "update _howdah.pulse set beat_at = now() - interval '10 min', resumed_at = 'epoch',"
        " gap_ended_at = 'epoch', server_started_at = pg_postmaster_start_time() - interval '1 h'"
    )

    other = another_door()
    with other.transaction():
        other.rows("select _howdah.beat()")
        door.chores("rescue")

    assert door.state(job_id) == "running"


def test_a_silent_worker_that_holds_its_session_lock_is_lost_though_the_pulse_beats_seldom(
    door, another_door, clock
):
    another_door().rows("select pg_advisory_lock(4713)")
    worker = door.worker(lock_key=4713)
    job_id = door.enqueue()
    door.take(worker=worker)

    for _ in range(11):
        clock.forward("4 s")
        door.chores()

    assert door.state(job_id) == "ready"


def test_a_worker_that_was_cut_off_is_granted_one_gap_and_no_more(door, another_door, clock):
    another_door().rows("select pg_advisory_lock(4714)")
    worker = door.worker(lock_key=4714)
    job_id = door.enqueue()
    door.take(worker=worker)

    clock.forward("10 min")
    door.chores()
    just_back = door.state(job_id)
    for _ in range(2):
        clock.forward("20 s")
        door.chores()

    assert (just_back, door.state(job_id)) == ("running", "ready")
