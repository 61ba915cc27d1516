"""Limits and rates that are put and taken away, cursors that are handed on, and their views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from psycopg.types.json import Jsonb
from tests.model.finishing import finish, holds
from tests.model.keyed_world import PER, KeyedJob, KeyedWorld, Limit, fits
from tests.model.keying import SERIAL, Keying
from tests.model.machine import Refused, often, pick, picks
from tests.model.world import Ending

NAMES = ["x", "y", "x*", "*", "queue:a", "queue:*"]
STARTS = "select at from _howdah.start where key = %s"
WAITING = "select id from _howdah.job where state = 'b'"


def put_limit(world: KeyedWorld, name: str, **said: int | None) -> None:
    """What is said of a limit; jobs of a queue that gets one have it from now on."""
    limit = world.limits.setdefault(name, Limit())
    vars(limit).update(said)
    if limit.most is None and limit.rate is None:
        del world.limits[name]
        return
    for job in sorted(world.keyed(), key=lambda j: j.seq):
        limited = world.limits_of(job) - job.limit_keys if job.is_live else frozenset()
        job.limit_keys |= limited
        if limited and job.state == "ready":  # who runs is counted, and not stopped
            world.make_ready(job)


class Limiting(Keying):
    """Rules of limits and cursors."""

    @rule(name=st.sampled_from(NAMES), most=st.sampled_from([None, 0, 1, 1, 2]), twice=often)
    def put_limit(self, name: str, most: int | None, twice: bool) -> None:
        self._put(name, lambda: self.door.value("put_limit", key=name, n=most), twice, most=most)

    @rule(rate=st.sampled_from([None, (1, 1), (2, 1), (3, 2)]), twice=often)
    def put_rate(self, rate: tuple[int, int] | None, twice: bool) -> None:
        n, burst = rate or (None, None)
        if self.world.rate("x") is None:  # starts of a rate that was taken away may be forgotten
            known = {row.at for row in self.door.rows(STARTS, "x")}
            starts = self.world.starts.get("x", [])
            self.world.starts["x"] = [at for at in starts if at in known]
        self._put(
            "x",
            lambda: self.door.value("put_rate", key="x", n=n, per=f"{PER} s", burst=burst),
            twice,
            rate=n,
            burst=burst,
        )

    def _put(self, name: str, ask: Callable[[], Any], twice: bool, **said: int | None) -> None:
        def predicted() -> Any:
            put_limit(self.world, name, **said)
            return lambda told: told == "" and self._are_within(name)

        self.both(predicted, ask, twice=twice)

    def _are_within(self, name: str) -> bool:
        """Who was let in and is too many waits again; whom of several the store sends back."""
        sent_back = {row.id for row in self.door.rows(WAITING)}
        over = {key for job in self.world.keyed() for key in job.limit_keys
                if fits(key, name) and self.world.is_over(key)}  # fmt: skip
        for job in [j for j in self.world.keyed() if j.state == "ready" and j.id in sent_back]:
            assert over & job.limit_keys, f"{job.id} was sent back, and there is a place for it"
            self.world.make_ready(job, front=True)
        return not any(job.state == "ready" and self.world.is_over(key)
                       for job in self.world.keyed() for key in over & job.limit_keys)  # fmt: skip

    @precondition(lambda self: self.world.cursors or self.running_with_a_key())
    @rule(which=picks, n=st.integers(0, 9), outcome=st.sampled_from(
        ["succeeded", "succeeded", "retry", "failed", "snoozed"]), twice=often)  # fmt: skip
    def finish_with_a_cursor(self, which: int, n: int, outcome: str, twice: bool) -> None:
        """What an attempt leaves for the next job of its key, while the lease is its own."""
        running = self.running_with_a_key()
        if not running:
            return
        job, cursor = pick(running, which), {"n": n}
        assert job.lease is not None
        job_id, lease = job.id, job.lease

        def predicted() -> dict[Any, str]:
            ending = Ending(kind=outcome, error="oh")
            if holds(self.world, job_id, lease):
                self.set_cursor(job, cursor)
            return finish(self.world, [(job_id, lease, ending)])

        def ask() -> dict[Any, str]:
            refused = self.door.call(
                "finish", ids=[job_id], leases=[lease], outcomes=[outcome], errors=["oh"],
                cursors=[Jsonb(cursor)],
            )  # fmt: skip
            return {row.id: row.reason for row in refused}

        self.both(predicted, ask, twice=twice)

    def running_with_a_key(self) -> list[KeyedJob]:
        return [j for j in self.world.keyed() if j.state == "running" and j.serial_key]

    def set_cursor(self, job: KeyedJob, cursor: Any) -> None:
        assert job.serial_key is not None
        _, version = self.world.cursors.get(job.serial_key, ({}, 0))
        self.world.cursors[job.serial_key] = (cursor, version + 1)

    @rule(key=st.sampled_from(SERIAL), n=st.integers(0, 9), off=st.sampled_from([None, 0, 1]))
    def set_cursor_by_hand(self, key: str, n: int, off: int | None) -> None:
        _, version = self.world.cursors.get(key, ({}, 0))
        expected = None if off is None else version + off

        def predicted() -> int:
            if off:
                raise Refused("JQ003")
            self.world.cursors[key] = ({"n": n}, version + 1)
            return version + 1

        options = {} if expected is None else {"expected_version": expected}
        self.both(
            predicted, lambda: self.door.value("set_cursor", key=key, cursor={"n": n}, **options)
        )

    looks = 0

    @invariant()
    def the_views_show_it(self) -> None:
        self.looks += 1
        if self.looks % 2:
            self._cursors_are_shown()
        else:
            self._limits_are_shown()

    def _cursors_are_shown(self) -> None:
        rows = self.door.rows("select key, cursor, version, waiting from howdah.cursors")
        seen = {row.key: (row.cursor, row.version) for row in rows if row.version}
        assert seen == self.world.cursors
        for row in rows:
            waiting = [j for j in self.world.keyed() if j.serial_key == row.key]
            assert row.waiting == sum(job.state == "blocked" for job in waiting)

    def _limits_are_shown(self) -> None:
        rows = self.door.rows("select key, most, rate, burst, taken, is_own from howdah.limits")
        world = self.world
        inside = [key for job in world.keyed() if job.is_in for key in job.limit_keys]
        shown = {row.key: row for row in rows}
        assert world.limits.keys() <= shown.keys()
        for key, row in shown.items():
            limit = world.rate(key) or Limit()
            assert (row.most, row.rate, row.burst, row.taken, row.is_own) == (
                world.most(key), limit.rate, limit.burst, inside.count(key), key in world.limits
            )  # fmt: skip
