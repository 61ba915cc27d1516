"""howdah.chores: what the workers do by themselves, for those who run none."""

from __future__ import annotations

import pytest


def test_delayed_jobs_come_back(door, clock):
    ids = [door.enqueue(delay=f"{n} min") for n in (1, 2, 30)]

    clock.forward("5 min")
    done = door.chores()

    assert done["stage"] == 2
    assert [door.state(job_id) for job_id in ids] == ["ready", "ready", "scheduled"]


def test_nacked_jobs_come_back(door, clock):
    job_id = door.enqueue()
    door.nack(door.take())

    clock.forward("10 s")
    door.chores()

    assert door.state(job_id) == "ready"


def test_an_expired_lease_is_a_failed_attempt_with_backoff(door, clock):
    """J-7."""
    job_id = door.enqueue(timeout="10 s")
    door.take()

    clock.forward("11 s")
    door.chores()
    [attempt] = door.attempts(job_id)
    wait = door.job(job_id).run_at - attempt.finished_at

    assert (door.state(job_id), door.job(job_id).attempt) == ("scheduled", 1)
    assert attempt.outcome == "expired"
    assert wait.total_seconds() == pytest.approx(3, rel=0.3)


def test_expired_jobs_run_again_without_any_worker_or_chores(door, clock):
    """J-7."""
    job_id = door.enqueue(timeout="10 s")
    attempts = [door.take().attempt]

    for _ in range(40):
        clock.forward("5 s")
        attempts += [job.attempt for job in door.claim()]
        if door.state(job_id) == "failed":
            break

    assert attempts == [1, 2, 3, 4]
    assert door.state(job_id) == "failed"
    assert [a.outcome for a in door.attempts(job_id)] == ["expired"] * 4


def test_an_expired_job_without_attempts_left_fails(door, clock):
    job_id = door.enqueue(timeout="10 s", max_attempts=1)
    door.take()

    clock.forward("11 s")
    door.chores()

    assert door.state(job_id) == "failed"
    assert [a.outcome for a in door.attempts(job_id)] == ["expired"]
    assert door.job(job_id).error


def test_a_lease_that_holds_is_left_alone(door, clock):
    job_id = door.enqueue(timeout="10 s")
    door.take()

    clock.forward("8 s")
    door.chores()

    assert door.state(job_id) == "running"


def test_chores_may_be_called_one_by_one(door, clock):
    door.enqueue(delay="1 min")
    clock.forward("2 min")

    done = door.chores("stage")

    assert done == {"stage": 1}


def test_an_unknown_chore_is_refused(door, refused):
    with refused("JQ001"):
        door.chores("dishes")


def test_chores_with_nothing_to_do_do_nothing(door):
    door.enqueue()
    door.chores()

    done = door.chores()

    assert {*done.values()} == {0}
    assert door.counts() == (1, 0)


def test_a_held_chore_is_stepped_over_and_not_waited_for(door, another_door, clock):
    one = another_door()
    door.enqueue(delay="1 min")
    clock.forward("2 min")
    one.rows("begin")
    one.chores()

    door.rows("set lock_timeout = '2s'")
    door.chores()
    one.rows("commit")

    assert len(door.claim(5)) == 1


def test_one_locked_row_does_not_stop_the_staging_of_others(door, another_door, clock):
    other = another_door()
    held, free = door.enqueue(delay="1 min"), door.enqueue(delay="2 min")
    other.rows("begin")
    other.rows("select from _howdah.job where id = %s for update", held)

    clock.forward("5 min")
    door.rows("set lock_timeout = '2s'")
    door.chores()
    other.rows("rollback")

    assert [door.state(held), door.state(free)] == ["scheduled", "ready"]


def test_two_thousand_due_jobs_all_come_back(door, clock):
    door.enqueue_json(*[{"task": "t", "delay": "1 min"}] * 2500)

    clock.forward("2 min")
    rounds = 0
    while door.one("select count(*) from howdah.scheduled"):
        door.chores()
        rounds += 1
        assert rounds < 20

    assert door.value("backlog") == 2500


def test_a_job_of_a_task_that_no_worker_of_its_queue_knows_fails_in_the_end(door, clock):
    door.put_settings(unknown_task_age="1 hour")
    worker = door.worker(queues=["q"], tasks=["known"])
    unknown, unserved = door.enqueue("unknown", queue="q"), door.enqueue("unknown", queue="other")
    known = door.enqueue("known", queue="q")

    clock.forward("2 hours")
    door.beat(worker)
    door.chores()

    assert [door.state(job_id) for job_id in (unknown, unserved, known)] == [
        "failed",
        "ready",
        "ready",
    ]
    assert "no worker" in door.job(unknown).error.lower()


def test_a_younger_job_of_an_unknown_task_stays_where_it_is(door, clock):
    worker = door.worker(queues=["q"], tasks=["known"])
    job_id = door.enqueue("unknown", queue="q")

    clock.forward("3 days")
    door.beat(worker)
    door.chores()

    assert door.state(job_id) == "ready"
    assert door.job(job_id).attempt == 0


def test_settings_are_kept_and_null_leaves_one_as_it_is(door):
    door.put_settings(lost_after="45 s", max_crashes=5)

    settings = door.put_settings(max_crashes=6)

    assert settings.lost_after.total_seconds() == 45
    assert settings.max_crashes == 6
    assert (settings.retention.days, settings.failed_retention.days) == (7, 7)


@pytest.mark.parametrize(
    "bad", [{"lost_after": "0"}, {"max_crashes": 0}, {"retention": "-1 day"}], ids=str
)
def test_settings_without_sense_are_refused(door, refused, bad):
    with refused("JQ001"):
        door.put_settings(**bad)

    assert door.put_settings().max_crashes == 3


@pytest.mark.parametrize(
    "bad",
    [
        {"lost_after": "300000 years"},
        {"lost_after": "11 years"},
        {"retention": "10000 years"},
        {"failed_retention": "10000 years"},
        {"retention": "101 years"},
    ],
    ids=str,
)
def test_settings_of_ages_are_refused(door, refused, bad):
    before = door.put_settings()

    with refused("JQ001"):
        door.put_settings(**bad)
    door.chores()

    assert door.put_settings() == before


def test_chores_work_with_the_longest_settings(door):
    door.put_settings(lost_after="10 years", retention="100 years", failed_retention="100 years")
    worker = door.worker()
    door.enqueue()
    job = door.take(worker=worker)

    door.chores()
    door.ack(job)

    assert door.state(job.id) == "succeeded"
