"""Workers are restarted in turn, all the while that jobs come and run."""

from __future__ import annotations

import asyncio
import signal
from bisect import bisect_right
from collections import Counter, defaultdict
from uuid import UUID

import pytest

RESTARTS = 100
WORKERS = 3
SHUTDOWN_AFTER = 2.0  # seconds: some long jobs do not end in that time
EVERY, AT_ONCE = 0.05, 4  # jobs come
LONG = 0.04  # share of jobs that take seconds

pytestmark = pytest.mark.slow


@pytest.mark.timeout(1800)
async def test_rolling_restarts_lose_and_charge_nothing(
    work, store, ledger, eventually, scaled, chance, record
):
    jobs, told, leaving, is_over = [], {}, [], asyncio.Event()
    load = asyncio.create_task(_enqueue_until(is_over, store, chance, jobs))

    def start(number):
        settings = {"slots": 10, "shutdown_after": SHUTDOWN_AFTER}
        return work(processes=1 + number % 2, **settings)

    workers = [start(number) for number in range(WORKERS)]
    for worker in workers:
        await worker.up()
    for turn in range(scaled(RESTARTS, least=6)):
        place = turn % WORKERS
        old = workers[place]
        children = await old.up()
        now = store.now()
        old.send(signal.SIGTERM)
        told |= dict.fromkeys(children.values(), now)
        leaving.append(old)
        workers[place] = start(turn)
        await workers[place].up()
    is_over.set()
    await load
    await eventually(lambda: store.states()["succeeded"] == len(jobs), within=60)
    await eventually(lambda: all(worker.code is not None for worker in leaving), within=40)
    codes = Counter(worker.code for worker in leaving)

    late = [
        max(0.0, (row.last - told[row.worker]).total_seconds())
        for row in store.rows(LAST_CLAIMS)
        if row.worker in told
    ]
    elsewhere = _waits_of_released(store, ledger)
    facts = {
        "jobs": len(jobs),
        "lost": len(jobs) - store.states()["succeeded"],
        "charged": store.charged(),
        "run_twice": sum(n != 1 for n in ledger.ends().values()),
        "exits": dict(codes),
        "outcomes": dict(store.outcomes()),
    }
    record("restart: last claim after SIGTERM", late, 0.1, restarts=len(leaving), **facts)
    record("restart: released jobs start elsewhere", elsewhere, 1.0)
    assert {*ledger.ends()} == {*jobs}
    assert {*ledger.ends().values()} == {1}
    assert store.charged() == 0
    assert {*store.outcomes()} <= {"released"}
    assert {*codes} == {0}
    assert max(late) <= 0.1
    assert elsewhere
    assert max(elsewhere) <= 1.0


LAST_CLAIMS = """
    select worker, max(started_at) as last
    from (select worker, started_at from howdah.jobs
          union all select worker, started_at from howdah.attempts) claims
    group by worker"""


async def _enqueue_until(is_over, store, chance, jobs):
    while not is_over.is_set():
        await asyncio.sleep(EVERY)
        for _ in range(AT_ONCE):
            if chance.random() < LONG:
                task, seconds = "nap", chance.uniform(1, 4)
            else:
                task, seconds = chance.choice(["nap", "nap_in_thread"]), chance.uniform(0, 0.3)
            jobs.append(store.enqueue(task, seconds=seconds))


def _waits_of_released(store, ledger):
    """Seconds from each release to the job's next start; every one has such a start."""
    starts = defaultdict(list)
    for line in ledger.lines("start"):
        starts[UUID(line["job"])].append(line["wall"])
    waits = []
    for row in store.rows("select job_id, finished_at from howdah.attempts"):
        released = row.finished_at.timestamp()
        times = starts[row.job_id]
        waits.append(times[bisect_right(times, released)] - released)
    return waits
