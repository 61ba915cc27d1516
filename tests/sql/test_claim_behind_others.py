"""A claim of few jobs looks behind priorities that hold none for it."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("n", [1, 2])
def test_jobs_of_other_tasks_do_not_hide_those_of_lower_priority(door, n):
    for priority in range(1, 30):
        door.enqueue("theirs", priority=priority)
    ours = [door.enqueue("ours") for _ in range(2)]

    claimed = door.claim(n, tasks=["ours"])

    assert [job.id for job in claimed] == ours[:n]


def test_suspects_do_not_hide_jobs_of_lower_priority(door):
    door.enqueue(priority=5)
    worker = door.worker()
    suspect = door.take(worker=worker)
    door.call("rescue", worker=worker, running=[suspect.id])
    job_id = door.enqueue(priority=0)

    claimed = door.claim(1, suspects=0)

    assert [job.id for job in claimed] == [job_id]


def test_jobs_that_somebody_is_claiming_do_not_hide_those_of_lower_priority(door, another_door):
    other = another_door()
    door.enqueue(priority=5)
    job_id = door.enqueue(priority=0)

    with other.transaction():
        other.take()
        claimed = door.claim(1)

    assert [job.id for job in claimed] == [job_id]
