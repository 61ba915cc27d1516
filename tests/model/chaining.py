"""Chains that chance alone would rarely put together: crash after crash, claim after claim."""

from __future__ import annotations

from math import ceil
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from tests.model.claiming import Claiming
from tests.model.enqueuing import Enqueuing, New
from tests.model.finishing import Finishing
from tests.model.machine import PRIORITIES, QUEUES, pick, picks
from tests.model.passing import Passing
from tests.model.serving import Serving
from tests.model.world import Ending

HOW = ["released", "left", "rolled back"]
BAD_JOBS = [{"max_attempts": 0}, {"task": ""}, {"delay": "-1 s"}, {"queue": "*"}]
ways_to_die = st.lists(st.sampled_from(["dies", "falls silent"]), min_size=3, max_size=3)


class Chaining(Enqueuing, Claiming, Finishing, Passing, Serving):
    """Rules of several steps, each of which is compared as if it were a rule of its own."""

    plain: type[New] = New

    @rule(times=st.sampled_from([1, 2, 3, 3]), how=ways_to_die)
    def crashes(self, times: int, how: list[str]) -> None:
        """Worker after worker takes all there is and is lost with it; thrice is the end."""
        self._have_something_ready()
        for way in how[:times]:
            self._one_worker_takes_all()
            if way == "dies":
                self.is_found_dead(0, "all")
            else:
                self.tick(11)
                self.chores()
            self.all_is_as_the_model_says()

    @precondition(lambda self: self.before is None)
    @rule(how=st.sampled_from(HOW), which=picks, late=st.booleans())
    def is_claimed_twice(self, how: str, which: int, late: bool) -> None:
        """The same jobs again, after a claim that counts for nothing; what the first claimer has to
        say is refused."""
        self._have_something_ready()
        self.register(["*"], None, 10, "none")
        if how == "rolled back":
            self.begin()
        self.claim_by_a_worker(100, 0, None, False)
        first = self._held_by_the_newest()
        if how == "rolled back":
            self.roll_back()
        elif how == "left":
            self.leave(0)
            self.register(["*"], None, 10, "none")
        else:
            for job_id, lease in first:
                self._end("release", job_id, lease)
        self.claim_by_a_worker(100, 0, None, False)
        if first and late:
            self._end("ack", *pick(first, which))

    @rule(verb=st.sampled_from(["ack", "release", "extend"]), which=picks)
    def comes_too_late(self, verb: str, which: int) -> None:
        """The clock has ended a lease; its holder is back before any chore has noticed."""
        self._have_something_ready()
        self.claim(100, None, None, None)
        ending = [job for job in self.world.in_state("running") if job.leased_until]
        if not ending:
            return
        job = pick(ending, which)
        assert job.lease is not None
        self.move(max(0, ceil(self._left(job))) + 1)
        if verb == "extend":
            self._extend(job.id, job.lease, 40)
        else:
            self._end(verb, job.id, job.lease)

    @rule(n=st.integers(1, 3), size=st.integers(1, 2))
    def is_hidden_behind_others(self, n: int, size: int) -> None:
        """What a claim wants lies behind jobs of greater priority that it does not want."""
        for priority in range(n, 0, -1):
            self.enqueue(New("play", "a", priority), False)
        self.enqueue(New("work", "a", 0), False)
        self.claim(size, ["a"], ["work"], None)

    @precondition(lambda self: self.before is None)
    @rule(
        n=st.sampled_from([1, 2, 100]),
        priorities=st.lists(st.sampled_from(PRIORITIES), min_size=1, max_size=3),
        comes_back=st.booleans(),
    )
    def comes_above_a_floor(self, n: int, priorities: list[int], comes_back: bool) -> None:
        """What comes after a claim that took all; some of that may come back to the front."""
        self.enqueue(self.plain("work", "a", 0), False)
        self.claim_above_floors(100)
        assert self.claimer is not None
        if comes_back:
            running = self.world.in_state("running")
            mine = [(j.id, j.lease) for j in running if j.worker == self.claimer.worker and j.lease]
            if mine:
                self._end("release", *mine[-1])
        for priority in priorities:
            self.enqueue(self.plain("work", "a", priority), False)
        self.claim_above_one_floor(n, "a", 0, False)

    def _have_something_ready(self) -> None:
        paused = {name for name, queue in self.world.queues.items() if queue.paused}
        open_ones = [name for name in QUEUES if name not in paused]
        if open_ones and not any(j.queue not in paused for j in self.world.in_state("ready")):
            self.enqueue(self.plain("work", open_ones[0]), False)

    def _one_worker_takes_all(self) -> None:
        self.register(["*"], None, 10, "none")
        self.claim_by_a_worker(100, 0, None, False)

    def _held_by_the_newest(self) -> list[tuple[UUID, UUID]]:
        newest, running = self.workers[-1], self.world.in_state("running")
        return [(job.id, job.lease) for job in running if job.worker == newest.id and job.lease]

    def _end(self, verb: str, job_id: UUID, lease: UUID) -> None:
        ending = Ending(kind={"ack": "succeeded", "release": "released"}[verb])
        self._finish_one(
            job_id, lease, ending, False,
            lambda: self.door.value(verb, id=job_id, lease=lease) or None,
        )  # fmt: skip

    @rule(what=st.sampled_from(["a bad job", "a swept worker's claim", "a swept worker's beat"]),
          bad=st.sampled_from(BAD_JOBS))  # fmt: skip
    def is_refused(self, what: str, bad: dict[str, Any]) -> None:
        """Calls that change nothing."""
        if what == "a bad job":
            good = {"task": "work", "queue": "a"}
            self.both(
                lambda: "refused with JQ001", lambda: self.door.enqueue_json(good, {**good, **bad})
            )
        elif what == "a swept worker's claim":
            self.claim_by_a_worker_that_was_swept()
        else:
            self.both(lambda: "swept", lambda: self.door.beat(self.ghost).action)
