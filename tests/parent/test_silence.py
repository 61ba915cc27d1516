"""A child that is stopped, or whose loop does not turn; a parent that is stopped; all of them."""

from __future__ import annotations

import os
import time
from signal import SIGCONT, SIGSTOP

import pytest

LOST_AFTER = 4.0  # a child may be silent for 3 s of them
STOPPED_FOR = 3.0


async def test_a_silent_child_is_killed_before_its_jobs_are_lost_and_they_never_overlap(
    start, store, ledger, eventually, alive
):
    parent = start("-p", "2", "-c", "1", lost_after=LOST_AFTER)
    await parent.ready(2)
    frozen = store.enqueue("hold", {"first": 60, "again": 0.2})
    await eventually(lambda: ledger.starts()[frozen] == 1)
    stuck = store.enqueue("backtrack")
    await eventually(lambda: ledger.starts()[stuck] == 1)
    pids = {job: store.one("select pid from howdah.workers where id = %s", store.job(job).worker)
            for job in (frozen, stuck)}  # fmt: skip
    gone: dict[object, float] = {}

    os.kill(pids[frozen], SIGSTOP)
    stopped = time.monotonic()

    def both_gone() -> bool:
        for job, pid in pids.items():
            if job not in gone and not alive(pid):
                gone[job] = time.monotonic()
        return len(gone) == 2

    await eventually(both_gone)
    await eventually(lambda: store.states() == {"succeeded": 2})

    assert 2.5 < gone[frozen] - stopped < LOST_AFTER
    assert ledger.starts() == {frozen: 2, stuck: 2}
    for job, pid in pids.items():
        first, second = (each for each in ledger.lines("start") if each["job"] == str(job))
        assert first["pid"] == pid
        assert second["at"] > gone[job] - 0.1  # as exactly as we could see it
        assert store.job(job).result != pid
    assert parent.errors.count("warning: process ") == 2
    assert parent.errors.count("has been silent for") == 2
    assert parent.errors.count("was killed for its silence with 1 job; another starts") == 2


@pytest.mark.slow
async def test_a_parent_that_was_stopped_kills_nobody_and_nothing_runs_again(
    start, store, ledger, eventually
):
    parent = start("-p", "2", lost_after=1.0)
    pids = await parent.ready(2)
    job_id = store.enqueue("hold", {"first": STOPPED_FOR + 1})
    await eventually(lambda: ledger.starts()[job_id] == 1)

    parent.send(SIGSTOP)
    await eventually(lambda: _length(ledger) > STOPPED_FOR)
    parent.send(SIGCONT)
    await eventually(lambda: store.state(job_id) == "succeeded")

    assert ledger.starts() == {job_id: 1}
    assert [each["pid"] for each in (await parent.status())["processes"]] == pids
    assert "silent" not in parent.errors


@pytest.mark.slow
async def test_when_all_were_stopped_what_others_took_over_ends_within_a_second(
    start, store, ledger, eventually
):
    first = start("-p", "2", lost_after=1.0)
    pids = await first.ready(2)
    jobs = [store.enqueue("hold", {"first": 60, "again": 1.5}) for _ in range(2)]
    await eventually(lambda: len(ledger.starts()) == 2)
    kept = _held(store)
    for pid in (*pids, first.pid):
        os.kill(pid, SIGSTOP)
    start("-p", "1", lost_after=1.0)
    await eventually(lambda: sum(ledger.starts().values()) == 4)

    for pid in (*pids, first.pid):
        os.kill(pid, SIGCONT)
    continued = time.monotonic()
    await eventually(lambda: store.states() == {"succeeded": 2})

    late = [each["at"] - continued for each in ledger.lines("alive") if each["pid"] in pids]
    assert max(late) <= 1
    assert {store.job(job_id).result for job_id in jobs}.isdisjoint(pids)
    assert kept.isdisjoint(_held(store))
    assert ledger.starts() == dict.fromkeys(jobs, 2)
    await first.says("· worker ", 4)  # two new processes, under new ids


@pytest.mark.slow
async def test_while_the_loop_is_blocked_the_parent_beats_and_the_log_names_the_task(
    start, store, ledger, eventually
):
    parent = start("-p", "1", lost_after=LOST_AFTER)
    await parent.ready()
    other = start("-p", "1", lost_after=LOST_AFTER)
    await other.ready()
    job_id = store.enqueue("spin", {"length": 2.0})
    await eventually(lambda: ledger.starts()[job_id] == 1)
    worker = store.job(job_id).worker

    ages = []
    while not ledger.ends():
        ages.append(store.one("select extract(epoch from clock_timestamp() - beat_at)::float8 "
                              "from howdah.workers where id = %s", worker))  # fmt: skip
    await eventually(lambda: store.state(job_id) == "succeeded")

    assert max(ages) < 1.2
    assert ledger.starts() == {job_id: 1}
    assert store.job(job_id).crashes == 0
    said = parent.errors + other.errors
    assert said.count("spin blocks the event loop for ") == 1
    assert "duties.py:" in said
    assert "silent" not in said


def _length(ledger):
    at = [line["at"] for line in ledger.lines("alive")]
    return max(at) - min(at) if at else 0


def _held(store):
    return {row.id for row in store.rows("select id from howdah.workers")}
