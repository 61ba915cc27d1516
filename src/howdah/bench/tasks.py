"""The app that is measured: a task that does nothing, and one that says how late it is."""

from __future__ import annotations

import time

from howdah.app import App

QUEUE = "bench"

app = App()


@app.task(name="bench.noop", queue=QUEUE)
async def noop(n: int) -> None:
    """Do nothing."""


@app.task(name="bench.late", queue=QUEUE)
async def late(sent_at: int) -> int:
    """Nanoseconds since `sent_at`, a moment of the machine's monotonic clock."""
    return time.monotonic_ns() - sent_at
