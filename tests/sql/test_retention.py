"""History: partitioned by UTC day, dropped whole when its time has passed."""

from __future__ import annotations

import psycopg
import pytest


def finish_one(door, outcome="succeeded"):
    job_id = door.enqueue(outcome)
    door.finish([door.take()], outcomes=[outcome], errors=["boom"])
    return job_id


def tidy(door):
    for _ in range(20):
        if {*door.chores("partitions", "prune").values()} == {0}:
            return


def day(door, ahead=0):
    return door.one(
        "select to_char((_howdah.clock() + make_interval(days => %s)) at time zone 'UTC',"
        " 'YYYYMMDD')",
        ahead,
    )


def test_days_are_made_two_weeks_ahead(own_door):
    tidy(own_door)

    names = own_door.partitions()

    for ahead in range(15):
        assert any(name.endswith(day(own_door, ahead)) for name in names), ahead
    assert any("default" in name for name in names)


def test_a_day_goes_as_a_whole_when_the_retention_has_passed(own_door):
    old, today = finish_one(own_door), day(own_door)
    own_door.forward("7 days")
    kept = finish_one(own_door)

    own_door.forward("2 days")
    tidy(own_door)

    assert (own_door.job(old), own_door.state(kept)) == (None, "succeeded")
    assert not [name for name in own_door.partitions() if name.endswith(today)]


def test_nothing_goes_before_its_time(own_door):
    job_id = finish_one(own_door)

    own_door.forward("6 days 20 hours")
    tidy(own_door)

    assert own_door.state(job_id) == "succeeded"


def test_failed_jobs_may_be_kept_longer(own_door):
    own_door.put_settings(retention="2 days", failed_retention="30 days")
    succeeded, failed = finish_one(own_door), finish_one(own_door, "failed")

    own_door.forward("10 days")
    tidy(own_door)
    after_ten = [own_door.state(succeeded), own_door.state(failed)]
    own_door.forward("25 days")
    tidy(own_door)

    assert after_ten == [None, "failed"]
    assert own_door.state(failed) is None


def test_attempts_go_with_time_too_but_not_before_the_failed_job_they_explain(own_door):
    own_door.put_settings(retention="2 days", failed_retention="30 days")
    failed = finish_one(own_door, "failed")

    own_door.forward("10 days")
    tidy(own_door)
    kept = len(own_door.attempts(failed))
    own_door.forward("30 days")
    tidy(own_door)

    assert kept == 1
    assert own_door.attempts(failed) == []


def test_an_ack_never_fails_for_want_of_a_day(own_door):
    own_door.forward("400 days")
    job_id = own_door.enqueue(max_attempts=2)

    own_door.nack(own_door.take(), error="boom", retry_in="0")
    own_door.ack(own_door.take(), result={"n": 1})

    assert own_door.state(job_id) == "succeeded"
    assert len(own_door.attempts(job_id)) == 1


def test_what_landed_in_the_default_goes_when_its_time_has_passed(own_door):
    own_door.forward("400 days")
    job_id = finish_one(own_door)
    tidy(own_door)
    assert own_door.state(job_id) == "succeeded"

    own_door.forward("9 days")
    tidy(own_door)

    assert own_door.state(job_id) is None


def test_days_are_made_again_after_a_long_sleep(own_door):
    own_door.forward("400 days")
    finish_one(own_door)

    tidy(own_door)

    assert any(name.endswith(day(own_door, 3)) for name in own_door.partitions())
    assert any(name.endswith(day(own_door, 3)) for name in own_door.partitions("attempt"))


def test_a_reader_of_history_stops_neither_chores_nor_acks(own_door, own_dsn):
    old, _ = finish_one(own_door), own_door.forward("9 days")
    own_door.enqueue()
    job = own_door.take()

    with psycopg.connect(own_dsn) as reader:
        reader.execute("select count(*) from howdah.jobs").fetchall()
        own_door.rows("set statement_timeout = '5s'")
        own_door.chores()
        own_door.ack(job)
    tidy(own_door)

    assert own_door.state(job.id) == "succeeded"
    assert own_door.job(old) is None


def test_days_are_of_utc_whatever_the_session_says(own_dsn):
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        connection.execute("set timezone = 'Pacific/Kiritimati'")
        connection.execute("select howdah.chores()")
        bounds = connection.execute(
            "set timezone = 'UTC'; select pg_get_expr(c.relpartbound, c.oid) from pg_class c"
            " join pg_namespace n on n.oid = c.relnamespace where n.nspname = '_howdah'"
            " and c.relname ~ '^finished_succeeded_[0-9]+$'"
        )
        bounds.nextset()
        found = [row[0] for row in bounds]

    assert len(found) >= 15
    assert all(bound.count("00:00:00+00") == 2 for bound in found)


@pytest.mark.parametrize("rounds", [3])
def test_chores_over_many_days_keep_a_bounded_number_of_tables(own_door, rounds):
    tidy(own_door)
    before = len(own_door.partitions())

    for _ in range(rounds):
        own_door.forward("10 days")
        tidy(own_door)

    assert len(own_door.partitions()) <= before + 2 * 9


def test_ids_that_callers_chose_are_not_kept_for_ever(own_door):
    job_id = "00000000-0000-4000-8000-000000000001"
    own_door.enqueue(id=job_id)
    own_door.ack(own_door.take())

    own_door.forward("60 days")
    tidy(own_door)

    assert own_door.one("select count(*) from _howdah.given_id") == 0


def test_the_id_of_a_live_job_is_kept_however_old(own_door):
    job_id = own_door.enqueue(id="00000000-0000-4000-8000-000000000001", delay="200 days")

    own_door.forward("100 days")
    tidy(own_door)

    assert own_door.enqueue("other", id=job_id) == job_id
    assert own_door.counts() == (1, 0)
