"""Runs the demo's jobs: a worker, an enqueuer, and somebody who watches until all have ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Protocol

import click

from howdah import events, jobs
from howdah.cli import show
from howdah.cli.demo_report import Report, make_report
from howdah.demo import QUEUE, app, arguments, count_file, failures, is_unfinished, totals
from howdah.foreground import SIGNALS
from howdah.outcome import Released, Snoozed, Succeeded

BATCH = 1000  # jobs in one round trip: small enough that the worker starts at once
LOOK_EVERY = 0.25  # seconds
STALLED_AFTER = 3.0
FIRST_RUN = 1_700_000_000  # seconds of the epoch: what is above fits a priority until 2091


class Display(Protocol):
    """Shows how far it is."""

    def show(self, done: int, failed: int) -> None:
        """So many have ended, of which so many failed."""

    def close(self) -> None:
        """No more."""


class Counter:
    """Counts this run's ends as they happen here; the report's figures come from the store."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self.done = self.failed = 0

    def __call__(self, event: events.Event) -> None:
        """Count the event, if it ends a job of this run."""
        if not isinstance(event, events.AttemptFinished) or self._tag not in (event.job.tags or ()):
            return
        outcome, job = event.outcome, event.job
        is_last = job.attempt >= job.max_attempts and not isinstance(outcome, Snoozed | Released)
        if isinstance(outcome, Succeeded):
            self.done += 1
        elif is_last:
            self.done, self.failed = self.done + 1, self.failed + 1


async def run_demo(files: Sequence[bytes], tag: str, *, root: bytes, slots: int) -> Report:
    """Enqueue the files, run their jobs, and report."""
    counter, display = Counter(tag), _display(len(files))
    stop = _on_signals()
    app.events.subscribe(counter)
    try:
        async with app, app.worker(queues=[QUEUE], slots=slots) as worker:
            await _work(files, tag, counter, display, stop)
            worker.stop()
            await worker.wait()
            display.show(counter.done, counter.failed)
            display.close()
            found = await app.run(totals(tag))
            failed = await app.run(failures(tag, 1000))
    finally:
        display.close()
        app.events.unsubscribe(counter)
    assert found is not None
    return make_report(
        found, failed, run=tag, root=os.fsdecode(root), files=len(files), interrupted=stop.is_set()
    )


async def _work(
    files: Sequence[bytes],
    tag: str,
    counter: Counter,
    display: Display,
    stop: asyncio.Event,
) -> None:
    enqueuing = asyncio.create_task(_enqueue(files, tag), name="demo enqueue")
    stopped = asyncio.create_task(stop.wait(), name="demo stop")
    stall = Stall(tag)
    try:
        while not stop.is_set():
            display.show(counter.done, counter.failed)
            if enqueuing.done():
                enqueuing.result()
                if not await app.run(is_unfinished(tag)):
                    return
            await stall.look(counter.done)
            await asyncio.wait({stopped}, timeout=LOOK_EVERY)
    finally:
        enqueuing.cancel()
        stopped.cancel()
        await asyncio.wait({enqueuing, stopped})


class Stall:
    """Says why, once, when nothing has ended for a while: the queue may be paused, for example."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._done, self._since, self._was_said = 0, time.monotonic(), False

    async def look(self, done: int) -> None:
        """So many have ended."""
        if done != self._done:
            self._done, self._since = done, time.monotonic()
        if self._was_said or time.monotonic() - self._since < STALLED_AFTER:
            return
        self._was_said = True
        for job in await app.run(jobs.list(queue=QUEUE, tag=self._tag, state="ready", limit=1)):
            why: str = await app.run(jobs.why(job.id))
            show.said(f"nothing has ended for a while: {why}")


async def _enqueue(files: Sequence[bytes], tag: str) -> None:
    # A later run goes before what an interrupted one has left.
    task = count_file.options(tags=[tag], priority=int(time.time()) - FIRST_RUN)
    for start in range(0, len(files), BATCH):
        batch = [task.job(**arguments(path)) for path in files[start : start + BATCH]]
        await app.run(jobs.enqueue_many(batch))


def _on_signals() -> asyncio.Event:
    """Set by the first signal; the second does what it does to any program."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def taken() -> None:
        stop.set()
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    for number in (*SIGNALS, signal.SIGHUP):
        loop.add_signal_handler(number, taken)
    return stop


def _display(total: int) -> Display:
    return Bar(total) if sys.stderr.isatty() else Dots(total)


class Bar:
    """A bar on the terminal."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self._progress = Progress(
            TextColumn("files"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:>8} jobs/s"),
            TextColumn("[red]{task.fields[failed]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._bar = self._progress.add_task("files", total=total, rate="", failed="")
        self._started = time.monotonic()
        self._progress.start()

    def show(self, done: int, failed: int) -> None:
        """Move the bar."""
        rate = f"{done / max(0.001, time.monotonic() - self._started):,.0f}"
        said = f"{failed} failed" if failed else ""
        self._progress.update(self._bar, completed=done, rate=rate, failed=said)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._progress.stop()


class Dots:
    """A line now and then, where there is no terminal."""

    def __init__(self, total: int) -> None:
        self._total, self._next = total, time.monotonic() + 1
        self._shown = -1

    def show(self, done: int, failed: int) -> None:
        """Say it once a second, and at the end."""
        is_last = done == self._total
        if done != self._shown and (is_last or time.monotonic() >= self._next):
            click.echo(
                f"{done} of {self._total}" + (f", {failed} failed" if failed else ""), err=True
            )
            self._next, self._shown = time.monotonic() + 1, done

    def close(self) -> None:
        """Nothing is left to say."""
