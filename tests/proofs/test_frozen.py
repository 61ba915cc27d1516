"""Processes are frozen until others have their jobs, and go on: what they say late counts not."""

from __future__ import annotations

import os
import signal
import time
from uuid import UUID

import psycopg
import pytest

LOST_AFTER = 4.0  # seconds: most turns are made with this one, to have many
DEFAULT = 30.0  # seconds
JOBS = 10
SLOTS = 5
TASKS = ("tick", "tick_in_thread")

pytestmark = pytest.mark.slow


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("settings", "lost_after", "turns"), [
    ({"lost_after": LOST_AFTER}, LOST_AFTER, 10), ({}, DEFAULT, 3),
], ids=["short lease", "default lease"])  # fmt: skip
async def test_a_frozen_child_is_ended_by_its_parent_before_others_run_its_jobs(
    work,
    store,
    ledger,
    eventually,
    is_alive,
    scaled,
    chance,
    record,
    settings,
    lost_after,
    turns,
):
    if scaled(100) < 100 and lost_after == DEFAULT:
        pytest.skip("at full scale only: each turn takes a minute")
    frozen_jobs, overlaps, claimable, late = set(), [], [], 0
    turns = scaled(turns, least=1)

    for turn in range(turns):
        if turn % 3 == 0:
            worker = work(processes=2, slots=SLOTS, **settings)
        children = await worker.up()
        before = len(ledger.ends())
        gate = ledger.gate(turn)
        jobs = [store.enqueue(TASKS[n % 2], gate=str(gate), again=0.3) for n in range(JOBS)]
        await eventually(lambda of=jobs: {*of} <= {*ledger.starts()})
        pid = chance.choice([*children])
        os.kill(pid, signal.SIGSTOP)
        stopped = time.monotonic()
        frozen = {*ledger.unended(pid)} & {*jobs}
        frozen_jobs |= frozen

        await eventually(lambda of=children[pid]: not _held_by(store, of), within=lost_after + 5)
        claimable.append(time.monotonic() - stopped)
        await eventually(
            lambda n=before, of=frozen: len(ledger.ends()) >= n + len(of), within=lost_after + 5
        )
        await eventually(
            lambda at=stopped: time.monotonic() > at + lost_after + 1, within=lost_after + 5
        )
        gate.touch()
        if is_alive(pid):
            os.kill(pid, signal.SIGCONT)
        await eventually(lambda of=jobs: store.states(of)["succeeded"] == JOBS, within=20)

        for job in frozen:
            old, new = _of(ledger, job, pid)
            overlaps.append(max(0.0, old[-1]["at"] - new[0]["at"]))
            late += store.one("select result from howdah.jobs where id = %s", job) == pid
        if turn % 3 == 2 or turn == turns - 1:
            assert await worker.stop() == 0

    facts = {"late_accepted": late, "lost_after": lost_after}
    record("child frozen: two live executions at once", overlaps, 0.0, **facts)
    record("child frozen: its jobs are claimable", claimable, lost_after, lost_after=lost_after)
    assert late == 0
    assert max(overlaps) == 0
    assert max(claimable) <= lost_after
    assert {job for job, n in ledger.starts().items() if n > 1} == frozen_jobs
    assert store.charged() == 0


@pytest.mark.timeout(900)
async def test_a_worker_frozen_with_its_parent_finishes_nothing_late(
    work, store, ledger, eventually, scaled, record
):
    tried, acked, accepted, overlaps, went_on, all_jobs = 0, 0, 0, [], [], []
    settings = {"processes": 2, "slots": SLOTS, "lost_after": LOST_AFTER}

    for turn in range(scaled(10, least=2)):
        worker = work(**settings)
        children = await worker.up()
        await _finish_something(store, ledger, children, eventually)
        await worker.up()
        gate = ledger.gate(turn)
        jobs = _some_that_end_when_thawed_and_some_that_go_on(store, gate)
        await eventually(lambda of=jobs: {*of} <= {*ledger.starts()})
        all_jobs += jobs
        other = work(**settings)
        await other.up()
        everything = [worker.pid, *children]
        for pid in everything:
            os.kill(pid, signal.SIGSTOP)
        leases = store.rows("select id, lease from _howdah.job where id = any(%s)", jobs)
        await eventually(lambda of=children: _rescued(store, of), within=LOST_AFTER + 5)
        await eventually(lambda of=jobs: all(ledger.starts()[job] == 2 for job in of))
        await eventually(lambda of=jobs: store.states(of)["succeeded"] >= JOBS // 2)

        acked += sum(_is_acked(store, *each) for each in leases)
        tried += len(leases)
        gate.touch()
        going = time.monotonic()
        for pid in everything:
            os.kill(pid, signal.SIGCONT)
        await eventually(lambda of=jobs: store.states(of)["succeeded"] == JOBS, within=20)
        new_children = await worker.up()

        lines = [line for line in ledger.lines() if line["pid"] in children]
        late = [line for line in lines if line["at"] > going]
        tried += sum(line["what"] == "end" for line in late)
        went_on.append(max([line["at"] - going for line in late], default=0.0))
        for job in jobs:
            old, new = _of(ledger, job, *children)
            both = min(old[-1]["at"], new[-1]["at"]) - max(going, new[0]["at"])
            overlaps.append(max(0.0, both))
            result = store.one("select result from howdah.jobs where id = %s", job)
            accepted += result in children
        assert not {*new_children} & {*children}
        assert [await worker.stop(), await other.stop()] == [0, 0]

    facts = {"late_finishes_tried": tried, "accepted": accepted + acked}
    record("worker frozen: two live executions at once", overlaps, 1.0, **facts)
    record("worker frozen: went on after it was thawed", went_on, 1.0)
    assert (accepted, acked) == (0, 0)
    assert max(overlaps) <= 1.0
    assert {job for job, n in ledger.starts().items() if n != 1} == {*all_jobs}
    assert {ledger.starts()[job] for job in all_jobs} == {2}
    assert store.charged() == 0


async def _finish_something(store, ledger, children, eventually):
    """Have each child's connection open, so that nothing delays what it says late."""
    while not {*children} <= {line["pid"] for line in ledger.lines("end")}:
        some = [store.enqueue("nap", seconds=0.1) for _ in range(2 * SLOTS)]
        await eventually(lambda of=some: store.states(of)["succeeded"] == len(of))


def _some_that_end_when_thawed_and_some_that_go_on(store, gate):
    """When they are thawed, half of them run again, and half have done so."""
    gates = [f"{gate}-never" if n % 5 == 4 else str(gate) for n in range(JOBS)]
    return [
        store.enqueue(TASKS[n % 2], gate=gates[n], again=n // (JOBS // 2) * 5) for n in range(JOBS)
    ]


def _is_acked(store, job, lease):
    """Whether the old lease can still finish the job, by whatever way it comes late."""
    try:
        store.rows("select from howdah.ack(%s, %s, to_jsonb(-1))", job, lease)
    except psycopg.Error as error:
        return not error.sqlstate.startswith("JQ")
    return True


def _held_by(store, worker):
    return store.one(
        "select count(*) from howdah.jobs where worker = %s and state = 'running'", worker
    )


def _rescued(store, children):
    store.rows("select from howdah.chores('{rescue}')")
    alive = "select count(*) from howdah.workers where id = any(%s)"
    return store.one(alive, [*children.values()]) == 0


def _of(ledger, job: UUID, *pids: int):
    """The lines of the old execution, and those of the new one."""
    lines = ledger.by_job()[job]
    old = [line for line in lines if line["pid"] in pids]
    return old, [line for line in lines if line["pid"] not in pids]
