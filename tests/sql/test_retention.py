"""History: partitioned by UTC day, dropped whole when its time has passed."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import asyncpg
import psycopg
import pytest

from howdah.migrate import migrate


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


STYLES = ["Postgres, MDY", "SQL, DMY"]
BOUNDS = (
    "select c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bound from pg_class c"
    " where c.relnamespace = '_howdah'::regnamespace and c.relispartition and c.relkind = 'r'"
    " and c.relname !~ 'default'"
)


def assert_days_of_utc(connection):
    connection.execute("set timezone = 'UTC'")
    days = connection.execute(BOUNDS).fetchall()
    assert len(days) >= 3 * 15
    for name, bound in days:
        start = f"{name[-8:-4]}-{name[-4:-2]}-{name[-2:]}"
        assert f"FROM ('{start} 00:00:00+00')" in bound, name
        assert bound.count("00:00:00+00") == 2, name


@pytest.mark.parametrize("style", STYLES)
def test_days_that_chores_make_are_of_utc_in_every_style_of_dates(own_door, own_dsn, style):
    own_door.forward("100 days")

    with psycopg.connect(own_dsn, autocommit=True) as connection:
        connection.execute(f"set datestyle = '{style}'; set timezone = 'Asia/Kolkata'")
        connection.execute("select howdah.chores()")

    assert_days_of_utc(own_door.connection)
    assert any(name.endswith(day(own_door, 14)) for name in own_door.partitions())


@pytest.mark.parametrize("style", STYLES)
async def test_days_that_a_migration_makes_are_of_utc_in_every_style_of_dates(empty_dsn, style):
    session = {"DateStyle": style, "TimeZone": "Asia/Kolkata"}
    connection = await asyncpg.connect(empty_dsn, server_settings=session)

    await migrate(connection, "howdah")
    await connection.close()

    with psycopg.connect(empty_dsn, autocommit=True) as owner:
        assert_days_of_utc(owner)


def test_a_given_id_is_known_for_days_after_its_job_ended_without_history(own_door):
    own_door.call("put_queue", queue="q", keep_history=False)
    job_id = own_door.enqueue(id=uuid4(), queue="q", delay="60 days")
    own_door.forward("61 days")
    own_door.chores()
    own_door.ack(own_door.take())

    own_door.forward("1 day")
    tidy(own_door)
    again = own_door.enqueue(id=job_id, queue="q")
    counts = own_door.counts()
    own_door.forward("60 days")
    tidy(own_door)

    assert (again, counts) == (job_id, (0, 0))
    assert own_door.one("select count(*) from _howdah.given_id") == 0


def test_old_rows_of_the_default_go_in_batches(own_door):
    own_door.rows(
        "insert into _howdah.finished (created_at, finished_at, priority, attempt, crashes, id,"
        " state, queue, task, args)"
        " select now() - interval '90 days', now() - interval '90 days', 0, 1, 0,"
        " gen_random_uuid(), 'S', 'q', 't', '{}' from generate_series(1, 25000)"
    )

    left = [25000]
    while left[-1] and len(left) < 60:
        own_door.chores("prune")
        left.append(own_door.one("select count(*) from _howdah.finished_succeeded_default"))

    assert 0 < left[1] < 25000
    assert left[-1] == 0


def test_chores_go_on_when_the_default_already_holds_rows_of_today(own_door):
    own_door.forward("400 days")
    ended = [finish_one(own_door, outcome) for outcome in ("succeeded", "failed")]

    for _ in range(3):
        own_door.chores()
    ended.append(finish_one(own_door))

    assert [own_door.state(job_id) for job_id in ended] == ["succeeded", "failed", "succeeded"]
    assert any(name.endswith(day(own_door, 1)) for name in own_door.partitions())


def test_days_are_made_in_turns_where_much_has_gathered_in_the_default(own_door):
    own_door.forward("40 days")
    own_door.rows(
        "insert into _howdah.finished_succeeded_default"
        " (created_at, finished_at, priority, attempt, crashes, id, state, queue, task, args) "
        "select now(), now() + interval '20 days', 0, 1, 0, gen_random_uuid(), 'S', 'q', 't',"
        " jsonb_build_object('a', repeat('x', 1800)) from generate_series(1, 5000) returning 1"
    )

    made = [own_door.chores("partitions")["partitions"] for _ in range(20)]

    assert 3 * 15 < made[0] < 4 * 15  # the other three are empty
    assert sum(made) == 4 * 15


def keep_asking_for_a_lock(dsn, until):
    """The longest time, in seconds, that whoever writes history waited for its lock."""
    longest = 0.0
    with psycopg.connect(dsn, autocommit=True) as writer:
        while not until.is_set():
            with writer.transaction():
                began = time.perf_counter()
                writer.execute("lock table _howdah.finished_succeeded in row exclusive mode")
                longest = max(longest, time.perf_counter() - began)
    return longest


@pytest.mark.parametrize(
    "held", ["a snapshot", "old days", pytest.param("every day", marks=pytest.mark.slow)]
)
def test_no_finish_waits_long_for_days_that_go_whoever_reads_them(own_door, own_dsn, held):
    own_door.forward("25 days")
    [*days] = sorted(n for n in own_door.partitions() if re.fullmatch(r"finished_failed_\d+", n))
    read = {"a snapshot": ["queue"], "old days": days[1:13], "every day": ["finished", "attempt"]}[
        held
    ]

    ended = threading.Event()
    with psycopg.connect(own_dsn) as reader, ThreadPoolExecutor() as pool:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        for table in read:
            reader.execute(f"select count(*) from _howdah.{table}").fetchall()
        waited = pool.submit(keep_asking_for_a_lock, own_dsn, ended)
        gone = [own_door.chores("prune")["prune"] for _ in range(4)]
        ended.set()

    assert waited.result() < 0.25  # 40 ms for a lock, 20 ms of work; the rest is the machine's
    assert (sum(gone) > 0) == (held != "every day")
    while own_door.chores("prune")["prune"]:
        pass
    assert not {*days} & own_door.partitions()
