"""Jobs that take their process down end after three executions, and harm nobody beside them."""

from __future__ import annotations

import asyncio
import time

import pytest

INNOCENTS = 1000
LOST_AFTER = 4.0  # seconds: a process that holds the GIL is ended after three
LIMIT = 3  # executions
REASONS = {
    "exits": "exited with status 7",
    "segfaults": "killed by SIGSEGV",
    "holds_the_gil": "timed out after 8 s; (its process was killed|it let nothing beside it run)",
    "kills_from_thread": "killed by SIGKILL",
}

pytestmark = pytest.mark.slow


@pytest.mark.timeout(600)
@pytest.mark.parametrize("poison", REASONS)
async def test_a_job_that_kills_its_process_is_stopped_and_all_beside_it_succeed(
    work, store, ledger, eventually, scaled, chance, record, poison
):
    n = scaled(INNOCENTS, least=100)
    worker = work(processes=2, slots=20, lost_after=LOST_AFTER)
    await worker.up()
    began = time.monotonic()
    load = asyncio.create_task(_innocents(store, chance, n, 25.0 * n / INNOCENTS))
    await eventually(lambda: len(ledger.starts()) > 20)

    bad = store.enqueue(poison)
    await eventually(lambda: store.states([bad])["failed"], within=60)
    stopped = time.monotonic() - began
    innocents = await load
    await eventually(lambda: not _unfinished(store), within=90)

    states, executions = store.states(innocents), ledger.starts()[bad]
    [reason] = store.rows("select error, attempt from howdah.jobs where id = %s", bad)
    hit = sum(ledger.starts()[job] > 1 for job in innocents)
    record(
        f"poison {poison}: until it was stopped", [stopped], None, executions=executions,
        reason=repr(reason.error), innocents=dict(states), run_again=hit, charged=store.charged(),
    )  # fmt: skip
    assert executions <= LIMIT
    assert store.rows("select from howdah.jobs where error ~ %s", REASONS[poison])
    assert states == {"succeeded": n}
    assert store.charged() == 0
    # Twice where one ended in a thread while its loop was held: nobody could store that any more.
    assert {ledger.ends()[job] for job in innocents} <= {1, 2}
    assert hit < n / 4


async def _innocents(store, chance, n, within):
    """Enqueues jobs of up to a second, so that many run whenever the poison does."""
    jobs = []
    for _ in range(n):
        await asyncio.sleep(within / n)
        task = chance.choice(["nap", "nap_in_thread"])
        jobs.append(store.enqueue(task, seconds=chance.uniform(0.1, 1.0)))
    return jobs


def _unfinished(store):
    return store.one("select count(*) from howdah.jobs where state in ('ready', 'running')")
