"""What every Python adapter stands on: orders on stdin, answers on stdout, one JSON line each.

    python adapter.py best|default setup | client | work

`setup` installs the peer's schema and ends. A client is told {"do": "one" | "bulk" | "late", …}
and answers each with the seconds it took. A worker says that it is ready, starts at the first line,
says every 20 ms how many jobs it has started, and when stdin ends it says how late each was.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

BEST = sys.argv[1] == "best"
TOLD_EVERY = 0.02  # seconds
PERFECT = 1_000_000  # nanoseconds in a millisecond


class Started:
    """Counts the jobs that have started; each calls it first of all, perhaps in a thread."""

    def __init__(self) -> None:
        self.count, self.first = 0, 0
        self.late: list[float] = []
        self._guard = threading.Lock()

    def __call__(self, sent_at: int | None = None) -> None:
        now = time.monotonic_ns()
        with self._guard:
            self.count += 1
            self.first = self.first or now
            if sent_at:
                self.late.append((now - sent_at) / PERFECT)


started = Started()


class Client(Protocol):
    """What an adapter's client can do."""

    async def one(self, n: int, sent_at: int | None) -> object:
        """Enqueue one job."""

    async def bulk(self, numbers: Sequence[int]) -> object:
        """Enqueue many in one call."""


def say(**message: Any) -> None:
    """One line."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def told() -> dict[str, Any] | None:
    """The next order; None at the end."""
    line = await asyncio.to_thread(sys.stdin.readline)
    return json.loads(line) if line else None


async def serve(client: Client) -> None:
    """Obey as a client until stdin ends."""
    say(ready=True)
    while (order := await told()) is not None:
        say(**await getattr(_Orders, order.pop("do"))(client, **order))


class _Orders:
    @staticmethod
    async def one(client: Client, count: int, within: float) -> dict[str, Any]:
        """One after the other, each awaited; ends early when the time is up."""
        for n in range(20):
            await client.one(n, None)
        began, done = time.perf_counter(), 0
        while done < count and time.perf_counter() - began < within:
            await client.one(done, None)
            done += 1
        return {"count": done, "seconds": time.perf_counter() - began}

    @staticmethod
    async def bulk(client: Client, count: int, batch: int) -> dict[str, Any]:
        """So many a call."""
        began = time.perf_counter()
        for first in range(0, count, batch):
            await client.bulk(range(first, min(count, first + batch)))
        return {"count": count, "seconds": time.perf_counter() - began}

    @staticmethod
    async def late(client: Client, count: int, gap: float) -> dict[str, Any]:
        """One at a time, `gap` seconds apart, each with the moment it was sent."""
        for n in range(count):
            began = time.monotonic()
            await client.one(n, time.monotonic_ns())
            await asyncio.sleep(max(0.0, gap - (time.monotonic() - began)))
        return {"count": count}


async def work(run: Callable[[asyncio.Event], Awaitable[object]]) -> None:
    """Say ready; at the first line run until stdin ends; then say what was seen, and be gone."""
    say(ready=True)
    await told()
    stop = asyncio.Event()
    threading.Thread(target=_tell, daemon=True).start()
    running = asyncio.ensure_future(run(stop))
    ending = asyncio.ensure_future(told())
    await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    say(started=started.count, first=started.first, late=started.late)
    os._exit(0)  # how a peer shuts down is not measured


def _tell() -> None:
    was = 0
    while True:
        time.sleep(TOLD_EVERY)
        if started.count != was:
            was = started.count
            say(started=was, first=started.first)


def run(main: Callable[[str], Awaitable[None]], *, uvloop_always: bool = False) -> None:
    """Run the adapter: on uvloop in its best configuration."""
    what = sys.argv[2]
    if BEST or uvloop_always:
        import uvloop

        uvloop.run(main(what))
    else:
        asyncio.run(main(what))
