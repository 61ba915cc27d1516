"""Versions of tasks at the SQL door: who takes which jobs, and what is seen of the others."""

from __future__ import annotations

import pytest

TASKS = ("mail@1.0.0", "mail@9.1.0", "mail@>=2,<10", "mail@>9.1", "mail", "post")


@pytest.mark.parametrize(
    ("served", "taken"),
    [
        (["mail@1.0.0", "mail"], ["mail@1.0.0", "mail"]),
        (["mail@9.1.0", "mail"], ["mail@9.1.0", "mail@>=2,<10", "mail"]),
        (["mail@1.0.0", "mail@9.2"], ["mail@1.0.0", "mail@>=2,<10", "mail@>9.1"]),
        (["mail"], ["mail"]),
        (["mail*"], [task for task in TASKS if task != "post"]),
        (["post"], ["post"]),
    ],
)
def test_a_claim_takes_the_versions_that_it_names_and_their_ranges(door, served, taken):
    """PIPE-06: a job for a version goes only to who serves it."""
    for task in TASKS:
        door.enqueue(task)

    assert [job.task for job in door.claim(10, tasks=served)] == taken


def test_ranges_are_left_behind_for_no_floor_to_pass(door):
    door.enqueue("mail@>=2")
    floors = '{"floors": [["default", 0, 0]], "look": true}'

    *_, news = door.rows(
        "select * from howdah.claim(null, 1, null, array['mail@1.0', 'post'], floors => %s)", floors
    )
    [job, _] = door.rows(
        "select * from howdah.claim(null, 1, null, array['mail@2.5', 'post'], floors => %s)", floors
    )

    assert news.lease is None
    assert job.task == "mail@>=2"


def test_a_version_that_nobody_serves_is_seen(door):
    door.worker(tasks=["mail@1.0.0", "mail"])
    lost, ranged, served = (
        door.enqueue("mail@9.1.0"),
        door.enqueue("mail@>=2"),
        door.enqueue("mail"),
    )

    assert door.why(lost) == (
        "no worker of queue default knows the task mail@9.1.0 (served: mail, mail@1.0.0)"
    )
    assert "no worker" in door.why(ranged)
    assert "no worker" not in door.why(served)
    assert door.one("select unserved from howdah.queues") == ["mail@9.1.0", "mail@>=2"]


def test_a_range_wakes_who_serves_a_version_of_it(door):
    ours, other = door.worker(tasks=["mail@2.1"]), door.worker("x", tasks=["mail@1.0"])
    for worker, tasks in ((ours, ["mail@2.1"]), (other, ["mail@1.0"])):
        door.claim(1, worker=worker, tasks=tasks, idle=True)
    door.connection.execute(f'listen "{door.value("channel")}"')

    door.enqueue("mail@>=2")
    door.one("select 1")

    assert [note.payload for note in door.connection.notifies(timeout=0.2)] == [f"w{str(ours)[:8]}"]
