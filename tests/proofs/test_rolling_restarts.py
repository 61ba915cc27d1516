"""Workers are restarted in turn, all the while that jobs come and run."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from uuid import UUID

import pytest

RESTARTS = 100
WORKERS = 3
SHUTDOWN_AFTER = 2.0  # seconds: some long jobs do not end in that time
EVERY, AT_ONCE = 0.05, 4  # jobs come
SHORT = {  # shares of the jobs, of up to 0.3 s; those that run at most once have time to end
    "nap": 40, "nap_in_thread": 30, "nap_in_process": 3, "nap_once": 10, "nap_once_in_process": 1,
    "effect": 8, "effect_in_thread": 4,
}  # fmt: skip
LONG = {"nap": 2, "effect": 1, "effect_in_thread": 0.6, "nap_in_process": 0.4}  # of 1 to 4 s
TRANSACTIONAL = ("effect", "effect_in_thread")  # their commits say how often they ran

pytestmark = pytest.mark.slow


@pytest.mark.timeout(2400)
async def test_rolling_restarts_lose_and_charge_nothing(
    work, store, ledger, eventually, scaled, chance, record
):
    store.do("drop table if exists effect; create table effect (job uuid)")
    jobs, told, leaving, bare, is_over = {}, {}, [], [], asyncio.Event()
    load = asyncio.create_task(_enqueue_until(is_over, store, chance, jobs))

    def start(number):
        settings = {"slots": 10, "process_slots": 2, "shutdown_after": SHUTDOWN_AFTER}
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
        bare.append(await _bare_start())
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
    effects = Counter(row.job for row in store.rows("select job from effect"))
    in_transactions = {job for job, task in jobs.items() if task in TRANSACTIONAL}
    facts = {
        "jobs": len(jobs),
        "lost": len(jobs) - store.states()["succeeded"],
        "charged": store.charged(),
        "run_twice": sum(n != 1 for n in (ledger.ends() + effects).values()),
        "exits": dict(codes),
        "outcomes": dict(store.outcomes()),
    }
    record("restart: last claim after SIGTERM", late, 0.1, restarts=len(leaving), **facts)
    # A job in the pool may meet a worker that has just come: its process has to start first.
    limits = {"loop and threads": 1.0, "pool": max(1.0, *bare)}
    for kinds, waits in elsewhere.items():
        record(f"restart: released jobs start elsewhere, {kinds}", waits, limits[kinds])
    record("restart: a bare process that imports as much as one of the pool", bare)
    assert {*ledger.ends()} == {*jobs} - in_transactions
    assert {*ledger.ends().values()} == {1}
    assert {*effects} == in_transactions
    assert {*effects.values()} == {1}
    assert _most_starts(ledger, jobs, "nap_once", "nap_once_in_process") == 1
    assert store.charged() == 0
    assert {*store.outcomes()} <= {"released"}
    assert {*codes} == {0}
    assert max(late) <= 0.1
    assert elsewhere["loop and threads"]
    assert all(max(waits, default=0) <= limits[kinds] for kinds, waits in elsewhere.items())


LAST_CLAIMS = """
    select worker, max(started_at) as last
    from (select worker, started_at from howdah.jobs
          union all select worker, started_at from howdah.attempts) claims
    group by worker"""


async def _enqueue_until(is_over, store, chance, jobs):
    """Each with its delivery, since they come before a worker has declared the tasks."""
    kinds = [(task, 0.0, 0.3) for task in SHORT] + [(task, 1.0, 4.0) for task in LONG]
    shares = [*SHORT.values(), *LONG.values()]
    while not is_over.is_set():
        await asyncio.sleep(EVERY)
        for task, least, most in chance.choices(kinds, shares, k=AT_ONCE):
            delivery = "transactional" if task in TRANSACTIONAL else "at_least_once"
            options = {"delivery": "at_most_once" if "once" in task else delivery}
            seconds = chance.uniform(least, most)
            jobs[store.enqueue(task, options=options, seconds=seconds)] = task


async def _bare_start():
    began = time.monotonic()
    bare = await asyncio.create_subprocess_exec(sys.executable, "-c", "import howdah.isolated")
    assert await bare.wait() == 0
    return time.monotonic() - began


def _most_starts(ledger, jobs, *tasks):
    return max(n for job, n in ledger.starts().items() if jobs[job] in tasks)


def _waits_of_released(store, ledger):
    """Seconds from each release to the next start of the job, which is there, by executor."""
    starts = defaultdict(list)
    for line in ledger.lines("start"):
        starts[UUID(line["job"])].append(line["wall"])
    waits = {"loop and threads": [], "pool": []}
    for row in store.rows(
        "select a.job_id, a.finished_at, j.task from howdah.attempts a "
        "join howdah.jobs j on j.id = a.job_id"
    ):
        released = row.finished_at.timestamp()
        times = starts[row.job_id]
        kind = "pool" if row.task.endswith("_in_process") else "loop and threads"
        waits[kind].append(times[bisect_right(times, released)] - released)
    return waits
