"""What all rules stand on: the world, the store beside it, and the comparing of the two."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.conftest import CLEAN
from tests.model.world import BACKOFF, Job, Queue, World, seconds
from tests.sql.conftest import Door

QUEUES, TASKS, PRIORITIES = ["a", "b", "brief"], ["work", "play"], [-1, 0, 5]
KEYS, IDS = ["k", "l"], [UUID(int=n) for n in (1, 2)]
DECLARED = [
    {"name": task, "first_ms": first * 1000, "factor": factor, "longest_ms": longest * 1000}
    | {"jitter": 0}
    for task, (first, factor, longest) in BACKOFF.items()
]
BEGIN = datetime.fromisoformat("2026-01-05T12:00:00+00:00")
CLOCK = """
    create sequence if not exists public.moment minvalue 0;
    create or replace function _howdah.clock() returns timestamptz language sql volatile
    parallel safe return (
        select timestamptz '2026-01-05 12:00 UTC' + m.last_value * interval '1 ms'
        from public.moment m)
"""
KNOWN = """
    -- Jobs lie on disk as in any other run of the same steps.
    alter table _howdah.job set (autovacuum_enabled = off);
    truncate _howdah.job;
    -- Due jobs as the store comes upon them: of one instant it may take any first.
    create or replace function public.staged() returns setof uuid language plpgsql volatile
    set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
    set plan_cache_mode = force_generic_plan as $$
    declare
        moment timestamptz := _howdah.clock();
    begin
        return query
            select j.id from _howdah.job j where j.state = 's' and j.run_at <= moment
            order by j.run_at limit 5000;
    end $$;
    -- Ids in the order in which they are given out, since who comes first may hang on that.
    create sequence if not exists public.ids start 1000;
    create or replace function _howdah.new_id() returns uuid language sql volatile as
    $$ select lpad(to_hex(nextval('public.ids')), 32, '0')::uuid $$
"""
SEEN = """
    select id, queue, task, state, priority, attempt, max_attempts,
           extract(epoch from timeout)::float8 as timeout, run_at, created_at, started_at,
           finished_at, worker, result, error, delivery, unique_key, crashes, leased_until
    from howdah.jobs
"""
ATTEMPTS = """
    select job_id, attempt, outcome, error, started_at, finished_at, worker from howdah.attempts
"""
SAME_INSTANT = """
    select array_agg(j.id order by s.place, j.seq) from _howdah.job j
    left join public.staged() with ordinality s (id, place) on s.id = j.id
    where j.id = any (%s)
"""  # those that have been staged already stand in that order
PLACES = (
    "select array_agg(id order by queue, priority desc, seq) from _howdah.job where state = 'r'"
)

picks = st.integers(0, 1000)  # the newest first: which of those that there are
often = st.sampled_from([False, False, False, True])


def pick(candidates: list[Any], which: int) -> Any:
    """One of them, counted from the newest."""
    return candidates[-1 - which % len(candidates)]


class Refused(Exception):
    """What the model says a call is refused with: its SQLSTATE."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


class Machine(RuleBasedStateMachine):
    """One connection, which may open a transaction; a clock that only the rules move.

    A rule says what the model expects and what the store is asked; `both` compares the answers, and
    after each step everything that can be seen is compared.
    """

    columns = SEEN
    door: Door  # of the test's own database
    world: World

    def __init__(self) -> None:
        super().__init__()
        door = self.door
        self.world = self.new_world(lambda ids: door.one(SAME_INSTANT, ids))
        self.tokens: list[tuple[UUID, UUID]] = []  # every lease that was ever handed out
        self.given_out = 0  # ids by callers
        self.before: World | None = None  # the world that a rollback brings back

    def new_world(self, order_of: Callable[[list[UUID]], list[UUID]]) -> World:
        return World(BEGIN, order_of=order_of)

    @initialize()
    def start_clean(self) -> None:
        self.door.rows(CLEAN)
        self.door.rows(KNOWN)
        self.move(0)
        self.door.rows(
            "update _howdah.pulse set server_started_at = pg_postmaster_start_time(), timeline ="
            " left(pg_walfile_name(pg_current_wal_lsn()), 8), due_from = '-infinity',"
            " all_looked_at = '-infinity', beat_at = 'epoch', gap_began_at = 'epoch'"
        )
        self.door.call("declare_tasks", tasks=DECLARED)
        self.door.call("put_queue", queue="brief", keep_history=False)
        self.world.queues["brief"] = Queue(keep_history=False)

    def an_id(self) -> UUID:
        """The next of those that callers choose."""
        self.given_out += 1
        return UUID(int=1_000_000_000 + self.given_out)

    def teardown(self) -> None:
        if self.door.connection.info.transaction_status.name != "IDLE":
            self.door.rows("rollback")

    def move(self, n: float) -> None:
        """Moves the time of both by n seconds."""
        self.world.now += seconds(n)
        passed = (self.world.now - BEGIN) // seconds(0.001)
        self.door.rows("select setval('public.moment', %s)", passed)

    def both(
        self, predicted: Callable[[], Any], asked: Callable[[], Any], *, twice: bool = False
    ) -> Any:
        """Asks the model and the store the same, once or (the answer was lost) twice, a millisecond
        after all that was; gives what the store said last."""
        for _ in range(1 + twice):
            self.move(0.001)
            try:
                expected: Any = predicted()
            except Refused as refusal:
                expected = f"refused with {refusal.sqlstate}"
            try:
                told: Any = asked()
            except psycopg.Error as error:
                told = f"refused with {error.sqlstate}"
            said = expected(told) if callable(expected) else told == expected
            assert said, f"the store said {told!r}, the model {expected!r}"
            if self.before is not None and self._is_aborted():
                self.roll_back()
        return told

    def _is_aborted(self) -> bool:
        return self.door.connection.info.transaction_status.name == "INERROR"

    # Transactions

    @precondition(lambda self: self.before is None)
    @rule()
    def begin(self) -> None:
        self.before = copy.deepcopy(self.world)
        self.door.rows("begin")

    @precondition(lambda self: self.before is not None)
    @rule()
    def commit(self) -> None:
        self.before = None
        self.door.rows("commit")

    @precondition(lambda self: self.before is not None)
    @rule()
    def roll_back(self) -> None:
        assert self.before is not None
        self.door.rows("rollback")
        self.before.now = self.world.now
        self.world, self.before = self.before, None

    # What can be seen

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        world = self.world
        rows = self.door.rows(self.columns)
        assert {row.id for row in rows} == set(world.jobs), "other jobs are there"
        for row in rows:
            expected = dict(zip(row._fields, self.seen(world.jobs[row.id]), strict=True))
            other = {name: (said, expected[name]) for name, said in row._asdict().items()
                     if said != expected[name]}  # fmt: skip
            assert not other, f"of {row.id} the store says, and the model: {other}"
        order, in_order = self.door.one(PLACES) or [], self.ready_in_order()
        assert order == in_order, f"they are ready in another order: {order}, not {in_order}"
        attempts = self.door.rows(ATTEMPTS)
        assert {tuple(row) for row in attempts} == {a.row for a in world.attempts}
        assert len(attempts) == len(world.attempts)

    def seen(self, job: Job) -> tuple[Any, ...]:
        """Its row of howdah.jobs."""
        error = job.error if not job.is_live else self.last_error(job)
        return (
            *(job.id, job.queue, job.task, job.state, job.priority, job.attempt, job.max_attempts),
            *(job.timeout, job.due, job.created_at, job.started_at, job.finished_at, job.worker),
            *(job.result, error, job.delivery, job.unique_key, job.crashes, job.leased_until),
        )

    def last_error(self, job: Job) -> str | None:
        ends = [a for a in self.world.attempts if a.job_id == job.id]
        return (
            max(ends, key=lambda a: a.finished_at, default=None).error
            if ends and job.attempt
            else None
        )

    def ready_in_order(self) -> list[UUID]:
        ready = self.world.in_state("ready")
        return [j.id for j in sorted(ready, key=lambda j: (j.queue, -j.priority, j.seq))]
