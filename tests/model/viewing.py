"""The views beside howdah.jobs: slices, queues and workers."""

from __future__ import annotations

from typing import Any

from hypothesis.stateful import invariant
from tests.model.machine import Machine
from tests.model.world import Job, World, seconds


def is_expired(world: World, job: Job) -> bool:
    """Whether it goes back with the next chores, as the view has it."""
    if job.worker is None:
        return job.ran_out(world.now)
    return job.worker not in world.workers or world.workers[job.worker].is_silent(world.now)


def slices(world: World) -> dict[str, set[Any]]:
    """The jobs of each view that shows some of them."""
    running = world.in_state("running")
    return {
        "ready": {job.id for job in world.in_state("ready")},
        "scheduled": {job.id for job in world.in_state("scheduled")},
        "running": {job.id for job in running if not is_expired(world, job)},
        "expired": {job.id for job in running if is_expired(world, job)},
        "failed": {job.id for job in world.in_state("failed")},
    }


def queues(world: World) -> dict[str, tuple[Any, ...]]:
    """The row of each queue that is known or holds jobs that have not all gone well."""
    shown = {}
    for name in {
        *world.queues,
        *(j.queue for j in world.jobs.values() if j.is_live or j.state == "failed"),
    }:
        of_it = [job for job in world.jobs.values() if job.queue == name]
        counts = tuple(
            sum(job.state == state for job in of_it)
            for state in ("ready", "scheduled", "running", "failed")
        )
        said = world.queue(name)
        shown[name] = (said.paused, *counts, oldest(world, of_it), said.keep_history)
    return shown


def oldest(world: World, jobs: list[Job]) -> Any:
    """For how long the first of a priority has waited, of that where it is longest."""
    first: dict[int, Job] = {}
    for job in jobs:
        if job.state == "ready" and (
            job.priority not in first or job.seq < first[job.priority].seq
        ):
            first[job.priority] = job
    return max((world.now - job.due for job in first.values()), default=None)


def workers(world: World) -> set[Any]:
    """The row of each worker."""
    running = [job.worker for job in world.in_state("running")]
    return {
        (w.id, w.name, w.control, w.beat_at, seconds(w.lost_after), running.count(w.id))
        for w in world.workers.values()
    }


class Viewing(Machine):
    """What those see who look, after each step: at one of the views, each in its turn."""

    looks = 0

    @invariant()
    def the_views_show_it(self) -> None:
        self.looks += 1
        look = [self._slices, self._queues, self._workers][self.looks % 3]
        seen, expected = look()
        assert seen == expected, f"{look.__name__[1:]} show {seen}, not {expected}"

    def _slices(self) -> tuple[Any, Any]:
        expected = slices(self.world)
        seen: dict[str, set[Any]] = {view: set() for view in expected}
        views = [f"select '{view}' as view, id from howdah.{view}" for view in expected]
        for row in self.door.rows(" union all ".join(views)):
            seen[row.view].add(row.id)
        return seen, expected

    def _queues(self) -> tuple[Any, Any]:
        rows = self.door.rows(
            "select queue, paused, ready, scheduled, running, failed, oldest, keep_history"
            " from howdah.queues"
        )
        return {row.queue: tuple(row)[1:] for row in rows}, queues(self.world)

    def _workers(self) -> tuple[Any, Any]:
        rows = "select id, name, control, beat_at, lost_after, running from howdah.workers"
        return {tuple(row) for row in self.door.rows(rows)}, workers(self.world)
