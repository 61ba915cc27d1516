"""Claiming: whose turn it is, by priority, place, queue, task and suspicion."""

from __future__ import annotations

import copy
from typing import Any

from claimer import Claimer
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from tests.model import chores
from tests.model.machine import PRIORITIES, QUEUES, TASKS, Machine, Refused, pick, picks
from tests.model.world import Job, Worker, World, seconds

sizes = st.sampled_from([1, 2, 3, 100])
wanted_queues = st.sampled_from([None, None, ["a"], ["b", "a"], ["b*"], ["none", "brief"]])
wanted_tasks = st.sampled_from([None, None, ["work"], ["pl*"]])


def matches(name: str, patterns: list[str] | None) -> bool:
    """Whether a name is one of the names or begins as one of the patterns does."""
    return patterns is None or any(
        name.startswith(p[:-1]) if p.endswith("*") else name == p for p in patterns
    )


def nth_priority(job: Job, ready: list[Job]) -> int:
    """How many greater priorities there are beside its own."""
    return len({other.priority for other in ready if other.priority > job.priority})


def picked(
    world: World, n: int, queues: list[str] | None, tasks: list[str] | None, suspects: int | None
) -> list[Job]:
    """Up to n ready jobs whose turn it is: queue by queue, the one whose first job comes first."""
    heads = []
    for name in QUEUES:
        ready = [job for job in world.in_state("ready") if job.queue == name]
        ready.sort(key=lambda job: (-job.priority, job.seq))
        if ready and matches(name, queues) and not world.queue(name).paused:
            heads.append((-ready[0].priority, ready[0].seq, ready))
    in_turn = [ready for _, _, ready in sorted(heads, key=lambda h: h[:2])]
    most = n  # priorities of each queue that are looked at, and more only where these do not do
    while True:
        turn = [job for ready in in_turn for job in ready if nth_priority(job, ready) < most]
        able = [job for job in turn
                if matches(job.task, tasks) and not (suspects == 0 and job.suspect)]  # fmt: skip
        if len(able) >= n or all(nth_priority(ready[-1], ready) + 1 < most for ready in in_turn):
            break
        most *= 10
    doubted = [job for job in able[:n] if job.suspect]
    too_many = doubted[suspects:] if suspects is not None else []
    return [job for job in able[:n] if job not in too_many]


def claim(
    world: World, n: int, worker: Worker | None = None, queues: list[str] | None = None,
    tasks: list[str] | None = None, suspects: int | None = None,
) -> list[Job]:  # fmt: skip
    """The jobs that run from now on, in the order in which they are handed out; no lease yet."""
    world.look_who_was_let_in()
    is_known = worker is None or worker.id in world.workers
    before = None if is_known else copy.deepcopy(world)
    found = picked(world, n, queues, tasks, suspects)
    due = world.next_due()
    if not found and due is not None and due < world.now - seconds(1):
        chores.stage(world)
        found = picked(world, n, queues, tasks, suspects)
    if found and before is not None:
        vars(world).update(vars(before))
        raise Refused("JQ005")
    return started(world, found, worker)


def claim_above(
    world: World, n: int, worker: Worker, queues: list[str], rows: list[Any]
) -> list[Job]:
    """On the short road: none, or as many as there came of what a claim would give first."""
    world.look_who_was_let_in()
    assert not rows or (not world.any_limits() and worker.id in world.workers)
    return started(world, picked(world, n, queues, TASKS, None)[: len(rows)], worker)


def started(world: World, found: list[Job], worker: Worker | None) -> list[Job]:
    """They run from now on; in the order in which they are handed out."""
    found = world.start(found)
    for job in found:
        job.state, job.attempt, job.started_at = "running", job.attempt + 1, world.now
        job.worker = worker.id if worker else None
        if worker is None and job.timeout is not None:
            job.leased_until = world.now + seconds(job.timeout)
    return sorted(found, key=lambda job: (-job.priority, job.seq))


def look_around(world: World, worker: Worker | None) -> None:
    """Before it claims for itself a caller does some of the chores."""
    if worker is None:
        chores.beat(world)
        chores.stage(world), chores.expire(world), chores.rescue(world)


def register(world: World, worker: Worker) -> None:
    """A first heartbeat, which does the chores when they are overdue, as each does."""
    chores.beat(world)
    world.workers[worker.id] = worker
    chores.overdue(world)


class Claiming(Machine):
    """Rules that lease jobs."""

    claimer: Claimer | None = None

    @rule(
        n=sizes,
        queues=wanted_queues,
        tasks=wanted_tasks,
        suspects=st.sampled_from([None, None, 0, 1]),
    )
    def claim(self, n: int, queues: Any, tasks: Any, suspects: int | None) -> None:
        self._claim(None, n, queues, tasks, suspects)

    @precondition(lambda self: self.world.workers)
    @rule(n=sizes, which=picks, suspects=st.sampled_from([None, None, 0, 1]), idle=st.booleans())
    def claim_by_a_worker(self, n: int, which: int, suspects: int | None, idle: bool) -> None:
        worker = pick(list(self.world.workers.values()), which)
        self._claim(worker, n, worker.queues, worker.tasks, suspects, idle=idle)

    def claim_by_a_worker_that_was_swept(self) -> None:
        nobody = Worker(self.ghost, "ghost", self.world.now, ["*"])
        self._claim(nobody, 1, None, None, None)

    @precondition(lambda self: self.before is None)
    @rule(n=sizes)
    def claim_above_floors(self, n: int) -> None:
        if self.claimer is None or self.claimer.worker not in self.world.workers:
            self.move(0.001)
            self.claimer = Claimer(self.door)
            register(self.world, Worker(self.claimer.worker, "claimer", self.world.now, ["*"]))
        worker, claimer = self.world.workers[self.claimer.worker], self.claimer
        self._compare(worker, lambda: claim(self.world, n, worker), lambda: claimer.claim(n))

    @precondition(lambda self: self.before is None and self.claimer is not None)
    @rule(
        n=sizes,
        queue=st.sampled_from(QUEUES),
        priority=st.sampled_from(PRIORITIES),
        others=st.booleans(),
    )
    def claim_above_one_floor(self, n: int, queue: str, priority: int, others: bool) -> None:
        assert self.claimer is not None
        worker = Worker(self.claimer.worker, "claimer", self.world.now, ["*"])
        floor = self.claimer.floors.above.get((queue, priority), 0)
        where = {"queue": queue, "priority": priority, "seq": floor, "others": others}
        queues = ["*"] if others else [queue]

        def expected() -> Any:
            return lambda rows: self._are_those(
                lambda: claim_above(self.world, n, worker, queues, rows), rows
            )

        self.both(
            expected,
            lambda: self.door.call("claim_above", **where, n=n, worker=worker.id, tasks=TASKS),
        )

    def _claim(
        self,
        worker: Worker | None,
        n: int,
        queues: Any,
        tasks: Any,
        suspects: int | None,
        **more: Any,
    ) -> None:
        options = {"queues": queues, "tasks": tasks, "suspects": suspects, **more}
        if worker is not None:
            options["worker"] = worker.id
        self._compare(
            worker,
            lambda: claim(self.world, n, worker, queues, tasks, suspects),
            lambda: self.door.claim(n, **options),
        )

    def _compare(self, worker: Worker | None, predicted: Any, ask: Any) -> None:
        def expected() -> Any:
            look_around(self.world, worker)
            return lambda rows: self._are_those(predicted, rows)

        self.both(expected, ask)

    def _are_those(self, predicted: Any, rows: Any) -> bool:
        try:
            jobs: list[Job] = predicted()
        except Refused as refusal:
            return bool(rows == f"refused with {refusal.sqlstate}")
        assert isinstance(rows, list), f"{rows}, not {jobs}"
        assert [row.id for row in rows] == [job.id for job in jobs], "others were claimed"
        assert len({row.lease for row in rows}) <= 1
        for job, row in zip(jobs, rows, strict=True):
            assert (job.id, row.lease) not in self.tokens, "a lease was handed out twice"
            job.lease = row.lease
            self.tokens.append((job.id, job.lease))
            timeout = None if job.timeout is None else job.timeout * 1000
            assert (row.queue, row.task, row.priority, row.attempt, row.base_attempt, row.suspect,
                    row.max_attempts, row.timeout_ms, row.delivery, row.leased_until) == (
                    job.queue, job.task, job.priority, job.attempt, job.base, job.suspect,
                    job.max_attempts, timeout, job.delivery, job.leased_until)  # fmt: skip
        return True
