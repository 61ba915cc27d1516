"""Workflows that are run, one job after another, in any order, with any outcome."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule
from tests.model.chaining import Chaining
from tests.model.finishing import finish
from tests.model.flow_world import FlowJob
from tests.model.flowing import Part, parts
from tests.model.machine import pick, picks
from tests.model.scheduling import Scheduling
from tests.model.world import Ending

KINDS = ["succeeded", "succeeded", "succeeded", "failed", "cancelled"]
ends = st.lists(st.tuples(picks, st.sampled_from(KINDS)), min_size=3, max_size=6)


class Running(Scheduling, Chaining):
    """Rules of several steps about one workflow."""

    @rule(asked=st.lists(parts, min_size=3, max_size=5), ends=ends)
    def is_run(self, asked: list[Part], ends: list[tuple[int, str]]) -> None:
        """What may run is claimed, and one of that ends; then who goes on is looked at."""
        self.start_workflow(asked)
        for which, kind in ends:
            self.claim(100, None, None, None)
            if which % 3 == 0:
                self.all_ends_are_rolled_back("ack")
            if running := [j for j in self._members() if j.state == "running"]:
                self._one_ends(pick(running, which), kind)
            self.all_is_as_the_model_says()
            self.workflows_are_shown()

    def _members(self) -> list[FlowJob]:
        return [j for j in self.world.jobs_of_flows() if j.step is not None]

    def _one_ends(self, job: FlowJob, kind: str) -> None:
        assert job.lease is not None
        job_id, lease = job.id, job.lease
        self.both(
            lambda: finish(self.world, [(job_id, lease, Ending(kind=kind))]),
            lambda: {row.id: row.reason for row in self.door.call(
                "finish", ids=[job_id], leases=[lease], outcomes=[kind])},
        )  # fmt: skip
