"""Enqueuing by every door: one, many, a batch, an insert into howdah.jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import rule
from tests.model.machine import IDS, KEYS, PRIORITIES, QUEUES, TASKS, Machine, often
from tests.model.world import Job, World, seconds


@dataclass(frozen=True)
class New:
    """What a caller asks for; None is left out."""

    task: str
    queue: str | None
    priority: int | None = None
    delay: float | None = None
    max_attempts: int | None = None
    timeout: float | None = None
    no_timeout: bool | None = None
    delivery: str | None = None
    id: UUID | None = None
    unique_key: str | None = None

    def options(self) -> dict[str, Any]:
        """As a call takes them."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return {**given, **{k: f"{given[k]:.6f} s" for k in ("delay", "timeout") if k in given}}


def maybe(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.sampled_from(values)


new_jobs = st.builds(
    New,
    task=st.sampled_from(TASKS),
    queue=st.sampled_from(QUEUES),
    priority=maybe(PRIORITIES),
    delay=maybe([0, 1, 10]),
    max_attempts=maybe([1, 2]),
    timeout=maybe([5]),
    delivery=maybe(["at_most_once", "at_least_once", "transactional"]),
)
keyed_jobs = st.builds(
    New,
    task=st.sampled_from(TASKS),
    queue=st.sampled_from(QUEUES),
    delay=maybe([1]),
    id=maybe(IDS),
    unique_key=maybe(KEYS),
    no_timeout=maybe([True]),
)


def enqueue(world: World, new: New, fresh: UUID | None = None) -> tuple[UUID | None, bool]:
    """The id that the caller gets (None: the store makes one), and whether a job came of it."""
    taken = new.id is not None and (new.id in world.given or new.id in world.jobs)
    if taken:
        return new.id, False
    if new.unique_key is not None and (holder := world.holder(new.unique_key)):
        return holder.id, False
    if new.id is not None:
        world.given.add(new.id)
    return new.id or fresh, True


def put(world: World, new: New, job_id: UUID) -> None:
    """The job itself."""
    job = Job(job_id, new.task, new.queue or "default", world.now, world.draw())
    job.priority, job.max_attempts = new.priority or 0, new.max_attempts or 4
    job.timeout = None if new.no_timeout else float(new.timeout or 60)
    job.delivery, job.unique_key = new.delivery or "at_least_once", new.unique_key
    if new.delay is not None:
        job.run_at = world.now + seconds(new.delay)
        job.state = "scheduled" if new.delay > 0 else "ready"
    world.jobs[job_id] = job


def enqueue_all(
    world: World, news: list[New], told: list[Any], *, says_created: bool = True
) -> bool:
    """Whether what the store answered, in this order, is what it had to."""
    assert len(told) == len(news)
    again = []  # whose id came before, for a job that was not stored: behind all others
    for place, (new, row) in enumerate(zip(news, told, strict=True)):
        job_id, created = enqueue(world, new)
        if created and new.id is None:
            job_id = row.id
            assert job_id not in world.jobs, "an id was given out twice"
        assert row.id == job_id, f"{new} led to another job"
        assert not says_created or row.created == created
        if created and new.id is not None and new.id in [n.id for n in news[:place]]:
            again.append(row.id)
        if created:
            put(world, new, row.id)
    for job_id in again:
        world.jobs[job_id].seq = world.draw()
    return True


def apart(new: New, n: int) -> New:
    """Due some microseconds apart, so that no two jobs are ever due at the same instant."""
    return replace(new, delay=new.delay and new.delay + n / 1_000_000)


class Enqueuing(Machine):
    """Rules that make jobs."""

    @rule(new=new_jobs | keyed_jobs, twice=often)
    def enqueue(self, new: New, twice: bool) -> None:
        self._enqueue(
            [new], lambda: self._one(self.door.enqueue(**new.options())), twice, says_created=False
        )

    @rule(new=new_jobs | keyed_jobs)
    def insert_into_jobs(self, new: New) -> None:
        options = {**new.options(), "args": "{}"}
        if new.no_timeout:
            options["timeout"] = f"{options.pop('no_timeout') and 60} s"
        if new.delay is not None:
            options["run_at"] = self.world.now + seconds(new.delay + 0.001)
            del options["delay"]
        marks = ", ".join(["%s"] * len(options))
        statement = f"insert into howdah.jobs ({', '.join(options)}) values ({marks}) returning id"
        told = New(**{**asdict(new), "no_timeout": None})
        self._enqueue(
            [told], lambda: self.door.rows(statement, *options.values()), False, says_created=False
        )

    @rule(news=st.lists(new_jobs | keyed_jobs, min_size=1, max_size=5), twice=often)
    def enqueue_many(self, news: list[New], twice: bool) -> None:
        news = [apart(new, n) for n, new in enumerate(news)]
        options = [self._as_json(new) for new in news]
        self._enqueue(news, lambda: self.door.enqueue_json(*options), twice)

    @rule(n=st.integers(1, 4), queue=st.sampled_from(QUEUES), priority=st.sampled_from(PRIORITIES))
    def enqueue_batch(self, n: int, queue: str, priority: int) -> None:
        ids = [self.an_id() for _ in range(n)]

        def predicted() -> int:
            for job_id in ids:
                put(self.world, New("work", queue, priority), job_id)
            return n

        self.both(
            predicted,
            lambda: self.door.value(
                "enqueue_batch",
                task="work",
                ids=ids,
                args=["{}"] * n,
                queue=queue,
                priority=priority,
            ),
        )

    def _enqueue(
        self,
        news: list[New],
        ask: Callable[[], list[Any]],
        twice: bool,
        *,
        says_created: bool = True,
    ) -> None:
        self.both(
            lambda: lambda told: enqueue_all(self.world, news, told, says_created=says_created),
            ask, twice=twice,
        )  # fmt: skip

    def _one(self, job_id: UUID) -> list[Any]:
        return [Job(job_id, "", "", self.world.now, 0)]

    def _as_json(self, new: New) -> dict[str, Any]:
        return {k: str(v) if k == "id" else v for k, v in new.options().items()}
