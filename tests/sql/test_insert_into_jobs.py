"""insert into howdah.jobs: enqueues through the same function."""

from __future__ import annotations

from datetime import timedelta

import pytest


def test_a_row_inserted_is_a_job_enqueued(door):
    door.rows("""insert into howdah.jobs (task, args) values ('t', '{"n": 1}')""")

    job = door.take()

    assert (job.task, job.args, job.queue, job.max_attempts) == ("t", {"n": 1}, "default", 4)


def test_returning_gives_the_id(door):
    [row] = door.rows("insert into howdah.jobs (task) values ('t') returning id")

    assert door.take().id == row.id


def test_many_rows_of_a_select_keep_their_order(door):
    door.rows(
        "insert into howdah.jobs (task, args)"
        " select 't', jsonb_build_object('n', n) from generate_series(1, 50) n"
    )

    assert [job.args["n"] for job in door.claim(50)] == [*range(1, 51)]


def test_every_option_that_has_a_column_may_be_set(door):
    door.rows(
        "insert into howdah.jobs (task, queue, priority, run_at, max_attempts, timeout, delivery,"
        " unique_key, headers, tags) values ('t', 'q', -3, '2030-01-01Z', 2, '7 s', 'at_most_once',"
        """ 'k', '{"h": 1}', '{a,b}')"""
    )

    [job] = door.rows("select * from howdah.jobs")

    assert (job.queue, job.priority, job.max_attempts) == ("q", -3, 2)
    assert (job.state, job.timeout, job.delivery) == (
        "scheduled",
        timedelta(seconds=7),
        "at_most_once",
    )
    assert (job.unique_key, job.headers, job.tags) == ("k", {"h": 1}, ["a", "b"])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("state", "succeeded"),
        ("state", "ready"),
        ("attempt", "2"),
        ("attempt", "0"),
        ("started_at", "2026-01-01Z"),
        ("finished_at", "2026-01-01Z"),
        ("created_at", "2026-01-01Z"),
        ("worker", "00000000-0000-0000-0000-000000000001"),
        ("result", "1"),
        ("error", "x"),
    ],
)
def test_what_only_the_engine_sets_is_refused(door, refused, column, value):
    with refused("JQ001", mentions=column):
        door.rows(f"insert into howdah.jobs (task, {column}) values ('t', %s)", value)

    assert door.counts() == (0, 0)


def test_one_bad_row_refuses_the_whole_statement(door, refused):
    with refused("JQ001"):
        door.rows("insert into howdah.jobs (task) values ('ok'), (''), ('ok')")

    assert door.counts() == (0, 0)


def test_a_row_without_a_task_is_refused(door, refused):
    with refused("JQ001", mentions="task"):
        door.rows("insert into howdah.jobs (queue) values ('q')")


def test_an_insert_rolls_back_with_its_transaction(door):
    door.rows("begin")
    door.rows("insert into howdah.jobs (task) values ('t')")
    door.rows("rollback")

    assert door.counts() == (0, 0)


def test_a_key_conflict_adds_no_row(door):
    there = door.enqueue(unique_key="k")

    [row] = door.rows("insert into howdah.jobs (task, unique_key) values ('t', 'k') returning id")

    assert row.id == there
    assert door.counts() == (1, 0)


def test_a_declared_task_gets_its_defaults(door):
    door.call("declare_tasks", tasks=[{"name": "t", "queue": "q", "max_attempts": 9}])

    door.rows("insert into howdah.jobs (task) values ('t')")

    assert (door.take().queue, door.rows("select max_attempts from howdah.jobs")) == ("q", [(9,)])
