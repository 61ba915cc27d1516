"""Workers: registering, beating, leaving, being told to, falling silent, being found dead."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from tests.model import chores
from tests.model.claiming import matches, register
from tests.model.machine import Machine, often, pick, picks
from tests.model.world import Ending, Worker, World, seconds


def beat(world: World, worker: Worker, *, writes: bool) -> None:
    """A heartbeat of one that is there; its row is written fifteen times within lost_after."""
    since = world.now - seconds(worker.lost_after / 15)
    if writes or not since <= worker.beat_at <= world.now:
        worker.beat_at = world.now


def heartbeat(world: World, worker_id: UUID, leases: list[UUID] | None = None) -> dict[str, Any]:
    """What a worker is told when it beats."""
    worker = world.workers.get(worker_id)
    if worker is None:
        return {"action": "swept", "cancel": set(), "work": None}
    beat(world, worker, writes=False)
    chores.beat(world)
    mine = [job for job in world.in_state("running") if job.worker == worker_id]
    if leases is not None:
        strays = [job for job in mine if job.lease not in leases]
        world.end_attempts((job, Ending(kind="released")) for job in strays)
    asked = {job.id for job in world.in_state("running") if job.worker == worker_id and job.asked}
    chores.overdue(world)
    work = any(
        matches(job.queue, worker.queues) and not world.queue(job.queue).paused
        for job in world.in_state("ready")
    )
    return {"action": worker.control, "cancel": asked, "work": work}


def find_dead(world: World, worker: Worker, running: set[UUID]) -> int:
    """Its jobs come back at once: those that ran are suspects."""
    held = [job for job in world.in_state("running") if job.worker == worker.id]
    endings = []
    for job in held:
        unsure = job.delivery == "at_most_once"
        kind = "crashed" if job.id in running else "lost" if unsure else "released"
        endings.append(
            (job, Ending(kind=kind, reason="released" if kind == "released" else "lost"))
        )
    world.end_attempts(endings)
    del world.workers[worker.id]
    return len(held)


def tell(world: World, workers: list[Worker], word: str) -> int:
    """How many were told to drain, to be killed, or now."""
    told = [w for w in workers if word != "drain" or w.control in ("go", "drain")]
    for worker in told:
        worker.control = "now" if worker.control in ("kill", "now") else word
    return len(told)


class Serving(Machine):
    """Rules of workers."""

    ghost = UUID(int=99)
    may_be_told_of_work = False  # although nothing is ready yet

    @property
    def workers(self) -> list[Worker]:
        return list(self.world.workers.values())

    @rule(
        queues=st.sampled_from([["*"], ["a"], ["b*", "a"]]),
        tasks=st.sampled_from([None, ["work"]]),
        lost_after=st.sampled_from([30, 10]),
        session=st.sampled_from(["none", "none", "gone", "held"]),
    )
    def register(self, queues: list[str], tasks: Any, lost_after: int, session: str) -> None:
        worker_id, key = self.an_id(), None if session == "none" else self.lock_key(session)

        def predicted() -> str:
            worker = Worker(
                worker_id, "w", self.world.now, queues, tasks, float(lost_after), session
            )
            register(self.world, worker)
            return "go"

        options = {
            "queues": queues,
            "tasks": tasks,
            "lost_after": f"{lost_after} s",
            "lock_key": key,
        }
        self.both(predicted, lambda: self.door.beat(worker_id, name="w", **options).action)

    def lock_key(self, session: str) -> int:
        """Of an advisory lock of this session, or one that nobody holds."""
        key = uuid4().int >> 66
        if session == "held":
            self.door.rows("select pg_advisory_lock(%s)", key)
        return key

    @precondition(lambda self: self.world.workers)
    @rule(which=picks, states_its_leases=st.sampled_from([False, False, "all", "none"]))
    def beat(self, which: int, states_its_leases: Any) -> None:
        worker = pick(self.workers, which)
        held = {job.lease for job in self.world.in_state("running") if job.worker == worker.id}
        leases = {"all": [*held], "none": [], False: None}[states_its_leases]

        def expected() -> Any:
            said = heartbeat(self.world, worker.id, leases)
            return lambda told: (
                (said["action"], said["cancel"]) == (told.action, set(told.cancel or []))
                and told.work in (said["work"], self.may_be_told_of_work and said["work"] is False)
            )

        self.both(expected, lambda: self.door.beat(worker.id, leases=leases))

    @precondition(lambda self: self.world.workers)
    @rule(n=st.integers(1, 3))
    def beat_for_several(self, n: int) -> None:
        some = self.workers[:n]

        def predicted() -> dict[UUID, str]:
            for worker in some:
                beat(self.world, worker, writes=False)
            chores.beat(self.world)
            return {**{worker.id: worker.control for worker in some}, self.ghost: "swept"}

        def ask() -> dict[UUID, str]:
            told = self.door.call("heartbeats", workers=[*(w.id for w in some), self.ghost])
            return {row.worker: row.action for row in told}

        self.both(predicted, ask)

    @precondition(lambda self: self.world.workers)
    @rule(which=picks)
    def leave(self, which: int) -> None:
        worker = pick(self.workers, which)

        def predicted() -> bool:
            chores.end_leases(self.world, worker, "released")
            del self.world.workers[worker.id]
            return True

        self.both(predicted, lambda: self.door.value("leave", worker=worker.id))

    @precondition(lambda self: self.world.workers)
    @rule(which=picks, ran=st.sampled_from(["all", "none", "first"]))
    def is_found_dead(self, which: int, ran: str) -> None:
        worker = pick(self.workers, which)
        held = [job.id for job in self.world.in_state("running") if job.worker == worker.id]
        running = {"all": held, "none": [], "first": held[:1]}[ran]
        self.both(
            lambda: find_dead(self.world, worker, set(running)),
            lambda: self.door.value("rescue", worker=worker.id, running=running),
        )

    @precondition(lambda self: self.world.workers)
    @rule(which=picks, word=st.sampled_from(["drain", "kill", "now"]), all_of_them=often)
    def tell(self, which: int, word: str, all_of_them: bool) -> None:
        worker = pick(self.workers, which)
        whom = {"name": "*"} if all_of_them else {"worker": worker.id}
        verb, how = ("kill", {"now": True}) if word == "now" else (word, {})
        self.both(
            lambda: tell(self.world, self.workers if all_of_them else [worker], word),
            lambda: self.door.value(verb, **whom, **how),
        )
