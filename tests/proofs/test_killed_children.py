"""A child is killed under its parent: its jobs, and only these, run again at once."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import pytest

KILLS = 50
KILLS_OF_A_WORKER = 4  # then a new one: a parent starts children that die often ever later
SLOTS = 4

pytestmark = pytest.mark.slow


@pytest.mark.timeout(600)
async def test_jobs_of_a_killed_child_are_claimable_within_a_second(
    work, store, ledger, eventually, scaled, chance, record
):
    worker, killed, claimable, restarted = None, [], [], []
    lost, released = set(), set()

    for turn in range(scaled(KILLS, least=4)):
        if turn % KILLS_OF_A_WORKER == 0:
            if worker is not None:
                assert await worker.stop() == 0
            worker = work(processes=2, slots=SLOTS)
        children = await worker.up()
        gate = ledger.gate(turn)
        jobs = [store.enqueue("hold", gate=str(gate)) for _ in range(3 * SLOTS)]
        running = 2 * SLOTS + len(lost)
        await eventually(lambda n=running: len(ledger.unended()) == n)
        pid = chance.choice([*children])
        held = {row.id for row in _held_by(store, children[pid])}

        os.kill(pid, signal.SIGKILL)
        at = time.monotonic()
        await eventually(lambda of=children[pid]: not _held_by(store, of), every=0.002)

        claimable.append(time.monotonic() - at)
        killed.append(pid)
        died = {*ledger.unended(pid)}
        lost |= died
        released |= held - died
        gate.touch()
        await eventually(lambda of=jobs: store.states(of)["succeeded"] == len(of), within=30)
        starts = [line for line in ledger.lines("start") if line["at"] > at]
        restarted += [s["at"] - at for s in starts if s["job"] in {str(job) for job in died}]

    rerun = {job for job, n in ledger.starts().items() if n > 1}
    facts = {
        "killed_while_running": len(lost),
        "only_held": len(released),
        "rerun_but_not_dead": len(rerun - lost),
        "charged": store.charged(),
    }
    figures = record("child killed: its jobs are claimable", claimable, 1.0, **facts)
    record("child killed: its jobs run again", restarted)
    assert figures["p99"] <= 1.0
    assert {*ledger.starts().values()} == {1, 2}
    assert rerun == lost
    assert {*ledger.ends().values()} == {1}
    assert store.charged() == 0
    assert _jobs_with(store, "lost") == lost
    assert store.outcomes() == Counter(lost=len(lost), released=len(released))


def _held_by(store, worker):
    return store.rows("select id from howdah.jobs where worker = %s and state = 'running'", worker)


def _jobs_with(store, outcome):
    found = store.rows("select job_id from howdah.attempts where outcome = %s", outcome)
    return {row.job_id for row in found}
