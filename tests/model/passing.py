"""Time passes, chores are done, and leases run out."""

from __future__ import annotations

from math import ceil
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from tests.model import chores
from tests.model.finishing import finish_one
from tests.model.machine import Machine, pick, picks
from tests.model.world import Ending, Job, World


def do_chores(world: World) -> dict[str, int]:
    """What each of them moved."""
    chores.beat(world)
    return {
        "stage": chores.stage(world), "rescue": chores.rescue(world), "expire": chores.expire(world)
    }  # fmt: skip


class Passing(Machine):
    """Rules of time."""

    @rule(n=st.sampled_from([1, 10, 31]))
    def tick(self, n: int) -> None:
        self.move(n)

    @rule()
    def chores(self) -> None:
        def ask() -> dict[str, Any]:
            done = self.door.chores()
            return {which: done[which] for which in ("stage", "rescue", "expire")}

        self.both(lambda: do_chores(self.world), ask)

    @rule()
    def stage(self) -> None:
        self.both(lambda: chores.stage(self.world), lambda: self.door.value("stage"))

    @precondition(lambda self: self.world.in_state("running"))
    @rule(which=picks, is_late=st.booleans())
    def lease_runs_out(self, which: int, is_late: bool) -> None:
        """Until just behind the end of one, and chores: what comes next may have a stale token."""
        job = pick(self.world.in_state("running"), which)
        self.move(max(0, ceil(self._left(job))) + 1)
        if is_late:  # its holder is back before any chore has noticed
            self._ack_late(job.id, job.lease)
        self.chores()

    def _ack_late(self, job_id: UUID, lease: UUID | None) -> None:
        assert lease is not None
        self.both(
            lambda: finish_one(self.world, job_id, lease, Ending(kind="succeeded")),
            lambda: self.door.value("ack", id=job_id, lease=lease) or None,
        )

    def _left(self, job: Job) -> float:
        if job.worker is not None:
            worker = self.world.workers[job.worker]
            return (worker.beat_at - self.world.now).total_seconds() + worker.lost_after
        if job.leased_until is None:
            return 0.0
        return (job.leased_until - self.world.now).total_seconds()
