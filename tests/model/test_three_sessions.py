"""Three sessions with open transactions: who waits for whom, who gets what; nobody hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from psycopg.types.json import Jsonb
from tests.conftest import CLEAN
from tests.model.test_model import BUDGET, IS_LONG
from tests.sql.conftest import Door

HANG = 2.0  # seconds
WAITS = "select pg_blocking_pids(%s) && %s::int[]"
whose = st.integers(0, 2)
keys = st.sampled_from(["k", "l", None])
ids = st.sampled_from([None, None, UUID(int=1), UUID(int=2)])


class Session:
    """A connection whose calls run in a thread of their own, because they may wait."""

    def __init__(self, dsn: str) -> None:
        self.door = Door(psycopg.connect(dsn, autocommit=True))
        self.pid = self.door.connection.info.backend_pid
        self.thread = ThreadPoolExecutor(1)
        self.call: Future[Any] | None = None
        self.then: Callable[[Any], None] = lambda _: None
        self.cancels: UUID | None = None
        self.forget()

    def forget(self) -> None:
        """What holds until its transaction ends."""
        self.is_open, self.has_keys = False, False
        self.locked: set[UUID] = set()  # jobs that it claimed, finished or cancelled
        self.enqueued: list[UUID] = []
        self.claimed: dict[UUID, UUID] = {}
        self.ended: set[UUID] = set()


class Sessions(RuleBasedStateMachine):
    """What is committed, and what each session holds beyond it.

    Of two that wait for a third, chance decides who goes on first: so no rule has a precondition,
    which might hold in one run and not in the next of the same steps.
    """

    dsn: str
    observer: Door
    sessions: list[Session]

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[UUID, None] = {}  # enqueued, committed, and not finished; in that order
        self.running: dict[UUID, UUID] = {}  # and claimed: the lease

    @initialize()
    def start_clean(self) -> None:
        self.observer.rows(CLEAN)

    def teardown(self) -> None:
        while open_ones := [session for session in self.sessions if session.is_open]:
            free = next((session for session in open_ones if session.call is None), None)
            assert free is not None, "they wait for each other"
            self._end(free, "commit")
        left = {job.id for job in self.observer.claim(1000)}
        assert left == set(self.jobs) - set(self.running), "jobs were lost, or came from nowhere"

    # Calls that may have to wait

    def ask(self, session: Session, call: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Calls in the session's thread; `then` takes the answer, at once or when others let go."""
        session.call, session.then = session.thread.submit(call), then
        self._wait_for(session)

    def _wait_for(self, session: Session) -> None:
        """Until it has its answer or stands before a lock of somebody else."""
        assert session.call is not None
        until = time.monotonic() + HANG
        while not session.call.done():
            others = [other.pid for other in self.sessions if other.is_open or other.call]
            if self.observer.one(WAITS, session.pid, others):
                return
            assert time.monotonic() < until, "a call hangs, and nobody is in its way"
            time.sleep(0.0005)
        answer, session.call = session.call.result(), None
        session.then(answer)
        if not session.is_open:
            self._settle(session)

    def at_once(self, session: Session, call: Callable[[], Any]) -> Any:
        """The answer of a call that must not wait for anybody."""
        answers: list[Any] = []
        self.ask(session, call, answers.append)
        assert answers, "it waits for another session"
        return answers[0]

    def _settle(self, session: Session) -> None:
        """What it did is there for all, because it is committed."""
        self.jobs |= dict.fromkeys(session.enqueued)
        self.running.update(session.claimed)
        for job_id in session.ended:
            self.running.pop(job_id, None)
            self.jobs.pop(job_id, None)
        session.forget()

    def _end(self, session: Session, how: str) -> None:
        session.door.rows(how)
        if how == "commit":
            self._settle(session)
        else:
            session.forget()
        waiting = [other for other in self.sessions if other.call is not None]
        while waiting:  # who goes on may let others go on
            for other in waiting:
                self._wait_for(other)
            still = [other for other in waiting if other.call is not None]
            waiting = still if still != waiting else []

    def free(self, who: int) -> Session | None:
        session = self.sessions[who]
        return session if session.call is None else None

    # Rules

    @rule(who=whose)
    def begin(self, who: int) -> None:
        session = self.free(who)
        if session and not session.is_open:
            session.door.rows("begin")
            session.is_open = True

    @rule(who=whose, how=st.sampled_from(["commit", "commit", "rollback"]))
    def end(self, who: int, how: str) -> None:
        session = self.free(who)
        if session and session.is_open:
            self._end(session, how)

    @rule(who=whose, priority=st.integers(0, 1))
    def enqueue(self, who: int, priority: int) -> None:
        if session := self.free(who):
            call = lambda: session.door.enqueue(priority=priority)  # noqa: E731
            self.at_once(session, lambda: session.enqueued.append(call()))

    @rule(who=whose, news=st.lists(st.tuples(keys, ids), min_size=1, max_size=3))
    def enqueue_with_keys(self, who: int, news: list[tuple[str | None, UUID | None]]) -> None:
        session = self.free(who)
        if session is None:
            return
        if session.has_keys or session.locked:  # a transaction that holds a key, or a job that has
            return  # one, may deadlock with a batch that wants it and has what this would ask for
        jobs = [{"task": "t", "unique_key": key, "id": str(i) if i else None} for key, i in news]

        def then(rows: list[Any]) -> None:
            session.has_keys = session.is_open
            session.enqueued += [row.id for row in rows if row.created]
            for row in rows:
                there = session.door.one("select count(*) from howdah.jobs where id = %s", row.id)
                assert there == 1, "the answer is a job that does not exist"

        self.ask(session, lambda: session.door.call("enqueue_json", jobs=Jsonb(jobs)), then)

    @rule(who=whose, n=st.integers(1, 4))
    def claim(self, who: int, n: int) -> None:
        if session := self.free(who):
            order = "select id from _howdah.job where state = 'r' order by priority desc, seq"
            locked = {k for other in self.sessions if other is not session for k in other.locked}
            ready = [row.id for row in session.door.rows(order) if row.id not in locked]
            jobs = self.at_once(session, lambda: self._claim(session, n))
            assert jobs == ready[:n], "others came first, or it is somebody else's"

    def _claim(self, session: Session, n: int) -> list[UUID]:
        jobs = session.door.claim(n)
        for job in jobs:
            assert job.id not in self.running or job.id in session.ended, "it was claimed twice"
            session.claimed[job.id] = job.lease
            session.locked.add(job.id)
        return [job.id for job in jobs]

    @rule(who=whose, which=st.integers(0, 9), own_lease=st.sampled_from([True, True, True, False]))
    def finish(self, who: int, which: int, own_lease: bool) -> None:
        """One that is claimed and committed; somebody else may be about to do the same."""
        session = self.free(who)
        if session is None or not self.running:
            return
        job_id = list(self.running)[which % len(self.running)]
        lease = self.running[job_id] if own_lease else UUID(int=which)
        is_busy = any(job_id in other.locked for other in self.sessions if other is not session)
        expected = (
            {"busy"} if is_busy else {"lost"} if not own_lease
            else {"done"} if job_id in session.ended else set()
        )  # fmt: skip

        def finish() -> set[str]:
            refused = session.door.call("finish", ids=[job_id], leases=[lease], skip_locked=True)
            reasons = {row.reason for row in refused}
            if not refused:
                session.ended.add(job_id)
            if "busy" not in reasons:
                session.locked.add(job_id)
            return reasons

        assert self.at_once(session, finish) == expected

    @rule(who=whose, which=st.integers(0, 9))
    def cancel(self, who: int, which: int) -> None:
        """Waits for whoever is about to claim it; outside transactions, for it may deadlock. Of
        several that wait for it, one ends it."""
        session = self.free(who)
        waiting = [job_id for job_id in self.jobs if job_id not in self.running]
        if session is None or session.is_open or not waiting:
            return
        job_id = waiting[which % len(waiting)]

        def then(was_ended: bool) -> None:
            session.cancels = None
            is_running = self.observer.state(job_id) == "running"
            rivals = job_id not in self.jobs or any(s.cancels == job_id for s in self.sessions)
            assert was_ended or is_running or rivals
            if was_ended and not is_running:
                assert job_id in self.jobs, "two have ended it"
                session.ended.add(job_id)

        session.cancels = job_id
        self.ask(session, lambda: session.door.value("cancel", id=job_id), then)

    @rule(who=whose)
    def chores(self, who: int) -> None:
        if session := self.free(who):
            self.at_once(session, lambda: session.door.chores("stage", "rescue", "expire"))


@pytest.mark.timeout(0 if IS_LONG else 300)
def test_three_sessions_neither_hang_nor_take_from_each_other(own_dsn):
    machine = type("Machine", (Sessions,), {
        "observer": Door(psycopg.connect(own_dsn, autocommit=True)),
        "sessions": [Session(own_dsn) for _ in range(3)],
    })  # fmt: skip
    budget = BUDGET if IS_LONG else settings(BUDGET, max_examples=20, stateful_step_count=40)

    run_state_machine_as_test(machine, settings=budget)

    for session in machine.sessions:
        session.thread.shutdown()
        session.door.connection.close()
    machine.observer.connection.close()
