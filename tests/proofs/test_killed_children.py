"""A child is killed under its parent: its jobs, and only these, run again at once."""

from __future__ import annotations

import os
import signal
import time

import pytest

KILLS = 50
KILLS_OF_A_WORKER = 4  # then a new one: a parent starts children that die often ever later
SLOTS = 40  # of each of two processes, all of them taken when one is killed
IN_POOL = 2  # jobs that run in processes beside them, which die with their worker

pytestmark = pytest.mark.slow


@pytest.mark.timeout(1800)
async def test_jobs_of_a_killed_child_are_claimable_within_a_second(
    work, store, ledger, eventually, scaled, chance, record
):
    worker, claimable, restarted, at_once = None, [], [], []
    lost, in_pool, released = set(), set(), set()

    for turn in range(scaled(KILLS, least=4)):
        if turn % KILLS_OF_A_WORKER == 0:
            if worker is not None:
                assert await worker.stop() == 0
            worker = work(processes=2, slots=SLOTS, process_slots=IN_POOL // 2)
        children = await worker.up()
        gate = ledger.gate(turn)
        pool = [store.enqueue("hold_in_process", gate=str(gate)) for _ in range(IN_POOL)]
        jobs = pool + [
            store.enqueue(chance.choice(["hold", "hold_in_thread"]), gate=str(gate))
            for _ in range(3 * SLOTS)
        ]
        running = 2 * SLOTS + IN_POOL + len(lost) + len(in_pool)
        await eventually(lambda n=running: len(ledger.unended()) == n, within=20)
        pid = chance.choice([*children])
        held = {row.id for row in _held_by(store, children[pid])}

        os.kill(pid, signal.SIGKILL)
        at = time.monotonic()
        await eventually(lambda of=children[pid]: not _held_by(store, of), every=0.002)

        claimable.append(time.monotonic() - at)
        died = {*ledger.unended()} & held
        lost |= died - {*pool}
        in_pool |= died & {*pool}
        released |= held - died
        at_once.append(len(died))
        gate.touch()
        await eventually(lambda of=jobs: store.states(of)["succeeded"] == len(of), within=60)
        starts = [line for line in ledger.lines("start") if line["at"] > at]
        restarted += [s["at"] - at for s in starts if s["job"] in {str(job) for job in died}]

    rerun = {job for job, n in ledger.starts().items() if n > 1}
    facts = {
        "killed_while_running": len(lost),
        "at_once": f"{min(at_once)} to {max(at_once)}",
        "in_the_pool": len(in_pool),
        "only_held": len(released),
        "rerun_but_not_dead": len(rerun - lost - in_pool),
        "charged": store.charged(),
    }
    figures = record("child killed: its jobs are claimable", claimable, 1.0, **facts)
    record("child killed: its jobs run again", restarted)
    assert figures["p99"] <= 1.0
    assert min(at_once) >= SLOTS
    assert {*ledger.starts().values()} == {1, 2}
    assert rerun == lost | in_pool
    assert {*ledger.ends().values()} == {1}
    assert store.charged() == 0
    assert _jobs_with(store, "lost") == lost
    assert _jobs_with(store, "released") >= in_pool | released
    assert {*store.outcomes()} == {"lost", "released"}


def _held_by(store, worker):
    return store.rows("select id from howdah.jobs where worker = %s and state = 'running'", worker)


def _jobs_with(store, outcome):
    found = store.rows("select job_id from howdah.attempts where outcome = %s", outcome)
    return {row.job_id for row in found}
