"""A steady load for long: is everything as it was at the start?

    python benchmarks/soak.py [--minutes 120] [--rate 2000] [--processes 1]

Jobs come in twenties, evenly; one a tenth of a second comes alone and says how late it started.
A line of Markdown a minute: memory and connections of the workers, lateness, dead rows, sizes.
Works in a scratch schema of the configured database, or of the project's embedded one.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import datetime
from pathlib import Path

from howdah import queues
from howdah.bench.figures import percentile
from howdah.bench.rig import Rig, rig
from howdah.bench.staff import Staff
from howdah.bench.tasks import QUEUE, late, noop
from howdah.cli.database import found
from howdah.settings import Settings

TOGETHER = 20  # jobs in a call
ALONE_EVERY = 0.1  # seconds
COLUMNS = (
    "minute", "jobs/s in", "jobs/s out", "start p50 ms", "p99 ms", "workers' MiB", "connections",
    "dead rows", "most dead rows", "job table KiB", "its indexes KiB", "lease KiB", "waiting",
)  # fmt: skip


async def soak(settings: Settings, minutes: float, rate: int, processes: int) -> None:
    """Print a line a minute."""
    async with rig(settings) as r, r.staff(processes) as staff:
        await r.ask(queues.resume(QUEUE))
        print(f"| {' | '.join(COLUMNS)} |\n|{'---:|' * len(COLUMNS)}", flush=True)
        async with asyncio.TaskGroup() as group:
            steady = Steady(r, rate)
            loads = [group.create_task(steady.run()), group.create_task(_alone(r))]
            looks = _Looks(r, staff)
            for minute in range(1, round(minutes) + 1):
                print(f"| {minute} | {await looks.minute(steady)} |", flush=True)
            for load in loads:
                load.cancel()


class Steady:
    """So many jobs a second, whatever it takes; late ones are made up for."""

    def __init__(self, r: Rig, rate: int) -> None:
        self._r, self._rate = r, rate
        self.sent = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        started = time.monotonic()
        while True:
            await self._r.app.enqueue_many([noop.job(n=n) for n in range(TOGETHER)])
            self.sent += TOGETHER
            await asyncio.sleep(max(0.0, started + self.sent / self._rate - time.monotonic()))


async def _alone(r: Rig) -> None:
    while True:
        await r.app.enqueue(late.job(sent_at=time.monotonic_ns()))
        await asyncio.sleep(ALONE_EVERY)


class _Looks:
    """What there is to see, each time since the last."""

    def __init__(self, r: Rig, staff: Staff) -> None:
        self._r, self._staff = r, staff

    async def minute(self, steady: Steady) -> str:
        """One minute's columns, as Markdown."""
        store, ask = self._r.store, self._r.connection.fetchval
        since: datetime = await ask("select clock_timestamp()")
        sent, most_dead, began = steady.sent, 0, time.monotonic()
        while (left := began + 60 - time.monotonic()) > 0:
            await asyncio.sleep(min(2.0, left))
            most_dead = max(most_dead, await self._dead())
        passed, come = time.monotonic() - began, steady.sent - sent
        out = await ask(f"select count(*) from {store}.finished where finished_at >= $1", since)
        rows = await self._r.connection.fetch(
            f"select result::text::bigint from {store}.finished"
            " where finished_at >= $1 and task = $2",
            *(since, late.name),
        )
        starts = [row[0] / 1e6 for row in rows] or [0.0]
        sizes = await self._r.connection.fetchrow(
            "select pg_relation_size(t) / 1024, pg_indexes_size(t) / 1024,"
            " pg_total_relation_size($2::text::regclass) / 1024"
            " from (select $1::text::regclass) t (t)",
            *(f"{store}.job", f"{store}.lease"),
        )
        columns = [
            f"{come / passed:,.0f}", f"{out / passed:,.0f}",
            f"{percentile(starts, 0.5):.2f}", f"{percentile(starts, 0.99):.2f}",
            f"{sum(map(_memory, self._staff.pids)):,.1f}", str(await self._connections()),
            f"{await self._dead():,}", f"{most_dead:,}", *(f"{size:,}" for size in sizes),
            f"{await ask(f'select count(*) from {store}.job'):,}",
        ]  # fmt: skip
        return " | ".join(columns)

    async def _dead(self) -> int:
        return int(
            await self._r.connection.fetchval(
                "select coalesce(sum(n_dead_tup), 0) from pg_stat_user_tables"
                " where schemaname = $1",
                self._r.store,
            )
        )

    async def _connections(self) -> int:
        return int(
            await self._r.connection.fetchval(
                "select count(*) from pg_stat_activity where application_name like 'howdah%'"
            )
        )


def _memory(pid: int) -> float:
    """MiB of its own, and its share of what it has in common with others."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def main() -> None:
    """Soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--rate", type=int, default=2_000)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    asyncio.run(soak(found(make=True), given.minutes, given.rate, given.processes))


if __name__ == "__main__":
    main()
