"""What each trick of the worker gives: the same drain with it and without it, in turns.

    python benchmarks/tricks.py [--rounds 3] [--jobs 30000]

Prints a table in Markdown. Uses the configured database, or the project's embedded one; works in
scratch schemas. A trick is switched off by replacing the one function or constant that makes it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any
from unittest.mock import patch

import uvloop

from howdah import App, enqueuing
from howdah.bench.rig import Rig, rig
from howdah.bench.tasks import QUEUE, noop
from howdah.cli.database import found
from howdah.connect import closed, open_connection
from howdah.settings import Settings
from howdah.worker import finisher, slots
from howdah.worker.carrier import Carriers
from howdah.worker.floors import Floors
from howdah.worker.parts import Parts

SLOTS = 100


class Here:
    """This process as the staff whose CPU is counted."""

    pids = (os.getpid(),)


@dataclass(frozen=True)
class Trick:
    """One trick: what is replaced by what to be without it, and how the difference is measured."""

    name: str
    without: Callable[[], Any]  # a patch, or several in an ExitStack
    measured: str = "drain"
    loop: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    loop_without: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop


def _one_link() -> Any:
    """Claims and finishes share a connection, and so wait for each other."""
    made = Parts.__init__

    def init(self: Parts, *given: Any, **named: Any) -> None:
        made(self, *given, **named)
        self.finisher._link = self._claims

    return patch.object(Parts, "__init__", init)


def _by_ones() -> Any:
    return patch.object(finisher, "BATCH", 1)


def _only_for_free_slots() -> Any:
    return patch.object(slots, "prefetch", lambda _pace, _cover=0.0: 0)


def _no_floors() -> Any:
    return patch.object(Floors, "_raise", lambda _self, _news: None)


def _alone() -> Any:
    return patch.object(Carriers, "_will_wait", lambda _self, _attempt: True)


def _unlike() -> Any:
    return patch.object(enqueuing, "_alike", lambda _jobs: False)


TRICKS = [
    Trick("outcomes stored 500 at a time, not one by one", _by_ones),
    Trick("jobs claimed ahead of free slots", _only_for_free_slots),
    Trick("attempts that do not wait share an asyncio task", _alone),
    Trick("claim and finish on connections of their own", _one_link),
    Trick("uvloop instead of asyncio's own loop", ExitStack, loop_without=asyncio.new_event_loop),
    Trick("scan floor, third round under a held snapshot", _no_floors, measured="held"),
    Trick("bulk enqueue as arrays, not as JSON", _unlike, measured="bulk"),
]


async def _measured(trick: Trick, settings: Settings, count: int) -> float:
    """Jobs a second."""
    async with rig(settings) as r:
        if trick.measured == "bulk":
            await r.fill(1_000)
            return count / await r.fill(count)
        if trick.measured == "drain":
            await _drain(r, 2_000)
            return await _drain(r, count)
        holder = await open_connection(settings, name="howdah bench holder")
        try:
            async with holder.transaction(isolation="repeatable_read"):
                await holder.fetchval(f"select count(*) from {r.store}.queue")
                return [await _drain(r, count) for _ in range(3)][-1]
        finally:
            await closed(holder)


async def _drain(r: Rig, count: int) -> float:
    await r.fill(count)
    app = App(r.settings.database_url, schema=r.settings.schema)
    app.use(r.settings)
    app.task(name=noop.name, queue=QUEUE)(noop.function)
    async with app, app.worker(queues=[QUEUE], slots=SLOTS):
        return (await r.drain(Here(), count)).rate  # type: ignore[arg-type]


def _rate(trick: Trick, settings: Settings, count: int, *, is_on: bool) -> float:
    with ExitStack() if is_on else trick.without():
        factory = trick.loop if is_on else trick.loop_without
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(_measured(trick, settings, count))


def main() -> None:
    """Measure all of them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=30_000)
    given = parser.parse_args()
    settings = found(make=True)
    print("| trick | with it | without | gain |\n|---|---:|---:|---:|")
    for trick in TRICKS:
        rates: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(given.rounds):
            for is_on in (True, False):
                count = given.jobs if is_on or trick.without is not _by_ones else given.jobs // 10
                rates[is_on].append(_rate(trick, settings, count, is_on=is_on))
        on, off = median(rates[True]), median(rates[False])
        print(f"| {trick.name} | {on:,.0f}/s | {off:,.0f}/s | {on / off:.2f} |", flush=True)


if __name__ == "__main__":
    main()
