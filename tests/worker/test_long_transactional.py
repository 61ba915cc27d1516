"""Longer proofs: what transactional and at_most_once promise, with workers killed at any moment."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
KILLS = 20


@pytest.fixture
def chance():
    """Chance by a seed that is shown; SEED repeats a run's choices."""
    seed = int(os.environ.get("SEED") or random.randrange(10**6))
    print(f"SEED={seed}")  # noqa: T201 - shown by pytest
    return random.Random(seed)


async def kill_in_turn(work, store, chance, *, total, **given):
    """Keep two workers at it, and kill one after the other while there is work; how many died."""
    given = {"lost_after": 1.0, "poll_every": 0.2, **given}
    workers = [work(**given) for _ in range(2)]
    kills = 0
    while kills < KILLS and finished(store) < total:
        await asyncio.sleep(chance.uniform(0.3, 1.2))  # any moment is to be met
        workers[kills % 2].kill()
        workers[kills % 2] = work(**given)
        kills += 1
    return kills


def finished(store):
    return store.one("select count(*) from howdah.jobs where state in ('succeeded', 'failed')")


@pytest.mark.parametrize("task", ["effect", "effect in a thread"])
async def test_two_thousand_transactional_jobs_and_twenty_kills_leave_each_effect_once(
    work, store, eventually, chance, record_property, task
):
    store.do("drop table if exists effect")
    store.do("create table effect (job uuid)")
    store.do("select * from howdah.put_settings(max_crashes => 1000)")
    store.do(
        "select count(howdah.enqueue(%s, jsonb_build_object('first', f, 'sleep', f), "
        "delivery => 'transactional')) "
        "from (select case when n %% 20 = 0 then 0.5 else 0.1 end f "
        "from generate_series(1, 2000) n) j",
        task,
    )

    kills = await kill_in_turn(work, store, chance, slots=10, total=2000)
    await eventually(lambda: store.states()["succeeded"] == 2000, within=60)

    lost = store.one("select count(*) from howdah.attempts where outcome = 'lost'")
    record_property("kills", kills)
    record_property("attempts lost", lost)
    print(f"{kills} kills, {lost} attempts lost, {store.states()}")  # noqa: T201 - shown by pytest
    assert kills == KILLS
    assert lost >= KILLS
    assert store.one("select count(*) from effect") == 2000
    assert store.one("select count(distinct job) from effect") == 2000
    assert (
        store.one("select count(*) from effect where job not in (select id from howdah.jobs)") == 0
    )


async def test_twenty_thousand_jobs_at_most_once_and_twenty_kills_start_none_twice(
    work, store, ledger, eventually, chance, record_property
):
    store.do(
        "select count(howdah.enqueue(case when n %% 20 = 0 then 'once apart' else 'once' end, "
        "'{\"first\": 0.04}', delivery => 'at_most_once')) from generate_series(1, 20000) n"
    )

    kills = await kill_in_turn(work, store, chance, slots=16, total=20_000, process_slots=2)
    await eventually(lambda: finished(store) == 20_000, within=120)

    starts = ledger.starts()
    states = store.states()
    record_property("kills", kills)
    lost = store.rows("select task, count(*) as n from howdah.failed group by task")
    lost = {row.task: row.n for row in lost}
    record_property("jobs lost", lost)
    print(f"{kills} kills, {len(starts)} jobs started, {states}")  # noqa: T201 - shown by pytest
    assert kills == KILLS
    assert max(starts.values()) == 1
    assert states["failed"] >= KILLS
    assert {*lost} == {"once", "once apart"}
    assert states["succeeded"] + states["failed"] == 20_000
    assert store.one("select count(*) from howdah.failed where error not like 'lost%%'") == 0
    succeeded = store.rows("select id from howdah.jobs where state = 'succeeded'")
    assert all(starts[row.id] == 1 for row in succeeded)
