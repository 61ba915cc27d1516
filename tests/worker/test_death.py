"""Workers that die, or are frozen until others took their jobs."""

from __future__ import annotations

import signal
import time

import pytest

LOST_AFTER = 2.0
RESCUE = "select done from howdah.chores('{rescue}')"


@pytest.mark.slow
async def test_twenty_jobs_of_a_killed_worker_run_again_within_lost_after_and_seven_seconds(
    work, store, ledger, eventually, record_property
):
    jobs = [store.enqueue("hold", {"first": 60}) for _ in range(20)]
    first = work(lost_after=LOST_AFTER, slots=20)
    await eventually(lambda: len(ledger.starts()) == 20)
    work(lost_after=LOST_AFTER, slots=20)
    await eventually(lambda: store.one("select count(*) from howdah.workers") == 2)

    first.kill()
    killed = time.monotonic()
    await eventually(lambda: store.states()["succeeded"] == 20, within=LOST_AFTER + 7)

    record_property("rescue_seconds", round(time.monotonic() - killed, 2))
    assert ledger.starts() == dict.fromkeys(jobs, 2)
    assert {(store.job(job_id).attempt, store.job(job_id).crashes) for job_id in jobs} == {(1, 1)}
    assert {tuple(store.attempts(job_id)) for job_id in jobs} == {("lost",)}


async def test_a_lost_session_lock_shows_a_death_long_before_lost_after(
    work, store, ledger, eventually
):
    job_id = store.enqueue("hold", {"first": 60})
    first = work(lost_after=600.0)
    await eventually(lambda: ledger.starts()[job_id] == 1)

    first.kill()
    killed = time.monotonic()
    await eventually(lambda: store.one(RESCUE), within=8)

    assert 3 < time.monotonic() - killed < 7
    assert store.state(job_id) == "ready"


async def test_a_job_that_kills_its_workers_fails_after_max_crashes(
    work, store, ledger, eventually
):
    store.do("select * from howdah.put_settings(max_crashes => 2)")
    job_id = store.enqueue("hold", {"first": 60, "again": 60})

    for starts in (1, 2):
        worker = work(lost_after=1.0)
        await eventually(lambda n=starts: ledger.starts()[job_id] == n)
        worker.kill()
        await eventually(lambda: store.one(RESCUE))

    assert store.job(job_id).state == "failed"
    assert store.job(job_id).error == "worker lost"
    assert store.attempts(job_id) == ["lost", "lost"]


async def test_a_job_to_be_run_at_most_once_is_lost_with_its_worker(
    work, store, ledger, eventually
):
    """DPQ-02."""
    job_id = store.enqueue("once", {"first": 60}, delivery="at_most_once")
    worker = work(lost_after=1.0)
    await eventually(lambda: ledger.starts()[job_id] == 1)

    worker.kill()
    work(lost_after=1.0)
    await eventually(lambda: store.one(RESCUE) or store.state(job_id) == "failed")
    after = store.enqueue("hold")
    await eventually(lambda: store.state(after) == "succeeded")

    assert (store.job(job_id).state, store.job(job_id).error) == ("failed", "lost")
    assert ledger.starts()[job_id] == 1


async def test_a_frozen_worker_cannot_finish_what_others_ran_and_goes_on_under_a_new_id(
    work, store, ledger, eventually
):
    jobs = [store.enqueue("hold", {"first": 0.9}) for _ in range(10)]
    frozen = work(lost_after=1.0, slots=10)
    await eventually(lambda: len(ledger.starts()) == 10)
    frozen.send(signal.SIGSTOP)
    old = store.one("select id from howdah.workers where pid = %s", frozen.pid)
    other = work(lost_after=1.0, slots=10)
    await eventually(lambda: store.one(RESCUE) or store.states()["succeeded"])
    await eventually(lambda: store.states()["succeeded"] == 10)
    kept = {job_id: store.job(job_id) for job_id in jobs}

    frozen.send(signal.SIGCONT)
    new = await eventually(
        lambda: store.one(
            "select id from howdah.workers where pid = %s and id <> %s", frozen.pid, old
        )
    )
    other.kill()
    after = store.enqueue("hold")
    await eventually(lambda: store.state(after) == "succeeded")

    assert {job_id: store.job(job_id) for job_id in jobs} == kept
    assert ledger.starts() == {**dict.fromkeys(jobs, 2), after: 1}
    assert store.job(after).worker == new
    assert store.one("select count(*) from howdah.workers where id = %s", old) == 0


async def test_a_frozen_worker_cannot_finish_what_another_is_running(
    work, store, ledger, eventually
):
    jobs = [store.enqueue("hold", {"first": 0.9, "again": 1.5}) for _ in range(5)]
    frozen = work(lost_after=1.0, slots=5)
    await eventually(lambda: len(ledger.starts()) == 5)
    frozen.send(signal.SIGSTOP)
    other = work(lost_after=1.0, slots=5, name="other")
    await eventually(lambda: store.one(RESCUE) or sum(ledger.starts().values()) == 10)
    await eventually(lambda: sum(ledger.starts().values()) == 10)
    old = store.rows("select id from howdah.workers where name <> 'other'")

    frozen.send(signal.SIGCONT)
    await eventually(lambda: ledger.ends() >= 5)
    await eventually(lambda: store.states()["succeeded"] == 5)

    assert old == []
    assert {store.job(job_id).result for job_id in jobs} == {str(other.pid)}
    assert ledger.ends() == 10


async def test_a_frozen_worker_that_nobody_missed_runs_its_own_jobs_once_more_and_keeps_its_slots(
    work, store, ledger, eventually
):
    jobs = [store.enqueue("hold", {"first": 60}) for _ in range(5)]
    worker = work(lost_after=1.0, slots=5)
    await eventually(lambda: len(ledger.starts()) == 5)
    worker.send(signal.SIGSTOP)
    old = store.one("select id from howdah.workers where pid = %s", worker.pid)

    await eventually(lambda: store.one(RESCUE) == 5)
    worker.send(signal.SIGCONT)
    await eventually(lambda: store.states()["succeeded"] == 5)
    more = [store.enqueue("hold", {"first": 0.05}) for _ in range(20)]
    await eventually(lambda: store.states()["succeeded"] == 25)

    assert ledger.starts() == {**dict.fromkeys(jobs, 2), **dict.fromkeys(more, 1)}
    assert {store.job(job_id).worker for job_id in jobs}.isdisjoint({old})


@pytest.mark.slow
async def test_forty_kills_under_load_lose_nothing(work, store, ledger, eventually):
    jobs = [store.enqueue("hold", {"first": 0.2, "again": 0.05}) for _ in range(2000)]
    store.do("select * from howdah.put_settings(max_crashes => 1000)")
    workers = [work(lost_after=1.0, slots=20) for _ in range(2)]

    for turn in range(40):
        started = len(ledger.lines("start"))
        await eventually(lambda n=started: len(ledger.lines("start")) > n + 10 or _done(store), 20)
        workers[turn % 2].kill()
        workers[turn % 2] = work(lost_after=1.0, slots=20)
    await eventually(lambda: _done(store), within=90)

    assert store.states() == {"succeeded": len(jobs)}
    lost = store.one("select count(*) from howdah.attempts where outcome = 'lost'")
    assert sum(ledger.starts().values()) - len(jobs) <= lost


def _done(store):
    return store.states()["succeeded"] == 2000
