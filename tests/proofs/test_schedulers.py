"""R-18: five schedulers, ten thousand ticks in quick time, one killed every few seconds."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from multiprocessing.process import BaseProcess

import pytest

from howdah.client import AsyncClient
from howdah.firing import fire_due
from howdah.settings import Settings

FAST = 60  # seconds of the store's clock in one of ours
KILL_EVERY = 3.0  # seconds


def _schedule(dsn: str) -> None:
    """A scheduler: looks, again and again, as the ticker of a worker does."""

    async def work() -> None:
        client = AsyncClient(Settings(database_url=dsn))
        while True:
            await fire_due(client.run)
            await asyncio.sleep(0.01)

    asyncio.run(work())


def _start(dsn: str) -> BaseProcess:
    process = multiprocessing.get_context("spawn").Process(target=_schedule, args=(dsn,))
    process.start()
    return process


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_of_ten_thousand_ticks_makes_one_job(dsn, db, clock, scaled, chance, record):
    wanted = scaled(10_000, least=500)
    db.execute(
        "create or replace function _howdah.clock() returns timestamptz language sql volatile"
        " parallel safe return timestamptz '2030-01-01' +"
        f" (pg_catalog.clock_timestamp() - timestamptz '{time.strftime('%F %T%z')}') * {FAST}"
    )
    for name in ("a", "b"):
        db.execute(
            "select howdah.put_schedule(%s, 't', cron => '* * * * * *', missed => 'all')", [name]
        )
    schedulers = [_start(dsn) for _ in range(5)]
    kills = 0

    def ticks() -> int:
        return db.execute("select count(*) from howdah.ticks").fetchone()[0]

    killed_at = time.monotonic()
    try:
        while ticks() < wanted:
            time.sleep(0.1)
            if time.monotonic() > killed_at + KILL_EVERY:
                number = chance.randrange(5)
                schedulers[number].kill()
                schedulers[number].join()
                schedulers[number] = _start(dsn)
                killed_at, kills = time.monotonic(), kills + 1
    finally:
        for scheduler in schedulers:
            scheduler.kill()
            scheduler.join()

    found = db.execute(
        "select count(*), count(distinct (headers ->> 'schedule', headers ->> 'tick')),"
        " (select sum(span) from (select extract(epoch from max(tick) - min(tick)) + 1 as span"
        "  from howdah.ticks group by schedule) of_each) from howdah.jobs"
    ).fetchone()
    record("ticks fired once", schedulers=5, kills=kills, ticks=int(found[2]))
    assert kills >= 3
    assert found[0] == found[1] == found[2] == ticks()
