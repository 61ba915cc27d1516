"""howdah.declare_tasks: what a worker's app declares is what SQL enqueues get."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

DECLARED = {
    "name": "t", "queue": "mail", "priority": 3, "max_attempts": 7, "timeout_ms": 5000,
    "delivery": "at_most_once",
}  # fmt: skip


def test_a_job_gets_what_its_task_declares(door):
    door.call("declare_tasks", tasks=[DECLARED])

    job = door.job(door.enqueue("t"))

    assert (job.queue, job.priority, job.max_attempts) == ("mail", 3, 7)
    assert (job.timeout, job.delivery) == (timedelta(seconds=5), "at_most_once")


def test_what_the_call_says_wins_over_the_declaration(door):
    door.call("declare_tasks", tasks=[DECLARED])

    job = door.job(
        door.enqueue(
            "t",
            queue="default",
            priority=0,
            max_attempts=4,
            timeout="60 s",
            delivery="at_least_once",
        )
    )

    assert (job.queue, job.priority, job.max_attempts) == ("default", 0, 4)
    assert (job.timeout, job.delivery) == (timedelta(seconds=60), "at_least_once")


def test_no_timeout_wins_over_a_declared_one(door):
    door.call("declare_tasks", tasks=[DECLARED])

    assert door.job(door.enqueue("t", no_timeout=True)).timeout is None


def test_a_declared_timeout_of_none_holds_unless_one_is_said(door):
    door.call("declare_tasks", tasks=[{"name": "t", "timeout_ms": 0}])

    without, with_one = door.enqueue("t"), door.enqueue("t", timeout="7 s")

    assert door.job(without).timeout is None
    assert door.job(with_one).timeout == timedelta(seconds=7)


def test_every_way_to_enqueue_gets_the_declaration(door):
    door.call("declare_tasks", tasks=[DECLARED])
    door.enqueue_json({"task": "t"}, {"task": "other"})
    door.value("enqueue_batch", task="t", ids=["01900000-0000-7000-8000-000000000001"], args=["{}"])
    door.rows("insert into howdah.jobs (task) values ('t')")

    found = door.rows(
        "select queue, priority, max_attempts, delivery from howdah.jobs where task = 't'"
    )

    assert found == [("mail", 3, 7, "at_most_once")] * 3
    assert door.one("select queue from howdah.jobs where task = 'other'") == "default"


def test_only_new_and_changed_declarations_are_counted(door):
    counts = [
        door.value("declare_tasks", tasks=tasks)
        for tasks in (
            [DECLARED],
            [DECLARED],
            [DECLARED, {"name": "u"}],
            [DECLARED | {"priority": 4}],
        )
    ]

    assert counts == [1, 0, 1, 1]


def test_a_jobs_options_are_fixed_when_it_is_enqueued(door):
    door.call("declare_tasks", tasks=[DECLARED])
    job_id = door.enqueue("t")

    door.call("declare_tasks", tasks=[DECLARED | {"max_attempts": 1, "queue": "x"}])

    assert (door.job(job_id).max_attempts, door.job(job_id).queue) == (7, "mail")


def test_declared_tasks_are_shown(door):
    door.call("declare_tasks", tasks=[DECLARED])

    [task] = door.rows("select * from howdah.tasks")

    assert (task.name, task.queue, task.max_attempts) == ("t", "mail", 7)


@pytest.mark.parametrize(
    "bad",
    [
        [{}], [{"name": ""}], [{"name": "x" * 121}], [{"name": "t", "max_attempts": 0}],
        [{"name": "t", "timeout_ms": -1}], [{"name": "t", "delivery": "sometimes"}],
        [{"name": "t", "queue": ""}], {"name": "t"},
    ],
    ids=str,
)  # fmt: skip
def test_declarations_without_sense_are_refused(door, refused, bad):
    with refused("JQ001"):
        door.call("declare_tasks", tasks=bad)

    assert door.rows("select name from howdah.tasks") == []


@pytest.mark.parametrize(
    "bad",
    [{"factor": 1e300}, {"jitter": 5}, {"jitter": -0.1}, {"longest_ms": 400 * 86_400_000}],
    ids=str,
)
def test_a_backoff_without_sense_is_refused(door, refused, bad):
    with refused("JQ001"):
        door.call("declare_tasks", tasks=[{"name": "ok"}, {"name": "t"} | bad])

    assert door.rows("select name from howdah.tasks") == []


def test_of_two_declarations_of_one_name_the_last_wins_or_both_are_refused(door):
    try:
        door.call("declare_tasks", tasks=[DECLARED, DECLARED | {"priority": 9}])
        refusal = None
    except psycopg.Error as error:
        refusal = error.sqlstate

    found = door.rows("select priority from howdah.tasks")
    assert (refusal, found) in [(None, [(9,)]), ("JQ001", [])]
