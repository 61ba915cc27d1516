"""Finishing: by the holder, by whoever once held it, again after a lost answer, many at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from tests.model.machine import Machine, Refused, often, pick, picks
from tests.model.world import Ending, Job, World, seconds

KINDS = ["succeeded", "retry", "failed", "cancelled", "snoozed", "released", "crashed", "hung"]


def holds(world: World, job_id: UUID, lease: UUID) -> Job | None:
    """The job that runs under this lease, which the clock has not ended."""
    job = world.held(job_id, lease)
    return job if job is not None and not job.ran_out(world.now) else None


def was_finished(world: World, job_id: UUID, lease: UUID, ending: Ending) -> bool:
    """Whether this very finish was taken before."""
    job = world.jobs.get(job_id)
    ends = [a for a in world.attempts if a.job_id == job_id and a.lease == lease]
    if ending.kind == "succeeded":
        return (
            job is not None and not job.is_live and job.lease == lease
            and (job.state == "succeeded" or (job.state == "cancelled" and not ends))
        )  # fmt: skip
    return any(a.outcome == ending.outcome and a.outcome not in ("lost", "expired") for a in ends)


def finish(world: World, endings: list[tuple[UUID, UUID, Ending]]) -> dict[UUID, str]:
    """Ends what is held; those that are refused, and why."""
    mine = [(holds(world, job_id, lease), ending) for job_id, lease, ending in endings]
    for job, ending in mine:
        if job is not None and ending.kind == "succeeded":
            state = "cancelled" if job.asked else "succeeded"
            world.settle(
                job, state, result=ending.result, error=None if job.asked else ending.error
            )
    world.end_attempts((job, end) for job, end in mine if job and end.kind != "succeeded")
    return {
        job_id: "done" if was_finished(world, job_id, lease, ending) else "lost"
        for (job, _), (job_id, lease, ending) in zip(mine, endings, strict=True)
        if job is None
    }


def finish_one(world: World, job_id: UUID, lease: UUID, ending: Ending) -> None:
    """As ack, nack and release: refused when the lease is lost."""
    if finish(world, [(job_id, lease, ending)]).get(job_id) == "lost":
        raise Refused("JQ002")


class Finishing(Machine):
    """Rules that end attempts. A token may be of now, of long ago, or of another job."""

    def token(self, which: int, whose: int) -> tuple[UUID, UUID]:
        """An id and a lease: mostly of what runs, else of what ever ran, or of two jobs."""
        running = [(job.id, job.lease) for job in self.world.in_state("running") if job.lease]
        if not running or whose in (2, 3):
            return pick(self.tokens, which)
        job_id, lease = pick(running, which)
        others = [token for _, token in self.tokens if token != lease]
        return (job_id, pick([*others, job_id], which)) if whose < 2 else (job_id, lease)

    @precondition(lambda self: self.tokens)
    @rule(which=picks, whose=st.integers(0, 9), result=st.none() | st.integers(0, 9), twice=often)
    def ack(self, which: int, whose: int, result: Any, twice: bool) -> None:
        job_id, lease = self.token(which, whose)
        options = {} if result is None else {"result": {"n": result}}
        self._finish_one(
            job_id, lease, Ending(kind="succeeded", result=options.get("result")), twice,
            lambda: self.door.value("ack", id=job_id, lease=lease, **options) or None,
        )  # fmt: skip

    @precondition(lambda self: self.tokens)
    @rule(which=picks, whose=st.integers(0, 9), retry=st.sampled_from([True, True, False]),
          again=st.sampled_from([None, 0, 1, 10, "at"]), twice=often)  # fmt: skip
    def nack(self, which: int, whose: int, retry: bool, again: Any, twice: bool) -> None:
        job_id, lease = self.token(which, whose)
        at = self.world.now + seconds(1) if again == "at" else None
        when = {} if again is None else {"retry_at": at} if at else {"retry_in": f"{again} s"}

        def predicted() -> Any:
            again_at = at or (None if again is None else self.world.now + seconds(again))
            ending = Ending(kind="retry" if retry else "failed", error="no", again_at=again_at)
            finish_one(self.world, job_id, lease, ending)
            # what left no trace is called failed
            return self.world.jobs[job_id].state if job_id in self.world.jobs else "failed"

        self.both(
            predicted,
            lambda: self.door.value(
                "nack", id=job_id, lease=lease, error="no", retry=retry, **when
            ),
            twice=twice,
        )

    @precondition(lambda self: self.tokens)
    @rule(which=picks, whose=st.integers(0, 9), twice=often)
    def release(self, which: int, whose: int, twice: bool) -> None:
        job_id, lease = self.token(which, whose)
        self._finish_one(
            job_id, lease, Ending(kind="released"), twice,
            lambda: self.door.value("release", id=job_id, lease=lease) or None,
        )  # fmt: skip

    @precondition(lambda self: self.tokens)
    @rule(
        which=picks,
        n=st.integers(1, 5),
        kinds=st.none() | st.lists(st.sampled_from(KINDS), min_size=5, max_size=5),
        again=st.sampled_from([None, 0, 10]),
        skips=st.booleans(),
        twice=often,
    )
    def finish(
        self, which: int, n: int, kinds: list[str] | None, again: Any, skips: bool, twice: bool
    ) -> None:
        some = dict(self.tokens[max(0, len(self.tokens) - n - which % 3) :][:n])  # each job once
        waits = [None if again is None else again + k / 1_000_000 for k in range(len(some))]
        outcomes, words = (["succeeded"] * 5, None) if kinds is None else (kinds, "oh")
        options: dict[str, Any] = {"skip_locked": skips}
        if kinds is not None:
            options["outcomes"], options["errors"] = kinds[: len(some)], [words] * len(some)
            options["retry_in"] = [None if w is None else f"{w:.6f} s" for w in waits]

        def ending(kind: str, wait: float | None) -> Ending:
            again_at = None if wait is None else self.world.now + seconds(wait)
            return Ending(kind=kind, error=words, again_at=again_at)

        def predicted() -> dict[UUID, str]:
            endings = [
                (job_id, lease, ending(kind, wait))
                for (job_id, lease), kind, wait in zip(some.items(), outcomes, waits, strict=False)
            ]
            return finish(self.world, endings)

        def ask() -> dict[UUID, str]:
            refused = self.door.call("finish", ids=[*some], leases=[*some.values()], **options)
            return {row.id: row.reason for row in refused}

        self.both(predicted, ask, twice=twice)

    @precondition(lambda self: self.tokens)
    @rule(which=picks, whose=st.integers(0, 9), duration=st.sampled_from([1, 40]))
    def extend(self, which: int, whose: int, duration: int) -> None:
        self._extend(*self.token(which, whose), duration)

    def _extend(self, job_id: UUID, lease: UUID, duration: int) -> None:
        def predicted() -> Any:
            job = holds(self.world, job_id, lease)
            if job is None:
                raise Refused("JQ002")
            until = self.world.now + seconds(duration)
            if job.leased_until is not None:
                job.leased_until = until
            return until

        self.both(
            predicted,
            lambda: self.door.value("extend", id=job_id, lease=lease, duration=f"{duration} s"),
        )

    def _finish_one(
        self, job_id: UUID, lease: UUID, ending: Ending, twice: bool, ask: Callable[[], Any]
    ) -> None:
        self.both(lambda: finish_one(self.world, job_id, lease, ending), ask, twice=twice)
