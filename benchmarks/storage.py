"""What the storage settings of the hot tables give: the same load with each variant, in turns.

    python benchmarks/storage.py {fillfactor,autovacuum} [--rounds 1] [--seconds 60] [--drains 3]
                                 [--jobs 50000] [--standing 0] [--naptime SECONDS] [--backwards]

Each variant gets a scratch schema whose tables are altered before the first job: steady load at
2,000 jobs/s, then drains of a backlog, by one worker in this process. Prints a table in Markdown:
medians over rounds, with the lowest and highest. Uses the configured database, or the project's
embedded one; with --naptime a server of its own, on which autovacuum comes that often.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from howdah import App, embedded, queues
from howdah.bench.meter import STATISTICS_AFTER
from howdah.bench.rig import BATCH, Rig, rig
from howdah.bench.tasks import QUEUE, noop
from howdah.cli.database import found
from howdah.connect import closed, open_connection
from howdah.settings import Settings

SLOTS = 100
BULK, EVERY = 20, 0.01  # jobs, seconds: 2,000 jobs/s
LOOK_EVERY = 0.5  # seconds
TABLES = ("job", "lease")
KB, MB = 1024, 1024 * 1024
DEFAULTS = (
    "alter table {store}.job reset (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, "
    "autovacuum_vacuum_cost_delay, autovacuum_vacuum_insert_scale_factor, "
    "autovacuum_analyze_scale_factor); "
    "alter table {store}.lease reset (autovacuum_vacuum_scale_factor, "
    "autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay)"
)
Figures = dict[str, float]
VARIANTS = {
    "fillfactor": {
        f"fillfactor {share}": f"alter table {{store}}.job set (fillfactor = {share})"
        for share in (70, 90, 100)
    },
    "autovacuum": {"ours": "", "PostgreSQL's defaults": DEFAULTS},
}


class Here:
    """This process as the staff whose CPU is counted."""

    pids = (os.getpid(),)


@dataclass
class Watch:
    """What is seen on the way: the most dead rows, and when a vacuum or a part had ended."""

    began: float = field(default_factory=time.monotonic)
    most: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TABLES, 0))
    runs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TABLES, 0))
    now: dict[str, int] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)
    moments: list[str] = field(default_factory=list)

    async def look(self, connection: Any, store: str) -> None:
        """Read the server's counts once; vacuums before the first look are not counted."""
        rows = await connection.fetch(
            "select relname, n_dead_tup, autovacuum_count from pg_stat_user_tables "
            "where schemaname = $1 and relname = any ($2)",
            store,
            TABLES,
        )
        for name, dead, counted in rows:
            runs = counted - self.before.setdefault(name, counted)
            self.now[name] = dead
            self.most[name] = max(self.most[name], dead)
            if runs > self.runs[name]:
                self.note(f"{name} vacuumed")
            self.runs[name] = runs

    def note(self, what: str) -> None:
        """Keep when something had happened."""
        self.moments.append(f"{what} {time.monotonic() - self.began:.0f} s")


@asynccontextmanager
async def _watched(r: Rig, settings: Settings) -> AsyncIterator[Watch]:
    """Looks on a connection of its own until the block ends, and once more then."""
    own = await open_connection(settings, name="howdah bench watch")
    watch = Watch()

    async def looks() -> None:
        while True:
            await watch.look(own, r.store)
            await asyncio.sleep(LOOK_EVERY)

    looking = asyncio.create_task(looks())
    try:
        yield watch
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        await closed(own)
    await watch.look(r.connection, r.store)


async def _measured(alter: str, settings: Settings, given: argparse.Namespace) -> Figures:
    async with rig(settings) as r:
        if alter:
            await r.connection.execute(alter.format(store=r.store))
        await _stand(r, given.standing)
        figures: Figures = {}
        async with _watched(r, settings) as watch:
            app = App(r.settings.database_url, schema=r.settings.schema)
            app.use(r.settings)
            app.task(name=noop.name, queue=QUEUE)(noop.function)
            async with app, app.worker(queues=[QUEUE], slots=SLOTS):
                if given.seconds:
                    figures |= await _steady(r, app, given.seconds)
                    watch.note("steady load ended")
                figures |= await _drains(r, given.drains, given.jobs)
                watch.note("drains ended")
            await asyncio.sleep(STATISTICS_AFTER)
        print(f"<!-- {', '.join(watch.moments)} -->", flush=True)
        return figures | await _sizes(r) | _seen(watch)


async def _stand(r: Rig, count: int) -> None:
    """Jobs that wait in another queue all the time."""
    waiting = noop.options(queue=f"{QUEUE}.standing")
    batch = [waiting.job(n=n) for n in range(BATCH)]
    async with r.app:
        for _ in range(0, count, BATCH):
            await r.app.enqueue_many(batch)


async def _steady(r: Rig, app: App, seconds: int) -> Figures:
    """A bulk every 10 ms; what is late is made up for."""
    batch = [noop.job(n=n) for n in range(BULK)]
    await r.ask(queues.resume(QUEUE))
    before, began = await r.meter.read(), time.monotonic()
    turns = round(seconds / EVERY)
    for turn in range(turns):
        last = (await app.enqueue_many(batch))[-1]
        await asyncio.sleep(began + (turn + 1) * EVERY - time.monotonic())
    await r.until_gone(last)
    spent = (await r.meter.read()).since(before)
    await r.hold()
    return {
        "steady, jobs/s": turns * BULK / spent.seconds,
        "steady, WAL bytes/job": spent.wal / turns / BULK,
        "steady, server's CPU s/10k jobs": (spent.server_cpu or 0) / turns / BULK * 10_000,
        "job after steady, kB": await _size(r, "pg_relation_size('{store}.job')") / KB,
        "its indexes after steady, kB": await _size(r, "pg_indexes_size('{store}.job')") / KB,
    }


async def _drains(r: Rig, times: int, jobs: int) -> Figures:
    rates, wal, images = [], [], []
    for _ in range(times):
        await r.fill(jobs)
        drained = await r.drain(Here(), jobs)  # type: ignore[arg-type]
        spent = drained.after.since(drained.before)
        rates.append(drained.rate)
        wal.append(spent.wal / jobs)
        images.append(spent.images / jobs)
    return {
        "drain, jobs/s": median(rates),
        "drain, WAL bytes/job": median(wal),
        "drain, full page images/job": median(images),
    }


async def _size(r: Rig, of: str) -> float:
    return float(await r.meter.ask(f"select {of}".format(store=r.store)))


async def _sizes(r: Rig) -> Figures:
    return {
        "job at the end, MB": await _size(r, "pg_relation_size('{store}.job')") / MB,
        "its indexes, MB": await _size(r, "pg_indexes_size('{store}.job')") / MB,
        "lease with indexes and toast, MB": await _size(
            r, "pg_total_relation_size('{store}.lease')"
        )
        / MB,
    }


def _seen(watch: Watch) -> Figures:
    found: Figures = {}
    for name in TABLES:
        found[f"dead rows of {name}, most"] = watch.most[name]
        found[f"dead rows of {name}, at the end"] = watch.now[name]
        found[f"autovacuums of {name}"] = watch.runs[name]
    return found


def _number(value: float) -> str:
    return f"{value:,.2f}" if abs(value) < 100 and value % 1 else f"{value:,.0f}"


def _cell(values: list[float]) -> str:
    if len(set(values)) == 1:
        return _number(values[0])
    return f"{_number(median(values))} ({_number(min(values))} to {_number(max(values))})"


@contextmanager
def _server(naptime: int | None) -> Iterator[Settings]:
    if naptime is None:
        yield found(make=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        options = {"autovacuum_naptime": f"{naptime}s"}
        with embedded.start(Path(folder) / "pg", settings=options) as server:
            yield Settings(database_url=server.dsn())


def main() -> None:
    """Measure all variants of one kind, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=VARIANTS)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=60, help="of steady load; 0: none")
    parser.add_argument("--drains", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=50_000, help="in a drain")
    parser.add_argument("--standing", type=int, default=0, help="jobs that wait all the time")
    parser.add_argument("--naptime", type=int, help="seconds; on a server of its own")
    parser.add_argument("--backwards", action="store_true", help="begin with the last variant")
    given = parser.parse_args()
    variants = VARIANTS[given.kind]
    order = list(variants)[:: -1 if given.backwards else 1]
    measured: dict[str, list[Figures]] = {name: [] for name in variants}
    with _server(given.naptime) as settings:
        for number in range(given.rounds):
            for name in order if number % 2 == 0 else reversed(order):
                print(f"<!-- round {number + 1}, {name} -->", flush=True)
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    measured[name].append(runner.run(_measured(variants[name], settings, given)))
    print(f"| | {' | '.join(variants)} |\n|---|{'---:|' * len(variants)}")
    for figure in next(iter(measured.values()))[0]:
        cells = [_cell([one[figure] for one in rounds]) for rounds in measured.values()]
        print(f"| {figure} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
