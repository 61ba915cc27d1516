"""Time passes, chores are done, and leases run out."""

from __future__ import annotations

from math import ceil
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from tests.model import chores
from tests.model.machine import Machine, pick, picks
from tests.model.world import Job, World


def do_chores(world: World) -> dict[str, int]:
    """What each of them moved."""
    chores.beat(world)
    done = {
        "stage": chores.stage(world), "rescue": chores.rescue(world), "expire": chores.expire(world)
    }  # fmt: skip
    world.tidy()
    return done


class Passing(Machine):
    """Rules of time."""

    @rule(n=st.sampled_from([1, 10, 31]))
    def tick(self, n: int) -> None:
        self.move(n)

    @rule(only_stage=st.booleans())
    def chores(self, only_stage: bool = False) -> None:
        if only_stage:
            self.both(lambda: chores.stage(self.world), lambda: self.door.value("stage"))
            return

        def ask() -> dict[str, Any]:
            done = self.door.chores()
            return {which: done[which] for which in ("stage", "rescue", "expire")}

        self.both(lambda: do_chores(self.world), ask)

    @precondition(lambda self: self.world.in_state("running"))
    @rule(which=picks)
    def lease_runs_out(self, which: int) -> None:
        """Until just behind the end of one, and chores: what comes next may have a stale token."""
        job = pick(self.world.in_state("running"), which)
        self.move(max(0, ceil(self._left(job))) + 1)
        self.chores()

    def _left(self, job: Job) -> float:
        if job.worker is not None:
            worker = self.world.workers[job.worker]
            return (worker.beat_at - self.world.now).total_seconds() + worker.lost_after
        if job.leased_until is None:
            return 0.0
        return (job.leased_until - self.world.now).total_seconds()
