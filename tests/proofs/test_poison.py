"""Jobs that take their process down end after three executions, and harm nobody beside them."""

from __future__ import annotations

import asyncio
import time

import pytest

INNOCENTS = 1000
WITHIN = 25.0  # seconds in which they come
LOST_AFTER = 4.0  # seconds: a process that holds the GIL is ended after three
LIMIT = 3  # executions
MEMORY = 256  # MiB
KINDS = {"nap": 0.5, "nap_in_thread": 0.45, "nap_in_process": 0.05}  # shares of the innocents
HELD = "(its process was killed|it let nothing beside it run)"
REASONS = {
    "exits_on_loop": "exited with status 7",
    "exits_in_thread": "exited with status 7",
    "exits_in_process": "exited with status 7",
    "segfaults_on_loop": "killed by SIGSEGV",
    "segfaults_in_thread": "killed by SIGSEGV",
    "segfaults_in_process": "killed by SIGSEGV",
    "kills_on_loop": "killed by SIGKILL",
    "kills_in_thread": "killed by SIGKILL",
    "kills_in_process": "killed by SIGKILL",
    "kills_its_parent_in_process": "killed by SIGKILL",
    "eats_memory_in_process": f"out of memory: the limit of its process is {MEMORY} MiB",
    "holds_the_gil_on_loop": f"timed out after 8 s; {HELD}",
    "holds_the_gil_in_thread": f"timed out after 8 s; {HELD}",
    "holds_the_gil_in_process": f"timed out after 8 s; {HELD}",
    "is_deaf_on_loop": "timed out after 2 s$",
    "is_deaf_in_thread": "timed out after 2 s$",
    "is_deaf_in_process": "timed out after 2 s; its process was killed",
}

pytestmark = pytest.mark.slow


@pytest.mark.timeout(600)
@pytest.mark.parametrize("poison", REASONS)
async def test_a_poison_is_stopped_after_three_executions_and_all_beside_it_succeed(
    work, store, ledger, eventually, scaled, chance, record, poison
):
    n = scaled(INNOCENTS, least=100)
    settings = {"slots": 20, "lost_after": LOST_AFTER, "process_memory": MEMORY}
    worker = work(app="poisons:app", processes=2, **settings)
    await worker.up()
    began = time.monotonic()
    load = asyncio.create_task(_innocents(store, chance, n, WITHIN * n / INNOCENTS))
    await eventually(lambda: len(ledger.starts()) > 20)

    bad = store.enqueue(poison)
    await eventually(lambda: store.states([bad])["failed"], within=60)
    stopped = time.monotonic() - began
    innocents = await load
    await eventually(lambda: not _unfinished(store), within=90)

    states, executions = store.states(innocents), ledger.starts()[bad]
    [reason] = store.rows("select error, attempt from howdah.jobs where id = %s", bad)
    hit = {job for job in innocents if ledger.starts()[job] > 1}
    record(
        f"poison {poison}: until it was stopped", [stopped], None, executions=executions,
        reason=repr(reason.error), innocents=dict(states), run_again=len(hit),
        charged=_charged(store, innocents),
    )  # fmt: skip
    assert executions == LIMIT
    assert store.rows("select from howdah.jobs where error ~ %s", REASONS[poison])
    assert states == {"succeeded": n}
    assert _charged(store, innocents) == 0
    assert hit <= _taken_along(store)
    # Twice where one ended in a thread while its loop was held: nobody could store that any more.
    assert {ledger.ends()[job] for job in innocents} <= {1, 2}
    assert len(hit) < n / 4
    assert not poison.endswith("_in_process") or not hit
    assert await worker.stop() == 0


async def _innocents(store, chance, n, within):
    """Enqueues jobs of up to a second, so that many run whenever the poison does."""
    jobs = []
    for _ in range(n):
        await asyncio.sleep(within / n)
        [task] = chance.choices([*KINDS], [*KINDS.values()])
        jobs.append(store.enqueue(task, seconds=chance.uniform(0.1, 1.0)))
    return jobs


def _unfinished(store):
    return store.one("select count(*) from howdah.jobs where state in ('ready', 'running')")


def _charged(store, innocents):
    """How many of them lost an attempt to somebody else's crash."""
    return store.one(
        """
        select count(*) from howdah.jobs j where j.id = any(%s)
        and (j.attempt <> 1 or exists (select from howdah.attempts a where a.job_id = j.id
                                       and a.outcome not in ('lost', 'released')))
        """,
        innocents,
    )


def _taken_along(store):
    """Those of which an execution died: a job in the pool counts no crash when its worker dies."""
    found = store.rows("select job_id from howdah.attempts where outcome in ('lost', 'released')")
    return {row.job_id for row in found}
