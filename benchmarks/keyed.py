"""What keys cost: jobs a second into the store and through workers, beside plain jobs.

    python benchmarks/keyed.py [--jobs 8000] [--waiting 100000] [--processes 2] [--rounds 3]
                               [--json]

Works in scratch schemas of the configured database, or of the project's embedded one. Figures are
medians of the rounds, in which all kinds take turns. The notes say whether each rate that was asked
of keyed work is reached; exits with 1 if one is not. On two quiet cores: a minute and a half.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from howdah import jobs as calls
from howdah import limits, queues
from howdah.bench.figures import Found, Round, figures
from howdah.bench.rig import Rig, repeated, rig
from howdah.bench.tasks import QUEUE, noop
from howdah.cli.bench.measuring import measure, options, processes, written
from howdah.job import Job
from howdah.settings import Settings

BATCH = 500  # jobs in a call
SLICE = 20  # jobs that are enqueued one by one until it is the next kind's turn
SINGLES_SHARE = 20  # of jobs that are enqueued one by one there are so many times fewer
SERIAL_SHARE = 10  # of one serial key there are so many times fewer jobs
WARM_UP_SHARE = 20
LOOK_EVERY = 0.02  # seconds
LONG = "24h"

Kind = Callable[[int], Job]
PLAIN, UNLIKE, UNIQUE = "plain", "plain, options differ", "unique key"
ONE_KEY = "one serial key"
KEYS, LIMITS, LIMITED = "1,000 serial keys", "200 limits of 3", "a queue with a limit of 100"
FREE, CROWDED = "1,000 serial keys, nobody in front", "1,000 serial keys, a blocked key in front"
ENQUEUED: Mapping[str, Kind] = {
    PLAIN: lambda n: noop.job(n=n),
    UNLIKE: lambda n: noop.options(priority=n % 2).job(n=n),
    UNIQUE: lambda n: noop.options(unique_key=f"u:{n}").job(n=n),
    "serial key": lambda n: noop.options(serial_key=f"key:{n % 1000}").job(n=n),
    "limit": lambda n: noop.options(limit_keys=[f"l:{n % 200}"]).job(n=n),
}
DRAINED: Mapping[str, Kind] = {
    PLAIN: ENQUEUED[PLAIN],
    ONE_KEY: lambda n: noop.options(serial_key="only").job(n=n),
    KEYS: ENQUEUED["serial key"],
    LIMITS: ENQUEUED["limit"],
    LIMITED: ENQUEUED[PLAIN],
}
ASKED: Sequence[tuple[str, float]] = (
    (f"run: {ONE_KEY}", 300),
    (f"run: {KEYS}", 8000),
    (f"run: {LIMITS}", 8000),
    (f"run: {LIMITED}", 8000),
    (f"enqueue one by one: {UNIQUE} / {PLAIN}", 0.7),
    (f"enqueue in bulk: {UNIQUE} / {PLAIN}", 0.7),
    ("run: a blocked key in front / nobody", 0.8),
)


async def keyed(
    settings: Settings, *, jobs: int, waiting: int, processes: int, rounds: int
) -> Found:
    """Into the store first, while no worker is there; then through workers."""
    async with rig(settings) as r, rig(settings) as crowded:
        await r.ask(limits.put("l:*", 3))
        await _enqueues(r, jobs // WARM_UP_SHARE)
        into = await repeated(rounds, lambda: _enqueues(r, jobs))
        await _crowd(crowded, waiting)
        async with r.staff(processes), crowded.staff(processes):
            sides = {FREE: r, CROWDED: crowded}
            await _drains(sides, jobs // WARM_UP_SHARE)
            through = await repeated(rounds, lambda: _drains(sides, jobs))
    found = [*figures(into), *figures(through)]
    values = {figure.name: figure.value for figure in found}
    return Found(
        mode="keyed",
        parameters={
            "jobs": jobs,
            "waiting": waiting,
            "processes": processes,
            "rounds": rounds,
        },
        warm_up=f"a round of {jobs // WARM_UP_SHARE:,} jobs",
        figures=found,
        notes=[
            f"run: from the first claim to the last stored finish; {jobs:,} jobs, of one key fewer",
            f"a blocked key in front: {waiting:,} older jobs of its queue wait for one that failed",
            f"enqueue: kinds take turns, {SLICE} jobs each one by one, {BATCH} in bulk",
            "in bulk plain jobs with the same options go as arrays, all others as JSON",
            *(_said(name, asked, values[name]) for name, asked in ASKED),
        ],
    )


def _said(name: str, asked: float, value: float) -> str:
    return f"{'reached' if value >= asked else 'MISSED'}: {name}: {written(value)} of {asked:,}"


async def _enqueues(r: Rig, jobs: int) -> Round:
    """Each kind's rate, one by one and in bulk, and that of unique keys beside plain ones."""
    found: dict[str, tuple[float, str]] = {}
    for how, send, count, size in (
        ("one by one", _one_by_one, max(SLICE, jobs // SINGLES_SHARE), SLICE),
        ("in bulk", _in_bulk, jobs, BATCH),
    ):
        rates = await _enqueue_in_turns(r, send, count, size)
        found |= {f"enqueue {how}: {name}": (rate, "jobs/s") for name, rate in rates.items()}
        for other in (PLAIN, UNLIKE):
            found[f"enqueue {how}: {UNIQUE} / {other}"] = (rates[UNIQUE] / rates[other], "ratio")
        await r.connection.execute(f"truncate {r.store}.job, {r.store}.pending")
    return found


async def _enqueue_in_turns(
    r: Rig, send: Callable[[Rig, list[Job]], Any], count: int, size: int
) -> dict[str, float]:
    took = dict.fromkeys(ENQUEUED, 0.0)
    async with r.app:
        for done in range(0, count, size):
            for name, kind in ENQUEUED.items():
                made = [kind(n) for n in range(done, min(count, done + size))]
                began = time.perf_counter()
                await send(r, made)
                took[name] += time.perf_counter() - began
    return {name: count / seconds for name, seconds in took.items()}


async def _one_by_one(r: Rig, made: list[Job]) -> None:
    for job in made:
        await r.app.enqueue(job)


async def _in_bulk(r: Rig, made: list[Job]) -> None:
    await r.app.enqueue_many(made)


async def _crowd(r: Rig, waiting: int) -> None:
    """So many jobs wait for one of their key, which has failed and is to be tried again.

    Nobody runs it meanwhile: a rig waits until nothing runs.
    """
    blocked = noop.options(serial_key="blocked")
    async with r.app:
        for done in range(0, waiting, BATCH):
            await r.app.enqueue_many(
                [blocked.job(n=n) for n in range(done, min(waiting, done + BATCH))]
            )
    await r.ask(queues.resume(QUEUE))
    [head] = await r.ask(calls.claim(n=2))
    await r.ask(queues.pause(QUEUE))
    await r.ask(calls.nack(head.id, head.lease, "not today", retry_in=LONG))
    while await r.meter.ask(f"select exists (select from {r.store}.pending)"):
        await r.connection.execute(f"select {r.settings.schema}.admit()")


async def _drains(sides: Mapping[str, Rig], jobs: int) -> Round:
    """Each kind's rate; and that of many keys, where nobody waits in front, and where many do."""
    r = sides[FREE]
    rates: dict[str, float] = {}
    for name, kind in DRAINED.items():
        await r.ask(limits.put(f"queue:{QUEUE}", 100 if name == LIMITED else None))
        rates[name] = await _drain(
            r, kind, max(1, jobs // SERIAL_SHARE) if name == ONE_KEY else jobs
        )
    await r.ask(limits.put(f"queue:{QUEUE}", None))
    for name, side in sides.items():
        rates[name] = await _drain(side, DRAINED[KEYS], jobs)
    return {
        **{f"run: {name}": (rate, "jobs/s") for name, rate in rates.items()},
        "run: a blocked key in front / nobody": (rates[CROWDED] / rates[FREE], "ratio"),
    }


async def _drain(r: Rig, kind: Kind, count: int) -> float:
    async with r.app:
        for done in range(0, count, BATCH):
            made = [kind(n) for n in range(done, min(count, done + BATCH))]
            last = (await r.app.enqueue_many(made))[-1]
    await r.connection.execute(f"vacuum analyze {r.store}.job")
    began: Any = await r.meter.ask("select clock_timestamp()")
    await r.ask(queues.resume(QUEUE))
    await r.until_gone(last)
    ended = f"select count(*) from {r.store}.finished where finished_at >= $1"
    while await r.meter.ask(ended, began) < count:  # noqa: ASYNC110 - the store has no Event
        await asyncio.sleep(LOOK_EVERY)
    took: float = await r.meter.ask(
        "select extract(epoch from max(finished_at) - min(started_at))::float8"
        f" from {r.store}.finished where finished_at >= $1",
        began,
    )
    await r.hold()
    return count / took


@click.command(help=__doc__.split("\n\n")[2])
@click.option("--jobs", type=click.IntRange(100), default=8_000, show_default=True)
@click.option(
    "--waiting", type=click.IntRange(2), default=100_000, show_default=True, help="In front."
)
@processes
@options(rounds=3)
def main(*, yes: bool, as_json: bool, **given: int) -> None:
    """Measure."""
    notes: list[str] = []

    async def mode(settings: Settings) -> Found:
        found = await keyed(settings, **given)
        notes.extend(found.notes)
        return found

    measure(mode, yes=yes, as_json=as_json)
    sys.exit(any(note.startswith("MISSED") for note in notes))


if __name__ == "__main__":
    main()
