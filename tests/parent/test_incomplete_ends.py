"""Children that end without having taken their leave: their parent brings their jobs back."""

from __future__ import annotations

import os
import signal

import psycopg
import pytest


async def test_a_child_that_says_it_stops_and_is_ended_by_a_job_is_rescued(
    start, store, ledger, eventually
):
    parent = start("-p", "1")
    await parent.ready()
    killer = store.enqueue("leave in silence", {"first": 1.0})
    other = store.enqueue("hold", {"first": 60})
    await eventually(lambda: len(ledger.starts()) == 2)

    parent.send(signal.SIGTERM)
    await parent.ended()

    assert {(store.job(each).state, store.job(each).crashes) for each in (killer, other)} == {
        ("ready", 1)
    }
    assert store.one("select count(*) from howdah.workers") == 0


async def test_without_time_to_end_jobs_are_still_handed_back(start, store, ledger, eventually):
    parent = start("-p", "1", shutdown_after=0)
    await parent.ready()
    job_id = store.enqueue("hold", {"first": 60})
    await eventually(lambda: ledger.starts()[job_id] == 1)

    parent.send(signal.SIGTERM)
    await parent.ended()

    job = store.job(job_id)
    assert (job.state, job.attempt, job.crashes) == ("ready", 0, 0)
    assert store.one("select count(*) from howdah.workers") == 0


@pytest.mark.parametrize("how", ["", ", now => true"])
async def test_a_kill_reaches_a_worker_that_is_deaf(start, store, how):
    parent = start("-p", "1", lost_after=600.0)
    (pid,) = await parent.ready()
    os.kill(pid, signal.SIGSTOP)

    store.do(f"select howdah.kill(name => '*'{how})")

    await parent.ended(within=8)


async def test_a_job_that_somebody_holds_is_brought_back_as_soon_as_it_is_free(
    start, store, dsn, ledger, eventually
):
    parent = start("-p", "1", lost_after=600.0)
    (pid,) = await parent.ready()
    job_id = store.enqueue("hold", {"first": 60})
    await eventually(lambda: ledger.starts()[job_id] == 1)

    with psycopg.connect(dsn) as holder:
        holder.execute("select from _howdah.job where id = %s for update", [job_id])
        os.kill(pid, signal.SIGKILL)
        await parent.says("was killed by SIGKILL")
        await parent.says("· worker ", 2)  # long enough for two asks
    # Long before others would take it for lost.
    await eventually(lambda: ledger.starts()[job_id] == 2, 3)

    assert store.job(job_id).crashes == 1
