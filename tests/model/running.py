"""Workflows that are run, one job after another, in any order, with any outcome."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule
from tests.model.chaining import Chaining
from tests.model.enqueuing import New
from tests.model.finishing import finish
from tests.model.flow_world import FlowJob
from tests.model.flowing import Part, parts, policies
from tests.model.handling import Handling, cancel, retry
from tests.model.machine import pick, picks
from tests.model.scheduling import Scheduling
from tests.model.world import Ending, Job

KINDS = ["succeeded", "succeeded", "succeeded", "failed", "cancelled"]
ends = st.lists(st.tuples(picks, st.sampled_from(KINDS)), min_size=3, max_size=6)
moves = st.lists(
    st.tuples(picks, st.sampled_from([*KINDS, "cancel", "cancel", "retry", "retry", "retry"])),
    min_size=4, max_size=10,
)  # fmt: skip


class Running(Scheduling, Chaining, Handling):
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

    @rule(asked=st.lists(parts, min_size=2, max_size=4), moves=moves)
    def is_meddled_with(self, asked: list[Part], moves: list[tuple[int, str]]) -> None:
        """Its jobs end, and are cancelled and retried one by one, in any order."""
        self.start_workflow(asked)
        flow = [*self.world.flows.values()][-1]
        for which, move in moves:
            jobs = [job for step in flow.steps for job in step.jobs]
            if move in ("cancel", "retry"):
                self._is_handled(move, jobs, which)
            else:
                self.claim(100, None, None, None)
                if running := [job for job in jobs if job.state == "running"]:
                    self._one_ends(pick(running, which), move)
            self.all_is_as_the_model_says()
            self.workflows_are_shown()

    def _is_handled(self, verb: str, jobs: list[FlowJob], which: int) -> None:
        done = {"cancel": cancel, "retry": retry}[verb]
        able = [job for job in jobs if job.is_live == (verb == "cancel")]
        job_id = pick(able or jobs, which).id
        self.both(lambda: done(self.world, job_id), lambda: self.door.value(verb, id=job_id))

    @rule(policy=policies, kind=st.sampled_from(KINDS), late=st.booleans())
    def is_heard(self, policy: str, kind: str, late: bool) -> None:
        """How a job ends, by one that waits for it, or that is enqueued when it has ended."""
        self.enqueue(New("work", "a"), False)
        parent = [*self.world.jobs.values()][-1]
        if not late:
            self.enqueue_after([(0, policy)], 1, None)
        self._is_claimed_and_ends(parent, kind)
        if late:
            self.enqueue_after([(0, policy)], 1, None)

    @rule(policy=policies, kind=st.sampled_from(KINDS))
    def is_heard_by_a_step(self, policy: str, kind: str) -> None:
        """The same of a step, and then what becomes of the workflow."""
        first, second = Part(1, [], None, "a"), Part(1, [(1, policy)], None, "a")
        self.start_workflow([first, second])
        flow = [*self.world.flows.values()][-1]
        for step, end in zip(flow.steps, [kind, "succeeded"], strict=True):
            [job] = step.jobs
            if job.is_live:
                self._is_claimed_and_ends(job, end)

    def _is_claimed_and_ends(self, job: Job, kind: str) -> None:
        self.claim(100, None, None, None)
        self._one_ends(job, kind)
        self.all_is_as_the_model_says()
        self.workflows_are_shown()

    def _members(self) -> list[FlowJob]:
        return [j for j in self.world.jobs_of_flows() if j.step is not None]

    def _one_ends(self, job: Job, kind: str) -> None:
        assert job.lease is not None
        job_id, lease = job.id, job.lease
        self.both(
            lambda: finish(self.world, [(job_id, lease, Ending(kind=kind))]),
            lambda: {row.id: row.reason for row in self.door.call(
                "finish", ids=[job_id], leases=[lease], outcomes=[kind])},
        )  # fmt: skip
