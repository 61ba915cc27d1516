"""Whatever producers and claimers do, in any order: no job is left behind."""

from __future__ import annotations

import os

import psycopg
import pytest
from claimer import Claimer
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule, run_state_machine_as_test
from tests.sql.conftest import Door

EXAMPLES = int(os.environ.get("HOWDAH_PROOF_EXAMPLES", "15"))
STEPS = 40
CLEAN = "truncate _howdah.job, _howdah.lease, _howdah.worker, _howdah.idle, _howdah.finished"


class Machine(RuleBasedStateMachine):
    """Three producers that may hold their transactions open, two claimers with floors, and one
    session that claims without and may roll back."""

    dsn = ""
    producers = st.integers(0, 2)
    claimers = st.integers(0, 1)
    claimed = Bundle("claimed")

    def __init__(self) -> None:
        super().__init__()
        self.doors = [self.open() for _ in range(7)]
        self.doors[6].rows(CLEAN)
        self.claimers_of = [Claimer(door) for door in self.doors[3:5]]
        self.other = self.doors[5]
        self.points = [0, 0, 0]

    def open(self) -> Door:
        return Door(psycopg.connect(self.dsn, autocommit=True))

    def status(self, door: Door) -> str:
        return door.connection.info.transaction_status.name

    # Producers

    @rule(who=producers)
    def begin(self, who: int) -> None:
        if self.status(self.doors[who]) == "IDLE":
            self.doors[who].rows("begin")

    @rule(
        who=producers,
        n=st.integers(1, 3),
        queue=st.sampled_from("ab"),
        priority=st.sampled_from([0, 1]),
    )
    def enqueue(self, who: int, n: int, queue: str, priority: int) -> None:
        for _ in range(n):
            self.doors[who].enqueue(queue=queue, priority=priority)

    @rule(who=producers)
    def take_an_id_only(self, who: int) -> None:
        self.doors[who].rows("select pg_current_xact_id()")

    @rule(who=producers)
    def savepoint(self, who: int) -> None:
        if self.status(self.doors[who]) == "INTRANS":
            self.points[who] += 1
            self.doors[who].rows(f"savepoint p{self.points[who]}")

    @rule(who=producers)
    def roll_back_to_savepoint(self, who: int) -> None:
        if self.status(self.doors[who]) == "INTRANS" and self.points[who]:
            self.doors[who].rows(f"rollback to p{self.points[who]}")

    @rule(who=producers, how=st.sampled_from(["commit", "commit", "rollback"]))
    def end(self, who: int, how: str) -> None:
        if self.status(self.doors[who]) == "INTRANS":
            self.points[who] = 0
            self.doors[who].rows(how)

    # Claimers

    @rule(target=claimed, who=claimers, n=st.sampled_from([1, 2, 100]), look=st.booleans())
    def claim(self, who: int, n: int, look: bool) -> list[object]:
        return self.claimers_of[who].claim(n, look=look)

    @rule(n=st.sampled_from([1, 2]))
    def claim_and_hold(self, n: int) -> None:
        if self.status(self.other) == "IDLE":
            self.other.rows("begin")
            self.other.claim(n)

    @rule(how=st.sampled_from(["commit", "rollback"]))
    def end_the_claim(self, how: str) -> None:
        if self.status(self.other) == "INTRANS":
            self.other.rows(how)

    @rule(jobs=claimed, how=st.sampled_from(["succeeded", "released", "retry", "crashed"]))
    def finish(self, jobs: list[object], how: str) -> None:
        if jobs:
            outcomes, now = [how] * len(jobs), ["0 s"] * len(jobs)
            self.doors[6].finish(jobs, outcomes=outcomes, retry_in=now)

    @rule(who=claimers)
    def forget(self, who: int) -> None:
        self.claimers_of[who].floors.forget()

    def teardown(self) -> None:
        try:
            for door in self.doors:
                if self.status(door) == "INTRANS":
                    door.rows("commit")
            for claimer in self.claimers_of:
                claimer.claim(1)  # both look once more, the first for both
            while self.claimers_of[0].claim(100):
                pass
            assert self.doors[6].one("select count(*) from howdah.ready") == 0
        finally:
            for door in self.doors:
                door.connection.close()


@pytest.mark.usefixtures("db")
def test_nothing_ready_is_left_behind(dsn):
    machine = type("OfThisDatabase", (Machine,), {"dsn": dsn})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
