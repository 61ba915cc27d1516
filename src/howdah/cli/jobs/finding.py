"""Finds the jobs that a command is about: by whole ids, the ends of ids, or filters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from howdah import jobs
from howdah.cli.ids import whole_or_end
from howdah.doors import AsyncDoor
from howdah.errors import Conflict, NotFound, no_job
from howdah.rows import Found

NEWEST = 10_000  # jobs among which the end of an id is looked for
PAGE = 1000


async def job_ids(store: AsyncDoor, texts: Sequence[str]) -> list[UUID]:
    """The ids that were meant; raises BadInput, NotFound, and Conflict where several would fit."""
    return [await _job_id(store, text) for text in texts]


async def one_job(store: AsyncDoor, text: str) -> Found:
    """The job that was meant; raises NotFound."""
    job_id = await _job_id(store, text)
    job: Found | None = await store.run(jobs.get(job_id))
    if job is None:
        raise no_job(job_id)
    return job


async def matching(
    store: AsyncDoor, states: Sequence[str], filters: Mapping[str, Any], limit: int
) -> list[UUID]:
    """The ids of at most so many jobs that are in one of the states and pass the filters.

    Each once, though it may go from one state to the next while they are read.
    """
    found: dict[UUID, None] = {}
    for state in states:
        async for job in _pages(store, state, filters):
            if len(found) == limit:
                return [*found]
            found[job.id] = None
    return [*found]


async def _pages(store: AsyncDoor, state: str, filters: Mapping[str, Any]) -> AsyncIterator[Found]:
    before: UUID | None = None
    while True:
        page = await store.run(jobs.list(state=state, before=before, limit=PAGE, **filters))
        for job in page:
            yield job
        if len(page) < PAGE:
            return
        before = page[-1].id


async def _job_id(store: AsyncDoor, text: str) -> UUID:
    end = whole_or_end(text)
    if isinstance(end, UUID):
        return end
    found = await store.run(jobs.ids_ending(end, newest=NEWEST))
    if not found:
        raise NotFound(
            f"none of the newest {NEWEST:,} jobs has an id that ends in {end}",
            hint="Older jobs are found by their whole id.",
        )
    if len(found) > 1:
        raise Conflict(f"several ids end in {end}", hint=f"They are {', '.join(map(str, found))}.")
    return found[0]
