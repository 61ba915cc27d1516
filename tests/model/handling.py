"""What people do with jobs and queues: cancel, retry, run now, delete, pause, ask why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from tests.model.claiming import matches
from tests.model.machine import IDS, QUEUES, Machine, Refused, often, pick, picks
from tests.model.world import Ending, Job, Queue, World


def cancel(world: World, job_id: UUID) -> bool:
    """Whether it did anything: ended a waiting job, or asked for the end of a running one."""
    job = world.jobs.get(job_id)
    if job is None or not job.is_live:
        return False
    if job.waits:
        world.settle(job, "cancelled", error="cancelled before it ran")
        return True
    if job.worker is None and job.leased_until is None:
        words = "cancelled while it was held without a worker"
        world.end_attempts([(job, Ending(kind="cancelled", error=words))])
        return True
    was_asked, job.asked = job.asked, True
    return not was_asked


def retry(world: World, job_id: UUID) -> bool:
    """Whether it came back; refused when its unique key is taken."""
    job = world.jobs.get(job_id)
    if job is None or job.is_live:
        return False
    if job.unique_key is not None and world.holder(job.unique_key):
        raise Refused("JQ003")
    if world.is_hindered(job):
        raise Refused("JQ003")
    world.bring_back(job)
    renew(job)
    return True


def renew(job: Job) -> None:
    """Fresh room for attempts, and nothing of how it ended."""
    job.max_attempts, job.base = job.attempt + job.max_attempts - job.base, job.attempt
    job.run_at, job.crashes, job.suspect = None, 0, False
    job.finished_at = job.result = job.error = None


def run_now(world: World, job_id: UUID) -> bool:
    """Whether a scheduled job became ready."""
    job = world.jobs.get(job_id)
    if job is None or job.state != "scheduled":
        return False
    world.make_ready(job, world.now)
    return True


def delete(world: World, job_id: UUID) -> bool:
    """Whether a job, or what history had of it, went; nothing is left of it."""
    job = world.jobs.get(job_id)
    if job is not None and job.state == "running":
        return False
    if job is not None and job.waits:
        world.settle(job, "cancelled")
    world.jobs.pop(job_id, None)
    world.attempts[:] = [a for a in world.attempts if a.job_id != job_id]
    world.given.discard(job_id)
    return job is not None


def why(world: World, job_id: UUID) -> str:
    """How the sentence begins that says why it is not running."""
    job = world.jobs.get(job_id)
    if job is None:
        return "there is no such job"
    if not job.is_live:
        return f"finished: {job.state} at "
    if job.state == "running":
        return _why_running(world, job)
    if job.state == "scheduled":
        return "scheduled for " if job.due > world.now else "due since "
    if world.queue(job.queue).paused:
        return f"queue {job.queue} is paused"
    serving = [
        w for w in world.workers.values() if w.control == "go" and not w.is_silent(world.now)
    ]
    listening = [w for w in serving if matches(job.queue, w.queues)]
    if not serving:
        return "no worker is running"
    if not listening:
        return f"no worker listens to queue {job.queue}"
    if not any(matches(job.task, w.tasks) for w in listening):
        return f"no worker of queue {job.queue} knows the task {job.task}"
    ready = [j for j in world.in_state("ready") if j.queue == job.queue]
    before = sum((-j.priority, j.seq) < (-job.priority, job.seq) for j in ready)
    return f"ready: {before} job{'' if before == 1 else 's'} of queue {job.queue} before it"


def _why_running(world: World, job: Job) -> str:
    if job.ran_out(world.now):
        return "its lease ran out at "
    if job.worker is None:
        return "running since "
    worker = world.workers[job.worker]
    if worker.is_silent(world.now):
        return f"its worker {worker.name} is silent"
    return f"running on {worker.name} since "


class Handling(Machine):
    """Rules of those who look after the queue."""

    def some_job(self, which: int) -> UUID:
        """One that is there, or a given id, which may be gone."""
        known = [*IDS, *self.world.jobs]
        return pick(known, which)

    @rule(which=picks, twice=often)
    def cancel(self, which: int, twice: bool) -> None:
        self._on_one("cancel", cancel, which, twice)

    @rule(which=picks, twice=often)
    def retry(self, which: int, twice: bool) -> None:
        finished = [job.id for job in self.world.jobs.values() if not job.is_live]
        self._on_one("retry", retry, which, twice, finished)

    @rule(which=picks, twice=often)
    def run_now(self, which: int, twice: bool) -> None:
        scheduled = [job.id for job in self.world.in_state("scheduled")]
        self._on_one("run_now", run_now, which, twice, scheduled)

    @rule(which=picks, twice=often)
    def delete(self, which: int, twice: bool) -> None:
        self._on_one("delete", delete, which, twice)

    def _on_one(
        self, verb: str, predicted: Callable[[World, UUID], bool], which: int, twice: bool,
        likely: list[UUID] | None = None,
    ) -> None:  # fmt: skip
        job_id = pick(likely, which // 4) if likely and which % 4 else self.some_job(which)
        self.both(
            lambda: predicted(self.world, job_id),
            lambda: self.door.value(verb, id=job_id),
            twice=twice,
        )

    @rule(queue=st.sampled_from(QUEUES), twice=often)
    def pause(self, queue: str, twice: bool) -> None:
        self._set_paused("pause", queue, True, twice)

    @precondition(lambda self: any(q.paused for q in self.world.queues.values()))
    @rule(which=picks, twice=often)
    def resume(self, which: int, twice: bool) -> None:
        paused = sorted(name for name, q in self.world.queues.items() if q.paused)
        self._set_paused("resume", pick(paused, which), False, twice)

    def _set_paused(self, verb: str, name: str, paused: bool, twice: bool) -> None:
        def predicted() -> bool:
            queue = (
                self.world.queues.setdefault(name, Queue()) if paused else self.world.queue(name)
            )
            was, queue.paused = queue.paused, paused
            return was != paused

        self.both(predicted, lambda: self.door.value(verb, queue=name), twice=twice)

    # Asking

    @rule(which=picks, queue=st.sampled_from([None, *QUEUES]), cap=st.sampled_from([2, 10000]))
    def ask(self, which: int, queue: str | None, cap: int) -> None:
        """Why a job does not run, or how much there is to do."""
        if which % 2:
            self.ask_why(which // 2)
        else:
            self.ask_for_the_backlog(queue, cap)

    def ask_why(self, which: int) -> None:
        job_id = self.some_job(which)

        def expected() -> Any:
            begins = why(self.world, job_id)
            job = self.world.jobs.get(job_id)
            asked = job is not None and job.asked and begins.startswith("running on")
            return lambda told: self._is_said(told, begins, asked)

        self.both(expected, lambda: self.door.why(job_id))

    def _is_said(self, told: str, begins: str, asked: bool) -> bool:
        assert told.startswith(begins), f"{told!r}, not {begins!r}"
        return told.endswith("; asked to cancel") == asked

    def ask_for_the_backlog(self, queue: str | None, cap: int) -> None:
        def predicted() -> int:
            world = self.world
            due = [job for job in world.jobs.values() if (job.waits and job.due <= world.now)
                   or job.state == "ready"]  # fmt: skip
            counted = [job for job in due if not world.queue(job.queue).paused]
            return min(cap, sum(queue in (None, job.queue) for job in counted))

        self.both(predicted, lambda: self.door.value("backlog", queue=queue, cap=cap))
