"""`howdah enqueue --jsonl`: a job of each line, streamed into the store."""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import IO, Any

import click

from howdah.cli import database, show
from howdah.connect import check_version
from howdah.doors import AsyncDoor, on
from howdah.errors import BadInput, BadItem
from howdah.job import Job
from howdah.settings import Settings
from howdah.stream import BATCH, stream

LONGEST = 16 * 1024 * 1024  # bytes of a line; what is kept of it may be 1 MiB
Told = Callable[[int], object]


class Lines:
    """The lines of a file as jobs, until SIGINT says that it is enough."""

    def __init__(self, file: IO[bytes], job: Callable[[bytes], Job]) -> None:
        self.number = self.bytes = 0
        self.is_stopped = self._is_reading = False
        self._file, self._job = file, job

    def __iter__(self) -> Iterator[Job]:
        while line := self._next():
            self.number += 1
            self.bytes += len(line)
            if len(line) > LONGEST:
                raise BadInput(f"it is longer than {LONGEST >> 20} MiB", hint="Is it JSON Lines?")
            if not line.isspace():
                yield self._job(line)

    def _next(self) -> bytes:
        if self.is_stopped:
            return b""
        try:
            self._is_reading = True
            return self._file.readline(LONGEST + 1)
        except _EnoughError:
            return b""
        finally:
            self._is_reading = False

    def stop(self, *_: object) -> None:
        """Handles SIGINT: the first ends the lines, also while they are waited for."""
        if self.is_stopped:
            raise KeyboardInterrupt
        self.is_stopped = True
        if self._is_reading:
            raise _EnoughError


class _EnoughError(Exception):
    """Leaves a read that waits."""


def enqueue_lines(
    file: IO[bytes],
    job: Callable[[bytes], Job],
    settings: Settings,
    *,
    first: Callable[[AsyncDoor], Any],
    is_one: bool,
) -> int:
    """Enqueue a job of each line; gives how many. `first` is done before; `is_one`: all or none."""
    lines = Lines(file, job)

    async def work(connection: Any) -> int:
        await check_version(connection, settings.schema)
        door = on(connection, schema=settings.schema)
        await first(door)
        if not is_one:
            return await _enqueue(door, lines, file)
        async with connection.transaction():
            count = await _enqueue(door, lines, file)
            if lines.is_stopped:
                raise KeyboardInterrupt
            return count

    before = signal.getsignal(signal.SIGINT)
    try:
        count = database.with_connection(work, settings)
    except BadItem as error:
        raise _of_lines(error, lines, is_one=is_one) from error
    except KeyboardInterrupt:
        if is_one:
            show.said("nothing was enqueued")
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    if lines.is_stopped:
        show.said(f"{count} jobs are enqueued, of the first {lines.number} lines")
        raise click.Abort
    return count


async def _enqueue(door: AsyncDoor, lines: Lines, file: IO[bytes]) -> int:
    signal.signal(signal.SIGINT, lines.stop)  # asyncio.run has set its own
    stored = 0

    def told(count: int) -> None:
        nonlocal stored
        stored = count
        show_count(count)

    with _bar(lines, file) as show_count:
        try:
            return await stream(door.run, lines, progress=told)
        except BadItem:
            raise
        except Exception:
            show.said(f"{stored} jobs are enqueued; whether the next {BATCH} are is not known")
            raise


def _of_lines(error: BadItem, lines: Lines, *, is_one: bool) -> BadInput:
    """The same with the number of the line, where it is known."""
    problem = error.message.partition(": ")[2]
    if error.first == error.last:
        where = f"line {lines.number}"
    else:
        where = f"one of the jobs {error.first} to {error.last} (blank lines are not counted)"
    before = f"{error.enqueued} jobs before it are enqueued."
    if is_one or not error.enqueued:
        before = "Nothing was enqueued."
    cause = error.__cause__.hint if isinstance(error.__cause__, BadInput) else None
    return BadInput(f"{where}: {problem}", hint=" ".join(filter(None, (before, cause))))


def _bar(lines: Lines, file: IO[bytes]) -> AbstractContextManager[Told]:
    """On a terminal a bar, or without a known size a count; elsewhere nothing."""
    return Bar(lines, _size(file)) if sys.stderr.isatty() else nullcontext(lambda _: None)


def _size(file: IO[bytes]) -> int | None:
    try:
        found = os.fstat(file.fileno())
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


class Bar:
    """How much of the file is read, and how many jobs are in."""

    def __init__(self, lines: Lines, size: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._lines = lines
        self._progress = Progress(
            TextColumn("{task.fields[count]:,} jobs"),
            BarColumn(),
            TextColumn("" if size is None else "{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._bar = self._progress.add_task("", total=size, count=0)

    def __enter__(self) -> Told:
        self._progress.start()
        return lambda count: self._progress.update(
            self._bar, completed=self._lines.bytes, count=count
        )

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
