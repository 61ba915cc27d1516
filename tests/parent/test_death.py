"""A child dies, or its parent does: what ran comes back at once, and nothing else is touched."""

from __future__ import annotations

import os
import time
from signal import SIGKILL

import pytest

SOON = 4.0  # seconds: sooner than anybody but the parent would have noticed


async def test_a_killed_child_gives_back_what_it_ran_at_once_and_is_replaced(
    start, store, ledger, eventually, record_property
):
    parent = start("-p", "2", "-c", "2", "-q", "main")
    pids = await parent.ready(2)
    once = store.enqueue("once", queue="main", delivery="at_most_once")
    held = [store.enqueue("hold", {"first": 60}, queue="main") for _ in range(3)]
    await eventually(lambda: len(ledger.starts()) == 4)
    victim = store.job(once).worker
    pid = store.one("select pid from howdah.workers where id = %s", victim)
    lost = [job_id for job_id in held if store.job(job_id).worker == victim]
    kept = {job_id: store.job(job_id) for job_id in held if job_id not in lost}
    claimed = store.enqueue("hold", queue="aside")
    store.do("select from howdah.claim(array['aside'], 1, worker => %s)", victim)

    os.kill(pid, SIGKILL)
    killed = time.monotonic()
    await eventually(lambda: store.state(claimed) == "ready", within=SOON)
    record_property("rescue_seconds", round(time.monotonic() - killed, 3))
    await eventually(lambda: all(store.state(job_id) == "succeeded" for job_id in lost))
    await parent.says("· worker ", 3)
    after = [each["pid"] for each in (await parent.status())["processes"]]

    assert (store.job(once).state, store.job(once).error) == ("failed", "lost")
    assert [(store.job(each).attempt, store.job(each).crashes) for each in lost] == [
        (1, 1) for _ in lost
    ]
    assert (store.job(claimed).attempt, store.job(claimed).crashes) == (0, 0)
    assert store.attempts(claimed) == ["released"]
    assert {job_id: store.job(job_id) for job_id in kept} == kept
    assert ledger.starts() == {once: 1, **dict.fromkeys(kept, 1), **dict.fromkeys(lost, 2)}
    assert len(after) == 2
    assert pid not in after
    assert set(pids) - {pid} < set(after)
    assert f"(pid {pid}) was killed by SIGKILL with {1 + len(lost)} job" in parent.errors


async def test_with_the_parent_dies_all_that_it_and_its_jobs_have_started(
    start, store, ledger, eventually
):
    parent = start("-p", "2")
    await parent.ready(2)
    jobs = [store.enqueue("mother") for _ in range(2)]
    await eventually(lambda: ledger.starts() == dict.fromkeys(jobs, 1))
    before = parent.family()

    parent.send(SIGKILL)
    await parent.ended()
    await eventually(lambda: parent.family() == [], within=2)

    assert len(before) >= 5  # parent, two children, two processes of jobs


async def test_what_a_dead_child_has_started_dies_with_it(start, store, ledger, eventually, alive):
    parent = start("-p", "1")
    (pid,) = await parent.ready()
    before = {*parent.family()}
    store.enqueue("mother")
    await eventually(lambda: len(ledger.starts()) == 1)
    (of_job,) = {*parent.family()} - before

    os.kill(pid, SIGKILL)
    await eventually(lambda: not alive(of_job), within=SOON)


@pytest.mark.slow
async def test_of_twenty_killed_children_every_job_is_claimable_within_a_second(
    start, store, ledger, eventually, record_property
):
    store.do("select * from howdah.put_settings(max_crashes => 1000)")
    parent = start("-p", "4", "-q", "main")  # or one would be waited for longer and longer
    await parent.ready(4)
    took = []
    for _ in range(20):
        job_id = store.enqueue("hold", {"first": 60}, queue="main")
        await eventually(lambda: ledger.starts()[job_id] == 1)  # noqa: B023 - within this turn
        pid = ledger.lines("start")[-1]["pid"]

        os.kill(pid, SIGKILL)
        killed = time.monotonic()
        await eventually(lambda: store.job(job_id).crashes == 1)  # noqa: B023 - within this turn
        took.append(time.monotonic() - killed)
        await eventually(lambda: store.state(job_id) == "succeeded", within=30)  # noqa: B023

    record_property("rescue_seconds", sorted(took))
    assert max(took) < 1


async def test_a_job_in_a_process_of_its_own_is_no_suspect_when_its_worker_dies(
    start, store, ledger, eventually
):
    parent = start("-p", "1")
    (pid,) = await parent.ready()
    here, apart = (
        store.enqueue("hold", {"first": 60}),
        store.enqueue("tell", {"word": "x", "takes": 60}),
    )
    await parent.says("the word is x")
    await eventually(lambda: ledger.starts()[here] == 1)

    os.kill(pid, SIGKILL)
    await eventually(lambda: store.state(here) == "succeeded")
    await parent.says("the word is x", 2)

    assert (store.job(here).crashes, store.job(apart).crashes) == (1, 0)
