"""What the store must hold of jobs that wait for jobs, and of workflows: steps that wait for steps.

Somebody looks after every step of the test, so whoever has nothing left to wait for goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tests.model.world import Job, World

WELL = "succeeded"
PARTICIPLE = {"failed": "failed", "cancelled": "was cancelled"}


@dataclass
class Waits:
    """For whom one waits, with what it makes of a bad end; and the bad ends that came."""

    for_whom: dict[Any, str] = field(default_factory=dict)  # fail, skip or ignore
    bad: list[tuple[Any, str, str]] = field(default_factory=list)  # who, its end, the policy

    def hear(self, who: Any, end: str) -> None:
        """One of them has ended."""
        policy = self.for_whom.pop(who, None)
        if policy in ("fail", "skip") and end != WELL:
            self.bad.append((who, end, policy))

    def asked(self) -> dict[Any, str]:
        """For whom it would wait if it came back: whoever has not ended well so far."""
        return {who: policy for who, _, policy in self.bad} | self.for_whom

    def verdict(self) -> tuple[str, Any] | None:
        """How it ends without having run, and because of whom: failures count before the rest."""
        worst = sorted(self.bad, key=lambda b: b[1] != "failed")
        return next(
            (("cancelled" if policy == "skip" else end, (who, end)) for who, end, policy in worst),
            None,
        )


@dataclass
class FlowJob(Job):
    """A job that may wait for others, or be part of a step."""

    waits_for: Waits = field(default_factory=Waits)
    step: Step | None = None
    place: int = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> FlowJob:
        raise AssertionError("worlds with workflows are not rolled back")


@dataclass(eq=False)
class Step:
    """Some jobs of a workflow; it ends when all of them have."""

    workflow: Workflow
    name: str
    jobs: list[FlowJob]
    after: dict[str, str]
    waits_for: Waits
    state: str = "blocked"
    was_let_in: bool = True  # when it ended: not if it was judged by those before it, or cancelled


@dataclass(eq=False)
class Workflow:
    """A named run of steps."""

    id: UUID
    steps: list[Step] = field(default_factory=list)
    state: str = "running"
    cancelling: bool = False


@dataclass
class FlowWorld(World):
    """A world in which jobs wait for jobs."""

    flows: dict[UUID, Workflow] = field(default_factory=dict)

    def jobs_of_flows(self) -> list[FlowJob]:
        return [job for job in self.jobs.values() if isinstance(job, FlowJob)]

    def settle(self, job: Job, state: str, *, result: Any = None, error: str | None = None) -> None:
        assert isinstance(job, FlowJob)
        super().settle(job, state, result=result, error=error)
        if job.step is not None and job.id not in self.jobs:  # what workflows need is kept
            self.jobs[job.id] = job
            job.state, job.finished_at, job.result, job.error = state, self.now, result, error
            job.asked, job.leased_until = False, None
        for child in self.jobs_of_flows():
            child.waits_for.hear(job.id, state)

    # Coming back

    def is_hindered(self, job: Job) -> bool:
        assert isinstance(job, FlowJob)
        if job.step is None:
            ends = ((self.jobs.get(who), policy) for who, policy in job.waits_for.asked().items())
            return any(
                parent is not None and parent.state in PARTICIPLE and policy != "ignore"
                for parent, policy in ends
            )
        flow = job.step.workflow
        if flow.state == "running" and flow.cancelling:
            return True
        return job.step.state in (WELL, *PARTICIPLE) and any(
            parent.state in PARTICIPLE and policy != "ignore"
            for parent, policy in self._parents_of(job.step)
        )

    def bring_back(self, job: Job) -> None:
        assert isinstance(job, FlowJob)
        if job.step is not None:
            self._reopen(job.step)
            waits = job.step.state == "blocked"
        else:
            live = {who: policy for who, policy in job.waits_for.asked().items()
                    if who in self.jobs and self.jobs[who].is_live}  # fmt: skip
            job.waits_for = Waits(live)
            waits = bool(live)
        self.make_ready(job)
        if waits:
            job.state = "blocked"

    def _reopen(self, step: Step) -> None:
        """A job of it comes back by itself: it goes on, or waits once more."""
        flow, parents = step.workflow, self._parents_of(step)
        if flow.state != "running":
            flow.state, flow.cancelling = "running", False
        if step.state not in (WELL, *PARTICIPLE):
            return
        if step.was_let_in and not any(p.state in ("blocked", "running") for p, _ in parents):
            step.state = "running"
        else:
            step.state, step.waits_for = "blocked", Waits(dict(step.after))
            for parent, _ in parents:
                if parent.state in (WELL, *PARTICIPLE):
                    step.waits_for.hear(parent.name, parent.state)
        for other in flow.steps:  # those that have not begun wait for it once more
            if other.state == "blocked" and step.name in other.after:
                other.waits_for.for_whom[step.name] = other.after[step.name]

    def _parents_of(self, step: Step) -> list[tuple[Step, str]]:
        return [(p, step.after[p.name]) for p in step.workflow.steps if p.name in step.after]

    # Going on

    def go_on(self) -> list[FlowJob]:
        """Ends and opens all there is; gives the jobs that wait no longer, to be made ready."""
        free: list[FlowJob] = []
        while self._end_a_job() or any(self._advance(flow, free) for flow in self.flows.values()):
            pass
        loose = [j for j in self.jobs_of_flows() if j.state == "blocked" and j.step is None]
        return free + [job for job in loose if not job.waits_for.for_whom]

    def _end_a_job(self) -> bool:
        for job in self.jobs_of_flows():
            verdict = job.waits_for.verdict() if job.state == "blocked" else None
            if verdict is not None:
                state, (who, end) = verdict
                words = f"job {who}, for which it waited, {PARTICIPLE[end]}"
                self.settle(job, state, error=words)
                return True
        return False

    def _advance(self, flow: Workflow, free: list[FlowJob]) -> bool:
        for step in flow.steps:
            if step.state == "blocked" and (verdict := step.waits_for.verdict()) is not None:
                state, (who, end) = verdict
                words = f"step {who}, for which it waited, {PARTICIPLE[end]}"
                state = "cancelled" if flow.cancelling else state
                for job in [j for j in step.jobs if j.state == "blocked"]:
                    self.settle(job, state, error=words)
                step.was_let_in = False
                return self._end_step(flow, step, state)
            if step.state == "blocked" and not step.waits_for.for_whom:
                step.state, step.was_let_in = "running", True
                free += [job for job in step.jobs if job.state == "blocked"]
                return True
            if step.state == "running" and not any(job.is_live for job in step.jobs):
                return self._end_step(flow, step, worst(job.state for job in step.jobs))
        if flow.state == "running" and all(s.state in (WELL, *PARTICIPLE) for s in flow.steps):
            flow.state = "cancelled" if flow.cancelling else self._verdict_of(flow)
            return True
        return False

    def _end_step(self, flow: Workflow, step: Step, state: str) -> bool:
        step.state = state
        for other in flow.steps:
            if other.state == "blocked":
                other.waits_for.hear(step.name, state)
        return True

    def _verdict_of(self, flow: Workflow) -> str:
        """The worst of its steps, but for those whose bad end all after them ignore."""

        def counts(step: Step) -> bool:
            said = [other.after[step.name] for other in flow.steps if step.name in other.after]
            return not said or any(policy != "ignore" for policy in said)

        return worst(step.state for step in flow.steps if counts(step))


def worst(states: Any) -> str:
    found = {*states}
    return next((state for state in ("failed", "cancelled") if state in found), WELL)
