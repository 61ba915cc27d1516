"""How much runs at once: in the slots of one process, and on the cores of two."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median
from uuid import UUID

import pytest

BARE = "total = 0\nfor number in range({rounds}):\n    total += number * number\n"
LIMIT = 0.6  # of the time that one process takes
BUSY = 0.55  # where two bare processes need more of one's time than this, nothing can be shown
SECOND = 1.0  # of computing, about: what one job takes on a core of its own

pytestmark = pytest.mark.slow


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("task", "kind"), [("nap", "coroutines"), ("nap_in_thread", "threads")])
async def test_fifty_jobs_of_a_second_take_little_more_than_a_second(
    work, store, ledger, eventually, scaled, record, task, kind
):
    worker, took = work(processes=1, slots=50), []
    await worker.up()

    for _ in range(scaled(5, least=2)):
        began = time.monotonic()
        jobs = [store.enqueue(task, seconds=1) for _ in range(50)]
        await eventually(lambda of=jobs: store.states(of)["succeeded"] == 50)
        took.append(time.monotonic() - began)

    record(f"50 {kind} of 1 s in one process of 50 slots", took, 2.5)
    assert max(took) < 2.5
    assert {*ledger.starts().values()} == {1}


@pytest.mark.timeout(600)
async def test_two_processes_use_two_cores(work, store, ledger, eventually, scaled, record):
    rounds = _rounds_of_a_second()
    jobs, took, bare = scaled(8, least=4), {1: [], 2: []}, {1: [], 2: []}

    for processes in (1, 2) * 3:
        bare[processes].append(_bare(rounds, processes) / processes)
        worker = work(processes=processes, slots=1)
        await worker.up()
        ids = [store.enqueue("compute", rounds=rounds) for _ in range(jobs)]
        await eventually(lambda of=ids: store.states(of)["succeeded"] == jobs, within=60)
        assert await worker.stop() == 0
        lines = [line for line in ledger.lines() if UUID(line["job"]) in {*ids}]
        took[processes].append(lines[-1]["at"] - lines[0]["at"])

    ratio = median(took[2]) / median(took[1])
    ratio_of_bare = median(bare[2]) / median(bare[1])  # half, unless others use the machine too
    record(
        f"{jobs} jobs that compute, by two processes", took[2], None,
        by_one=[round(each, 2) for each in took[1]], ratio=round(ratio, 3),
        limit_of_ratio=LIMIT, ratio_of_bare_processes=round(ratio_of_bare, 3),
    )  # fmt: skip
    if ratio > LIMIT and ratio_of_bare > BUSY:
        pytest.skip(f"others use the machine: bare processes gain as little ({ratio_of_bare:.2f})")
    assert ratio <= LIMIT


def _rounds_of_a_second():
    began = time.perf_counter()
    exec(BARE.format(rounds=1_000_000), {})
    return int(1_000_000 * SECOND / (time.perf_counter() - began))


def _bare(rounds, processes):
    """Seconds for one round of computing in so many bare processes at once."""
    began = time.monotonic()
    running = [
        subprocess.Popen([sys.executable, "-c", BARE.format(rounds=rounds)])
        for _ in range(processes)
    ]
    for process in running:
        process.wait()
    return time.monotonic() - began
