"""Follows a job until its end: a bar on a terminal, elsewhere a line for each change."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import msgspec

from howdah import jobs
from howdah.cli import show
from howdah.doors import AsyncDoor
from howdah.errors import NotFound
from howdah.printable import printable
from howdah.rows import Found

LOOK_EVERY = 0.3  # seconds
ENDS = ("succeeded", "failed", "cancelled")


def progress_in_words(job: Found) -> str | None:
    """30 of 100 (30 %): resizing. Numbers that are whole are written out."""
    if job.progress is None:
        return None
    told: dict[str, Any] = msgspec.json.decode(job.progress)
    parts = [_written(told["done"])]
    if told["total"] is not None:
        parts.append(f"of {_written(told['total'])}")
    if told["percent"] is not None:
        parts.append(f"({told['percent']:g} %)")
    return " ".join(parts) + (f": {told['note']}" if told["note"] else "")


def _written(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) and number < 1e15 else f"{number:g}"


async def follow(store: AsyncDoor, job_id: UUID) -> None:
    """Show how far it is, to stderr, until it has ended."""
    if sys.stderr.isatty():
        await _draw(store, job_id)
        return
    told = None
    async for job in _looks(store, job_id):
        said = ", ".join(filter(None, (job.state, progress_in_words(job))))
        if said != told:
            show.said(said)
        told = said


async def _draw(store: AsyncDoor, job_id: UUID) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(),
        TextColumn("{task.fields[words]}", markup=False), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        bar = drawn.add_task("", total=None, words="")
        async for job in _looks(store, job_id):
            told = msgspec.json.decode(job.progress) if job.progress else {}
            drawn.update(
                bar,
                description=printable(f"{job.task} {job.state}"),
                completed=told.get("done", 0),
                total=told.get("total"),
                words=printable(progress_in_words(job) or ""),
            )


async def _looks(store: AsyncDoor, job_id: UUID) -> AsyncIterator[Found]:
    while True:
        job = await store.run(jobs.get(job_id))
        if job is None:
            raise NotFound(f"job {job_id} is gone", hint="It was deleted, or its queue keeps none.")
        yield job
        if job.state in ENDS:
            return
        await asyncio.sleep(LOOK_EVERY)
