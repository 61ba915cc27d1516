"""howdah.finish: many outcomes in one round trip; answers with those refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb


def test_all_succeeded_when_nothing_else_is_said(door):
    door.enqueue_json(*[{"task": "t"}] * 300)
    jobs = door.claim(300)

    refused = door.finish(jobs)

    assert refused == {}
    assert door.counts() == (0, 300)
    assert door.one("select count(*) from howdah.jobs where state = 'succeeded'") == 300


def test_each_outcome_sends_its_job_on_its_way(door):
    door.enqueue_json(*[{"task": "t"}] * 6)
    jobs = door.claim(6)
    outcomes = ["succeeded", "retry", "failed", "cancelled", "snoozed", "released"]
    hour = timedelta(hours=1)

    refused = door.finish(
        jobs,
        outcomes=outcomes,
        retry_in=[None, hour, None, None, hour, None],
        results=[Jsonb(1), Jsonb(2), Jsonb({"code": 51}), None, None, None],
        errors=[None, "e1", "e2", "e3", None, None],
        reasons=[None, "timeout", "error", None, None, None],
    )
    rows = [door.job(job.id) for job in jobs]

    assert refused == {}
    assert [row.state for row in rows] == [
        "succeeded",
        "scheduled",
        "failed",
        "cancelled",
        "scheduled",
        "ready",
    ]
    assert [row.attempt for row in rows] == [1, 1, 1, 1, 0, 0]
    assert [row.result for row in rows] == [1, None, {"code": 51}, None, None, None]
    assert (rows[1].error, rows[2].error) == ("e1", "e2")


def test_reasons_are_what_the_attempts_say(door):
    door.enqueue_json(*[{"task": "t"}] * 2)
    jobs = door.claim(2)

    door.finish(jobs, outcomes=["retry", "failed"], reasons=["timeout", "error"], errors=["a", "b"])

    said = [door.attempts(job.id)[0] for job in jobs]
    assert [(a.outcome, a.error) for a in said] == [("timeout", "a"), ("error", "b")]


def test_a_retry_without_room_fails(door):
    door.enqueue(max_attempts=1)
    jobs = door.claim()

    door.finish(jobs, outcomes=["retry"], errors=["boom"])

    assert (door.state(jobs[0].id), door.job(jobs[0].id).error) == ("failed", "boom")


def test_snoozing_is_not_charged_however_often(door):
    job_id = door.enqueue(max_attempts=1)

    for _ in range(3):
        job = door.take()
        door.finish([job], outcomes=["snoozed"], retry_in=[timedelta(0)])

    assert door.job(job_id).state in {"ready", "scheduled"}
    assert door.job(job_id).attempt == 0


@pytest.mark.parametrize("unliked", ["nestloop", "hashjoin", "mergejoin"])
def test_those_that_wait_again_do_so_in_the_order_given(another_door, unliked):
    """Whatever plan the server likes."""
    door = another_door(options=f"-c enable_{unliked}=off")
    door.enqueue_json(*[{"task": "t"}] * 30)
    jobs = door.claim(30)[::-1]

    door.finish(jobs, outcomes=["snoozed"] * 30)

    assert [job.id for job in door.claim(30)] == [job.id for job in jobs]


def test_a_foreign_token_among_good_ones_stops_nobody(door):
    door.enqueue_json(*[{"task": "t"}] * 3)
    jobs = door.claim(3)
    leases = [jobs[0].lease, uuid4(), jobs[2].lease]

    refused = door.call("finish", ids=[job.id for job in jobs], leases=leases)

    assert [(row.id, row.reason) for row in refused] == [(jobs[1].id, "lost")]
    assert [door.state(job.id) for job in jobs] == ["succeeded", "running", "succeeded"]


def test_the_same_finish_again_is_already_done(door):
    door.enqueue_json(*[{"task": "t"}] * 3)
    jobs = door.claim(3)
    door.finish(jobs)

    again = door.finish(jobs)

    assert again == {job.id: "done" for job in jobs}
    assert door.counts() == (0, 3)


def test_the_same_failures_again_are_already_done(door):
    door.enqueue_json(*[{"task": "t"}] * 2)
    jobs = door.claim(2)
    options = {"outcomes": ["retry", "failed"], "errors": ["a", "b"]}
    door.finish(jobs, **options)

    again = door.finish(jobs, **options)

    assert again == {job.id: "done" for job in jobs}
    assert [len(door.attempts(job.id)) for job in jobs] == [1, 1]


def test_unknown_jobs_are_lost(door):
    job_id = uuid4()

    refused = door.call("finish", ids=[job_id], leases=[uuid4()])

    assert [(row.id, row.reason) for row in refused] == [(job_id, "lost")]


def test_an_expired_lease_without_worker_is_lost(door, clock):
    door.enqueue_json({"task": "a", "timeout": "5 s"}, {"task": "b", "timeout": "5 min"})
    jobs = door.claim(2)
    clock.forward("10 s")

    refused = door.finish(jobs)

    assert refused == {jobs[0].id: "lost"}
    assert [door.state(job.id) for job in jobs] == ["running", "succeeded"]


def test_the_same_job_twice_in_one_call_is_finished_once(door):
    door.enqueue()
    [job] = door.claim()

    door.finish([job, job])

    assert door.counts() == (0, 1)


def test_nothing_to_finish_is_no_error(door):
    refused = door.rows("select * from howdah.finish(ids => '{}', leases => '{}')")

    assert refused == []


def test_a_row_that_somebody_holds_is_busy_and_stops_nobody_else(door, another_door):
    door.enqueue_json(*[{"task": "t"}] * 3)
    jobs = door.claim(3)
    other = another_door()
    other.rows("begin")
    other.rows("select from _howdah.job where id = %s for update", jobs[1].id)

    refused = door.finish(jobs, skip_locked=True)
    other.rows("rollback")
    again = door.finish([jobs[1]], skip_locked=True)

    assert refused == {jobs[1].id: "busy"}
    assert again == {}
    assert door.counts() == (0, 3)


def test_failures_of_held_rows_are_busy_too(door, another_door):
    door.enqueue_json(*[{"task": "t"}] * 2)
    jobs = door.claim(2)
    other = another_door()
    other.rows("begin")
    other.rows("select from _howdah.job where id = %s for update", jobs[0].id)

    refused = door.finish(jobs, outcomes=["retry", "retry"], skip_locked=True)
    other.rows("rollback")

    assert refused == {jobs[0].id: "busy"}
    assert [door.state(job.id) for job in jobs] == ["running", "scheduled"]
    assert [len(door.attempts(job.id)) for job in jobs] == [0, 1]


def test_of_a_failure_that_waits_for_a_success_nothing_is_written_down(
    door, another_door, waits_for_lock
):
    """As after a commit whose answer was lost: the attempt succeeded, and there is no other."""
    job_id, job = door.enqueue(), door.take()
    holder, late = another_door(), another_door()
    holder.rows("begin")
    holder.ack(job)

    with ThreadPoolExecutor() as aside:
        refused = aside.submit(late.finish, [job], outcomes=["crashed"], errors=["lost"])
        waits_for_lock(late)
        holder.rows("commit")

        assert refused.result() == {job_id: "lost"}
    assert door.one("select count(*) from howdah.attempts where job_id = %s", job_id) == 0


def test_without_skip_locked_a_held_row_fails_the_call_after_a_second(door, another_door):
    import psycopg

    door.enqueue_json(*[{"task": "t"}] * 2)
    jobs = door.claim(2)
    other = another_door()
    other.rows("begin")
    other.rows("select from _howdah.job where id = %s for update", jobs[0].id)

    with pytest.raises(psycopg.errors.LockNotAvailable):
        door.finish(jobs)

    assert door.counts() == (2, 0)
    assert door.one("select current_setting('lock_timeout')") == "0"


def test_a_cancel_request_that_meets_a_success_ends_cancelled_with_its_result(door):
    door.enqueue()
    [job] = door.claim()
    assert door.value("cancel", id=job.id)

    door.finish([job], results=[Jsonb({"n": 1})])

    assert (door.state(job.id), door.job(job.id).result) == ("cancelled", {"n": 1})


def test_done_leases_are_forgotten(door):
    worker = door.worker()
    door.enqueue_json(*[{"task": "t"}] * 2)
    jobs = door.claim(2, worker=worker)

    door.finish(jobs, done=[jobs[0].lease])

    assert door.one("select count(*) from _howdah.lease") == 0


def test_a_lease_said_to_be_done_too_early_loses_no_job(door, clock):
    worker = door.worker()
    door.enqueue_json(*[{"task": "t"}] * 2)
    first, second = door.claim(2, worker=worker)

    door.finish([first], done=[first.lease])
    clock.forward("10 min")
    for _ in range(3):
        door.chores()

    assert door.state(second.id) in {"ready", "running"}
    assert door.job(second.id) is not None
    assert [job.id for job in door.claim(5)] == [second.id]


@pytest.mark.parametrize(
    "bad",
    [
        {"outcomes": ["nonsense"]},
        {"outcomes": ["succeeded", "succeeded"]},
        {"outcomes": [None]},
        {"leases": []},
        {"results": [None, None]},
        {"retry_in": [timedelta(seconds=-5)], "outcomes": ["retry"]},
    ],
    ids=str,
)
def test_arrays_that_do_not_fit_are_refused_whole(door, refused, bad):
    door.enqueue()
    [job] = door.claim()
    arguments = {"ids": [job.id], "leases": [job.lease]} | bad

    with refused("JQ001"):
        door.call("finish", **arguments)

    assert door.state(job.id) == "running"


def test_a_finish_mixed_of_many_tasks_queues_and_workers_works(door):
    workers = [door.worker(f"w{n}") for n in range(3)]
    door.enqueue_json(*[{"task": f"t{n % 7}", "queue": f"q{n % 5}"} for n in range(90)])
    jobs = [job for worker in workers for job in door.claim(30, worker=worker)]

    refused = door.finish(jobs, outcomes=["succeeded", "failed", "released"] * 30)

    assert refused == {}
    assert door.counts() == (30, 60)


@pytest.mark.parametrize("road", ["rescue", "expiry", "release", "retry by hand"])
def test_who_lost_the_job_is_told_that_it_is_lost(door, clock, road):
    worker = door.worker()
    door.enqueue(timeout="10 s")
    [job] = door.claim(worker=None if road == "expiry" else worker)
    match road:
        case "release":
            door.release(job)
        case "retry by hand":
            door.ack(job)
            door.value("retry", id=job.id)
        case _:
            clock.forward("1 min")
            door.chores()
    before = door.job(job.id)

    refused = door.finish([job], results=[Jsonb("late")])

    assert refused == {job.id: "lost"}
    assert door.job(job.id) == before


def test_a_success_after_a_retry_under_the_same_lease_is_not_done(door):
    door.enqueue()
    [job] = door.claim()
    door.finish([job], outcomes=["retry"])

    refused = door.finish([job], outcomes=["succeeded"])

    assert refused == {job.id: "lost"}


def test_a_time_long_ago_makes_a_job_ready_at_once(door):
    door.enqueue_json(*[{"task": "t"}] * 2)
    jobs, long_ago = door.claim(2), datetime(1960, 1, 1, tzinfo=UTC)

    refused = door.finish(jobs, outcomes=["retry", "snoozed"], retry_at=[long_ago] * 2)

    assert refused == {}
    assert [door.state(job.id) for job in jobs] == ["ready", "ready"]
    assert sorted(job.attempt for job in door.claim(2)) == [1, 2]


@pytest.mark.parametrize("outcomes", [None, ["succeeded"] * 2, ["retry"] * 2], ids=str)
@pytest.mark.parametrize("place", [0, 1])
def test_of_two_leases_for_one_job_the_wrong_one_is_lost(door, place, outcomes):
    door.enqueue()
    job = door.take()
    leases = [job.lease, job.lease]
    leases[place] = uuid4()

    refused = door.call("finish", ids=[job.id] * 2, leases=leases, outcomes=outcomes)

    assert [(row.id, row.reason) for row in refused] == [(job.id, "lost")]
    assert door.state(job.id) == ("succeeded" if outcomes != ["retry"] * 2 else "scheduled")
