"""What a pause costs on this machine: the steps of a lone job's way, at once and after a pause.

    python benchmarks/pauses.py [--gap 20] [--times 200] [--rounds 3] [--awake]

Each step is done again and again, and then as often with a pause of `gap` milliseconds before it.
Prints a table in Markdown: medians in microseconds, of the rounds' medians. Uses the configured
database, or the project's embedded one; a page is written beside the temporary files, which may lie
on another disk than the server's. `--awake` keeps the cores from sleeping meanwhile, which only
root may do, on Linux: so it tells how much of the difference is their sleep.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from statistics import median
from typing import Any
from uuid import uuid4

import uvloop

from howdah import jobs, queues, workers
from howdah.bench import bare
from howdah.bench.rig import Rig, rig
from howdah.bench.tasks import QUEUE, noop
from howdah.cli.database import found
from howdah.connect import closed, open_connection

PAGE = b"x" * 8192
Step = Callable[[], Awaitable[object]]


def main() -> None:
    """Measure every step, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gap", type=float, default=20.0, help="milliseconds")
    parser.add_argument("--times", type=int, default=200, help="each step in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--awake", action="store_true", help="keep the cores from sleeping")
    given = parser.parse_args()
    with (
        _awake() if given.awake else nullcontext(),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        measured = runner.run(_measured(given.gap / 1000, given.times, given.rounds))
    print(f"| µs | at once | after {given.gap:g} ms |\n|---|---:|---:|")
    for name, (at_once, later) in measured.items():
        print(f"| {name} | {median(at_once):,.0f} | {median(later):,.0f} |")


@contextmanager
def _awake() -> Iterator[None]:
    """As long as the file is open, no core may go where waking up takes any time."""
    with open("/dev/cpu_dma_latency", "wb", buffering=0) as file:
        file.write(struct.pack("i", 0))
        yield


async def _measured(
    gap: float, times: int, rounds: int
) -> dict[str, tuple[list[float], list[float]]]:
    with tempfile.TemporaryFile(buffering=0) as file:
        async with rig(found()) as r, r.app, _hasty(r) as hasty:
            steps = await _steps(r, hasty, file)
            figures: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in steps}
            for _ in range(rounds):
                await r.fill(3 * times)  # one of the steps that claim finds what is enqueued here
                for name, step in steps.items():
                    await _median(step, 0, times // 10)
                    figures[name][0].append(await _median(step, 0, times))
                    figures[name][1].append(await _median(step, gap, times))
            return figures


@asynccontextmanager
async def _hasty(r: Rig) -> AsyncIterator[Any]:
    """A connection whose commits do not wait for the disk."""
    connection = await open_connection(r.settings, name="howdah bench hasty")
    try:
        await connection.execute("set synchronous_commit = off")
        yield connection
    finally:
        await closed(connection)


async def _steps(r: Rig, hasty: Any, file: Any) -> dict[str, Step]:
    await bare.make_table(r.connection, r.store)
    await r.ask(queues.resume(QUEUE))
    worker = uuid4()
    await r.ask(workers.heartbeat(worker, name="pauses"))

    async def compute() -> None:
        sum(range(5_000))

    async def write() -> None:
        os.pwrite(file.fileno(), PAGE, 0)
        os.fdatasync(file.fileno())

    return {
        "Python adds 5,000 numbers": compute,
        "a page is written, and `fdatasync`": write,
        "`select 1`": lambda: r.connection.fetch("select 1"),
        "a bare row is inserted, and not waited for the disk": bare.insert(hasty, r.store),
        "a bare row is inserted": bare.insert(r.connection, r.store),
        "a job is enqueued": lambda: r.app.enqueue(noop.job(n=1)),
        "and one is claimed": lambda: r.ask(jobs.claim([QUEUE], 1, worker=worker)),
        "or by who was told of it": lambda: r.ask(
            jobs.claim_above(QUEUE, 0, 0, 1, worker=worker, tasks=[noop.name])
        ),
    }


async def _median(step: Step, gap: float, times: int) -> float:
    """Microseconds of one."""
    took = []
    for _ in range(times):
        if gap:
            await asyncio.sleep(gap)
        began = time.perf_counter_ns()
        await step()
        took.append((time.perf_counter_ns() - began) / 1000)
    return median(took)


if __name__ == "__main__":
    main()
