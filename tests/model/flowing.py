"""Jobs that wait for jobs, and workflows: started, cancelled, tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from psycopg.types.json import Jsonb
from tests.model import handling
from tests.model.enqueuing import New, put
from tests.model.finishing import holds
from tests.model.flow_world import FlowJob, FlowWorld, Step, Waits, Workflow
from tests.model.machine import BEGIN, Machine, Refused, often, pick, picks
from tests.model.world import World

policies = st.sampled_from(["fail", "fail", "skip", "ignore"])
MEMBERS = """
    select s.name, m.place, m.job_id from _howdah.step s join _howdah.member m on m.step = s.id
    where s.workflow = %s order by s.place, m.place
"""
LATER = "select min(due) from _howdah.pending where due > _howdah.clock()"
CANCELLED = "its workflow was cancelled"


@dataclass(frozen=True)
class Part:
    """A step as it is asked for: jobs, and the steps before it that it waits for."""

    jobs: int
    after: list[tuple[int, str]]  # how far back, and the policy
    delay: float | None
    queue: str


parts = st.builds(
    Part, jobs=st.sampled_from([1, 1, 2]), delay=st.sampled_from([None, None, 5]),
    after=st.lists(st.tuples(st.integers(1, 3), policies), max_size=2),
    queue=st.sampled_from(["a", "brief"]),
)  # fmt: skip


def put_waiting(world: FlowWorld, new: New, job_id: UUID, after: dict[UUID, str]) -> None:
    """A job that waits for those of its parents that have not ended; of the others it hears."""
    put(world, new, job_id)
    job = world.jobs[job_id] = FlowJob(**vars(world.jobs[job_id]))
    if not after:
        return
    in_order = {parent: after[parent] for parent in sorted(after)}  # as JSON keeps them
    job.state, job.waits_for = "blocked", Waits(dict(in_order))
    for parent in in_order:
        if not world.jobs[parent].is_live:
            job.waits_for.hear(parent, world.jobs[parent].state)


def start(world: FlowWorld, flow_id: UUID, steps: list[Any], asked: list[Part], rows: Any) -> None:
    """A workflow and its jobs, in the order of its steps."""
    flow = world.flows[flow_id] = Workflow(flow_id)
    for said, part in zip(steps, asked, strict=True):
        step = Step(flow, said["name"], [], said["after"], Waits(dict(said["after"])))
        flow.steps.append(step)
        step.state = "blocked" if step.after else "running"
        for row in [row for row in rows if row.name == step.name]:
            delay = part.delay if not step.after else None
            put(world, New("work", part.queue, delay=delay), row.job_id)
            job = world.jobs[row.job_id] = FlowJob(**vars(world.jobs[row.job_id]))
            job.step, job.place = step, row.place
            if step.after:
                job.state = "blocked"


def cancel_workflow(world: FlowWorld, flow: Workflow) -> bool:
    """What waits ends, what runs is asked to, and later steps never start."""
    if flow.state != "running":
        return False
    flow.cancelling = True
    live = [job for step in flow.steps for job in step.jobs if job.is_live]
    for job in live:
        if job.waits:
            world.settle(job, "cancelled", error=CANCELLED)
        else:
            handling.cancel(world, job.id)
    for step in flow.steps:
        if step.state == "blocked":
            step.state = "running"  # until its jobs have ended, which they have
            step.was_let_in = False
            step.waits_for = Waits()
    return True


def retry_workflow(world: FlowWorld, flow: Workflow) -> int:
    """From its failed and cancelled jobs on."""
    if flow.state == "running":
        raise Refused("JQ003")
    again = [step for step in flow.steps if step.state != "succeeded"
             or any(job.state != "succeeded" for job in step.jobs)]  # fmt: skip
    jobs = [job for step in again for job in step.jobs if job.state != "succeeded"]
    if any(job.id not in world.jobs for job in jobs):  # it was deleted
        raise Refused("JQ003")
    for job in jobs:
        world.make_ready(job)
        handling.renew(job)
        job.state = "blocked"
    for step in again:
        step.state, step.waits_for = "blocked", Waits(dict(step.after))
    for step in again:
        for other in flow.steps:
            if other not in again:
                step.waits_for.hear(other.name, other.state)
    flow.state, flow.cancelling = "running", False
    return len(jobs)


class Flowing(Machine):
    """Rules of those who wait. After each call somebody looks who may go on."""

    world: FlowWorld

    def new_world(self, order_of: Callable[[list[UUID]], list[UUID]]) -> World:
        return FlowWorld(BEGIN, order_of=order_of)

    def both(self, predicted: Any, asked: Any, *, twice: bool = False) -> Any:
        told = super().both(predicted, asked, twice=twice)
        self._let_all_go_on()
        return told

    def _let_all_go_on(self) -> None:
        for _ in range(30):
            if self.door.one("select _howdah.is_pending()"):
                self.door.value("admit", n=100)
            elif (later := self.door.one(LATER)) is not None:
                self.move((later - self.world.now).total_seconds() + 0.001)
            else:
                break
        else:
            raise AssertionError("it never comes to an end")
        free = {job.id: job for job in self.world.go_on()}
        order = "select id from _howdah.job where id = any (%s) order by seq"
        for row in self.door.rows(order, [*free]) if free else []:
            job = free.pop(row.id)
            self.world.make_ready(job, self._time_of(job))
        assert not free, f"they have nothing to wait for, and are gone: {free}"

    def _time_of(self, job: FlowJob) -> Any:
        if job.step is None:
            return job.run_at
        return self.door.one("select run_at from _howdah.job where id = %s", job.id)

    @rule(parents=st.lists(st.tuples(picks, policies), max_size=3), which=picks,
          delay=st.sampled_from([None, None, 5]))  # fmt: skip
    def enqueue_after(self, parents: list[tuple[int, str]], which: int, delay: Any) -> None:
        known = [*self.world.jobs, UUID(int=7)] if which % 7 == 0 else [*self.world.jobs]
        after = {pick(known, n): policy for n, policy in parents} if known else {}
        new = New("work", "a", delay=delay)
        asked = {**new.options(), "after": {str(p): policy for p, policy in after.items()}}

        def expected() -> Any:
            if not after.keys() <= self.world.jobs.keys():
                raise Refused("JQ004")
            return self._stored

        self._new, self._after = new, after
        self.both(expected, lambda: self.door.enqueue_json(asked))

    def _stored(self, rows: Any) -> bool:
        assert isinstance(rows, list), f"{rows}, not a job"
        put_waiting(self.world, self._new, rows[0].id, self._after)
        return True

    @rule(asked=st.lists(parts, min_size=1, max_size=4))
    def start_workflow(self, asked: list[Part]) -> None:
        steps: list[dict[str, Any]] = []
        for n, part in enumerate(asked):
            after = {f"s{n - back}": policy for back, policy in part.after if back <= n}
            step = {"name": f"s{n}", "task": "work", "queue": part.queue, "after": after}
            step |= {"each": [{}] * part.jobs} if part.jobs > 1 else {}
            steps.append(step | ({"delay": f"{part.delay} s"} if part.delay else {}))

        def stored(flow_id: Any) -> bool:
            assert isinstance(flow_id, UUID), flow_id
            start(self.world, flow_id, steps, asked, self.door.rows(MEMBERS, flow_id))
            for step in self.world.flows[flow_id].steps:
                of_it = [j for j in self.world.jobs.values()
                         if isinstance(j, FlowJob) and j.step is step]  # fmt: skip
                step.jobs = sorted(of_it, key=lambda job: job.place)
                assert len(step.jobs) == asked[int(step.name[1:])].jobs
            return True

        self.both(
            lambda: stored,
            lambda: self.door.value("start_workflow", name="flow", steps=Jsonb(steps)),
        )

    @precondition(lambda self: self.world.flows)
    @rule(which=picks, twice=often)
    def cancel_workflow(self, which: int, twice: bool) -> None:
        flow = pick([*self.world.flows.values()], which)
        self.both(
            lambda: cancel_workflow(self.world, flow),
            lambda: self.door.value("cancel_workflow", id=flow.id),
            twice=twice,
        )

    @precondition(lambda self: self.world.flows)
    @rule(which=picks)
    def retry_workflow(self, which: int) -> None:
        flow = pick([*self.world.flows.values()], which)
        self.both(
            lambda: retry_workflow(self.world, flow),
            lambda: self.door.value("retry_workflow", id=flow.id),
        )

    @precondition(lambda self: self.world.in_state("running"))
    @rule(verb=st.sampled_from(["ack", "nack"]))
    def all_ends_are_rolled_back(self, verb: str) -> None:
        """What was never committed counts for nothing."""
        running = self.world.in_state("running")
        options = {"retry": False} if verb == "nack" else {}
        self.door.rows("begin")
        for job in running:
            if holds(self.world, job.id, job.lease):
                self.door.call(verb, id=job.id, lease=job.lease, **options)
        self.door.rows("rollback")

    @invariant()
    def workflows_are_shown(self) -> None:
        flows = self.world.flows.values()
        rows = self.door.rows("select id, state from howdah.workflows")
        assert {row.id: row.state for row in rows} == {
            f.id: "cancelling" if f.state == "running" and f.cancelling else f.state for f in flows
        }
        rows = self.door.rows(
            "select workflow, name, state, created, running, finished, succeeded, failed, cancelled"
            " from howdah.steps order by workflow, place"
        )
        assert [tuple(row) for row in rows] == [
            self._shown(step)
            for f in sorted(flows, key=lambda f: f.id)
            for step in f.steps
        ]  # fmt: skip

    def _shown(self, step: Step) -> tuple[Any, ...]:
        states = [job.state for job in step.jobs]
        ended = [states.count(state) for state in ("succeeded", "failed", "cancelled")]
        return (step.workflow.id, step.name, step.state, len(states), states.count("running"),
                sum(ended), *ended)  # fmt: skip
