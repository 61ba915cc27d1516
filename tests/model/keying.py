"""Enqueuing with keys: unique ones, serial ones, limits; and who is let in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from tests.model.enqueuing import New, apart, maybe
from tests.model.keyed_world import KeyedJob, KeyedWorld
from tests.model.machine import (
    BEGIN,
    IDS,
    KEYS,
    PRIORITIES,
    QUEUES,
    SEEN,
    TASKS,
    Machine,
    Refused,
    often,
)
from tests.model.world import World, seconds

SERIAL, LIMITED = ["s", "t"], [["x"], ["y"], ["x", "y"]]
ARGS = [{}, {"n": 1, "l": [1]}, {"n": 2, "l": [2], "o": {"a": 1}}, {"o": {"b": 2}}]
LET_IN = "select array_agg(id order by seq) from _howdah.job where state in ('r', 'x')"


@dataclass(frozen=True)
class KeyedNew(New):
    """What a caller asks for, with keys."""

    args: Any = None
    serial_key: str | None = None
    collapse: str | None = None
    on_failure: str | None = None
    limit_keys: list[str] | None = None
    unique_per: str | None = None
    unique_while: str | None = None
    unique_for: float | None = None
    on_conflict: str | None = None
    earlier: bool | None = None

    def options(self) -> dict[str, Any]:
        options = super().options()
        if self.unique_for is not None:
            options["unique_for"] = f"{self.unique_for} s"
        return options

    @property
    def key(self) -> str | None:
        """Its unique key, which may be that of its queue only."""
        return f"{self.queue}\x1f{self.unique_key}" if self.unique_per else self.unique_key

    @property
    def waiting_key(self) -> tuple[str, ...] | None:
        """What nobody else may have among jobs that have not started."""
        if self.unique_while == "waiting":
            return ("unique", str(self.key))
        if self.collapse == "waiting":
            return ("serial", str(self.serial_key))
        if self.collapse == "task":
            return ("task", str(self.serial_key), str(self.queue), self.task)
        return None


common = {
    "task": st.sampled_from(TASKS), "queue": st.sampled_from(QUEUES), "args": st.sampled_from(ARGS),
    "priority": maybe(PRIORITIES), "delay": maybe([0, 1, 10]), "max_attempts": maybe([1, 2]),
    "timeout": maybe([5]),
}  # fmt: skip
conflicts = {
    "on_conflict": maybe(["existing", "replace", "merge", "raise"]), "earlier": maybe([True]),
}  # fmt: skip
plain = st.builds(KeyedNew, **common, id=maybe(IDS))
serial = st.builds(
    KeyedNew, **common, serial_key=st.sampled_from(SERIAL), on_failure=maybe(["skip", "block"])
)
limited = st.builds(
    KeyedNew, **common, limit_keys=st.sampled_from(LIMITED),
    serial_key=st.sampled_from([None, None, *SERIAL]),
)  # fmt: skip
collapsing = st.builds(
    KeyedNew, **common, **conflicts, serial_key=st.sampled_from(SERIAL),
    collapse=st.sampled_from(["waiting", "task"]),
)  # fmt: skip
scope = st.sampled_from([{}, {}, {"unique_while": "waiting"}, {"unique_for": 5.0}])
unique = st.builds(
    lambda scope, **options: KeyedNew(**options, **scope), scope, **common, **conflicts,
    unique_key=st.sampled_from(KEYS), unique_per=maybe(["queue"]), id=maybe(IDS),
    serial_key=st.sampled_from([None, None, *SERIAL]),
)  # fmt: skip


def enqueue(world: KeyedWorld, new: KeyedNew, told: Any) -> bool:
    """Whether the store answered with the job that it had to: a new one, or who has the key."""
    if new.id is not None and (new.id in world.given or new.id in world.jobs):
        return bool(told.id == new.id and told.created in (None, False))
    holder = who_has(world, new)
    if holder is None:
        assert told.id not in world.jobs, f"{new} led to a job that has no such key"
        assert new.id in (None, told.id)
        put(world, new, told.id)
        return told.created in (None, True)
    assert told.id == holder, f"{new} led to {told.id}, and {holder} has its key"
    job = world.jobs.get(holder)
    if isinstance(job, KeyedJob) and job.waits:
        change(world, job, new)
    return told.created in (None, False)


def who_has(world: KeyedWorld, new: KeyedNew) -> UUID | None:
    """The job for whose sake the new one is not enqueued."""
    if new.unique_for is not None:
        until, job_id = world.windows.get(str(new.key), (BEGIN, None))
        return job_id if until > world.now else None
    if new.waiting_key is not None:
        same = (j.id for j in world.keyed() if j.is_live and j.waiting_key == new.waiting_key)
        return next(same, None)
    holder = world.holder(new.key) if new.key is not None else None
    return holder.id if holder is not None else None


def put(world: KeyedWorld, new: KeyedNew, job_id: UUID) -> None:
    """The job itself."""
    job = KeyedJob(job_id, new.task, new.queue or "default", world.now, world.draw())
    job.args, job.priority = new.args or {}, new.priority or 0
    job.max_attempts = new.max_attempts or 4
    job.timeout = float(new.timeout or 60)
    job.serial_key, job.skips = new.serial_key, new.on_failure == "skip"
    job.limit_keys = frozenset(new.limit_keys or []) | world.limits_of(job)
    job.waiting_key = new.waiting_key
    if new.unique_for is not None:
        world.windows[str(new.key)] = (world.now + seconds(new.unique_for), job_id)
    elif new.unique_while is None:
        job.unique_key = new.key
    if new.delay is not None:
        job.run_at = world.now + seconds(new.delay)
        job.state = "scheduled" if new.delay > 0 else "ready"
    world.jobs[job_id] = job
    if new.id is not None:
        world.given.add(new.id)
    world.block(job)


def change(world: KeyedWorld, job: KeyedJob, new: KeyedNew) -> None:
    """What a new one does to the one that waits under its key."""
    replaces, asked = new.on_conflict == "replace", world.now + seconds(new.delay or 0)
    if replaces:
        job.args = new.args or {}
    elif new.on_conflict == "merge":
        job.args = merged(job.args, new.args or {})
    due = job.run_at
    if new.earlier:
        due = min(job.run_at or world.now, asked)
    elif replaces:
        due = asked
    ranked = replaces and new.priority not in (None, job.priority)
    if ranked:
        job.priority = new.priority or 0
    is_put_off = due != job.run_at and due is not None and due > world.now
    moved = new.on_conflict in ("replace", "merge") and change_keys(world, job, new)
    if moved or ranked or is_put_off or (due != job.run_at and job.state == "scheduled"):
        world.make_ready(job, due)


def change_keys(world: KeyedWorld, job: KeyedJob, new: KeyedNew) -> bool:
    """The keys of the new one are its own from now on; whether it had others."""
    is_alike = (new.task, new.queue or "default") == (job.task, job.queue)
    limits = frozenset((is_alike and new.limit_keys) or []) | world.limits_of(job)
    if (new.serial_key, limits) == (job.serial_key, job.limit_keys):
        return False
    job.serial_key, job.limit_keys, job.skips = new.serial_key, limits, new.on_failure == "skip"
    return True


def merged(old: Any, new: Any) -> Any:
    """Objects name by name, lists one behind the other; of anything else the newer counts."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{k: merged(old[k], v) if k in old else v for k, v in new.items()}}
    return old + new if isinstance(old, list) and isinstance(new, list) else new


class Told:
    """An answer that does not say whether it is a new job."""

    def __init__(self, job_id: UUID) -> None:
        self.id, self.created = job_id, None


def look_who_was_let_in(machine_door: Any, world: KeyedWorld) -> None:
    """Lets those in whom the store let in, in its order; each must have been allowed to."""
    waiting = {job.id: job for job in world.keyed() if job.state == "blocked"}
    order = machine_door.one(LET_IN) or [] if waiting else []
    for place, job_id in enumerate(order):
        if (job := waiting.get(job_id)) is None:
            continue
        world.let_in(job)
        beside = [world.jobs[i] for i in order if i not in waiting or world.jobs[i].is_in]
        before = [j.seq for j in beside if order.index(j.id) < place]
        behind = [j.seq for j in beside if order.index(j.id) > place and j.id not in waiting]
        if behind:  # somebody else was made ready later, in the same call
            job.seq = Fraction(min(behind) + (max(before) if before else min(behind) - 1), 2)


class Keying(Machine):
    """Rules that make jobs with keys, and let them in."""

    world: KeyedWorld
    may_be_told_of_work = True
    columns = SEEN.replace("leased_until", "leased_until, args, serial_key, limit_keys, cursor")

    def new_world(self, order_of: Callable[[list[UUID]], list[UUID]]) -> World:
        door = self.door
        looks = lambda world: look_who_was_let_in(door, world)  # noqa: E731
        due = lambda: door.one("select min(due) from _howdah.pending")  # noqa: E731
        return KeyedWorld(BEGIN, order_of=order_of, let_in_by_the_store=looks, next_look=due)

    def seen(self, job: Any) -> tuple[Any, ...]:
        limits = sorted(job.limit_keys) or None
        return (*super().seen(job), job.args, job.serial_key, limits, job.cursor)

    @rule(new=serial | limited | plain, twice=often)
    def enqueue(self, new: KeyedNew, twice: bool) -> None:
        self._enqueue_one(new, twice)

    @rule(new=unique | collapsing, twice=often)
    def enqueue_unique(self, new: KeyedNew, twice: bool) -> None:
        self._enqueue_one(new, twice)

    def _enqueue_one(self, new: KeyedNew, twice: bool) -> None:
        def expected() -> Any:
            self._refuse_if_it_has_to(new)
            return lambda job_id: enqueue(self.world, new, Told(job_id))

        self.both(expected, lambda: self.door.enqueue(**new.options()), twice=twice)

    def _refuse_if_it_has_to(self, new: KeyedNew) -> None:
        is_given = new.id is not None and (new.id in self.world.given or new.id in self.world.jobs)
        if new.on_conflict == "raise" and not is_given and who_has(self.world, new) is not None:
            raise Refused("JQ003")

    @rule(news=st.lists(serial | limited | plain, min_size=1, max_size=4), twice=often)
    def enqueue_many(self, news: list[KeyedNew], twice: bool) -> None:
        news = [apart(new, n) for n, new in enumerate(news)]
        options = [{k: str(v) if k == "id" else v for k, v in n.options().items()} for n in news]

        def expected() -> Any:
            return lambda rows: all(
                enqueue(self.world, new, row) for new, row in zip(news, rows, strict=True)
            )

        self.both(expected, lambda: self.door.enqueue_json(*options), twice=twice)

    @rule()
    def let_in(self) -> None:
        """A worker looks, until there is nothing more to be done: then nobody waits in vain."""

        def ask() -> None:
            for _ in range(20):
                if not self.door.one("select _howdah.is_pending()"):
                    return
                self.door.value("admit", n=100)
            raise AssertionError("it never comes to an end")

        self.both(lambda: None, ask)
        self.world.look_who_was_let_in()
        self.nobody_waits_in_vain()

    def nobody_waits_in_vain(self) -> None:
        left = [job for job in self.world.keyed() if self.world.waits_in_vain(job)]
        assert not left, f"they could go, and wait: {left}"

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        self.world.look_who_was_let_in()
        super().all_is_as_the_model_says()
