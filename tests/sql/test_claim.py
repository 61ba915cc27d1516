"""howdah.claim: leases up to n ready jobs to its caller."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from howdah.check import check
from howdah.migrate import migrate


def test_a_claim_gives_all_that_is_needed_to_run_the_job(door):
    job_id = door.enqueue("t", args={"n": 1}, queue="q", headers={"h": 1}, tags=["x"])

    job = door.take()

    assert (job.id, job.queue, job.task, job.args) == (job_id, "q", "t", {"n": 1})
    assert (job.attempt, job.max_attempts, job.headers, job.tags) == (1, 4, {"h": 1}, ["x"])
    assert job.lease is not None


def test_a_claimed_job_is_running_and_nobody_elses(door):
    job_id = door.enqueue()

    first, second = door.claim(5), door.claim(5)

    assert [job.id for job in first] == [job_id]
    assert second == []
    assert door.state(job_id) == "running"
    assert door.job(job_id).started_at is not None


def test_a_claim_takes_no_more_than_n(door):
    door.enqueue_json(*[{"task": "t"}] * 10)

    sizes = [len(door.claim(4)) for _ in range(4)]

    assert sizes == [4, 4, 2, 0]


def test_an_attempt_is_counted_at_claim(door):
    job_id = door.enqueue()
    assert door.job(job_id).attempt == 0

    job = door.take()

    assert job.attempt == 1
    assert door.job(job_id).attempt == 1


def test_a_rolled_back_claim_charges_nothing(door):
    job_id = door.enqueue()

    door.rows("begin")
    door.take()
    door.rows("rollback")

    assert (door.state(job_id), door.job(job_id).attempt) == ("ready", 0)
    assert door.take().attempt == 1


def test_without_a_worker_a_job_is_held_for_its_own_timeout(door):
    door.enqueue(timeout="5 s")
    door.enqueue(timeout="2 h")

    spans = [job.leased_until for job in door.claim(2)]

    assert spans[1] - spans[0] == timedelta(hours=2, seconds=-5)


def test_without_a_worker_a_job_without_timeout_is_still_held_some_time(door):
    job_id = door.enqueue(no_timeout=True)

    job = door.take()

    assert job.timeout_ms is None
    assert door.state(job_id) == "running"
    assert door.claim() == []


def test_with_a_worker_a_lease_lasts_as_long_as_its_heart_beats(door):
    worker = door.worker()
    job_id = door.enqueue(timeout="1 s")

    job = door.take(worker=worker)

    assert job.leased_until is None
    assert door.job(job_id).worker == worker


def test_an_unknown_worker_is_refused_and_claims_nothing(door, refused):
    job_id = door.enqueue()

    with refused("JQ005"):
        door.claim(worker=uuid4())

    assert (door.state(job_id), door.job(job_id).attempt) == ("ready", 0)


def test_scheduled_jobs_are_not_claimed_before_their_time(door, clock):
    job_id = door.enqueue(delay="10 min")
    assert door.claim() == []

    clock.forward("9 min 50 s")
    early = door.claim()
    clock.forward("15 s")
    door.chores()

    assert early == []
    assert door.take().id == job_id


def test_a_claim_without_worker_stages_what_is_due_by_itself(door, clock):
    job_id = door.enqueue(delay="10 min")

    clock.forward("11 min")
    claimed = [job.id for _ in range(2) for job in door.claim()]

    assert claimed == [job_id]


@pytest.mark.parametrize("n", [1, 7, 100])
def test_a_claim_of_n_with_a_worker_returns_n_distinct_jobs(door, n):
    worker = door.worker()
    door.enqueue_json(*[{"task": "t", "queue": f"q{i % 5}"} for i in range(120)])

    claimed = door.claim(n, worker=worker)

    assert len({job.id for job in claimed}) == n


def test_a_claim_takes_from_all_queues_unless_told(door):
    door.enqueue_json(*[{"task": "t", "queue": queue} for queue in ("a", "b", "c")])

    claimed = door.claim(9)

    assert [job.queue for job in claimed] == ["a", "b", "c"]


def test_claim_names_queues_and_tasks_together(door):
    for queue in "ab":
        for task in "xy":
            door.enqueue(task, queue=queue)

    claimed = door.claim(9, queues=["b"], tasks=["x"])

    assert [(job.queue, job.task) for job in claimed] == [("b", "x")]


def test_empty_lists_of_queues_or_tasks_claim_nothing(door):
    door.enqueue()

    by_queues = door.rows("select * from howdah.claim(queues => '{}', n => 5)")
    by_tasks = door.rows("select * from howdah.claim(tasks => '{}', n => 5)")

    assert (by_queues, by_tasks) == ([], [])


def test_a_draining_worker_still_finishes_what_it_holds(door):
    worker = door.worker()
    door.enqueue()
    job = door.take(worker=worker)

    door.value("drain", worker=worker)
    door.ack(job)

    assert door.state(job.id) == "succeeded"


def test_duplicate_and_overlapping_queue_names_give_a_job_once(door):
    door.enqueue_json(*[{"task": "t", "queue": "mail.a"}] * 3)

    claimed = door.claim(9, queues=["mail.a", "mail.a", "mail.*", "*"])

    assert len({job.id for job in claimed}) == len(claimed) == 3


async def test_an_overload_of_an_earlier_version_goes_with_the_next_migration(own_door, own_dsn):
    own_door.rows(
        "create function howdah.claim(queues text[] default null, n int default 1, worker uuid"
        " default null, tasks text[] default null, idle boolean default false)"
        " returns setof howdah.claimed language sql as 'select null::howdah.claimed where false'"
    )
    own_door.enqueue()

    connection = await asyncpg.connect(own_dsn)
    await migrate(connection, "howdah")
    problems = await check(connection, "howdah")
    await connection.close()

    assert len(own_door.rows("select howdah.claim()")) == 1
    assert problems == []


def test_a_claim_with_a_worker_takes_jobs_whose_time_came_without_any_chores(door, clock):
    worker = door.worker()
    job_id = door.enqueue(delay="1 s")
    before = door.claim(worker=worker)

    clock.forward("2 s")
    claimed = door.claim(worker=worker)

    assert before == []
    assert [job.id for job in claimed] == [job_id]
