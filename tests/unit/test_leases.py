"""Which leases a worker holds, and for how many jobs each."""

from __future__ import annotations

from uuid import UUID, uuid4

import msgspec

from howdah.jobs import Claimed
from howdah.outcome import Outcome, Succeeded
from howdah.worker.leases import Leases


def claimed(lease: UUID) -> Claimed:
    return Claimed(
        id=uuid4(),
        lease=lease,
        queue="default",
        task="t",
        args="{}",
        priority=0,
        attempt=1,
        base_attempt=0,
        max_attempts=4,
        timeout_ms=60_000,
        delivery="at_least_once",
        leased_until=None,
        headers=None,
        tags=None,
    )


def done(job: Claimed) -> Outcome:
    return Succeeded(id=job.id, lease=job.lease)


def test_a_lease_is_done_with_only_the_last_of_its_jobs() -> None:
    lease, leases = uuid4(), Leases()
    first, second = claimed(lease), claimed(lease)
    leases.taken([first, second])

    early = leases.done_with([done(first)])
    leases.stored([done(first)])
    late = leases.done_with([done(second)])
    leases.stored([done(second)])

    assert (early, late) == ([], [lease])
    assert leases.held() == []


def test_a_batch_that_ends_all_jobs_of_two_leases_is_done_with_both() -> None:
    one, other, leases = uuid4(), uuid4(), Leases()
    jobs = [claimed(one), claimed(other), claimed(one)]
    leases.taken(jobs)

    ended = leases.done_with(done(job) for job in jobs)

    assert set(ended) == {one, other}


def test_looking_what_would_be_done_changes_nothing() -> None:
    lease, leases = uuid4(), Leases()
    leases.taken([job := claimed(lease)])

    leases.done_with([done(job)])
    leases.done_with([done(job)])

    assert leases.held() == [lease]


def test_an_outcome_that_goes_into_a_later_batch_keeps_its_lease_open() -> None:
    lease, leases = uuid4(), Leases()
    leases.taken([job := claimed(lease)])

    leases.again([done(job)])
    leases.stored([done(job)])

    assert leases.held() == [lease]


def test_after_a_sweep_nothing_is_held_and_late_outcomes_do_no_harm() -> None:
    lease, leases = uuid4(), Leases()
    leases.taken([job := claimed(lease)])

    leases.forget()
    leases.stored([done(job)])

    assert leases.held() == []


def test_each_statement_has_a_greater_number_than_the_one_before() -> None:
    worker, leases = uuid4(), Leases()

    first, second = (leases.statement(worker).values[-1] for _ in range(2))

    assert first < second


def test_a_claimed_job_is_a_value_that_cannot_be_changed() -> None:
    job = claimed(uuid4())

    changed = msgspec.structs.replace(job, attempt=2)

    assert (job.attempt, changed.attempt) == (1, 2)
