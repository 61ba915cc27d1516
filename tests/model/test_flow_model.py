"""Whatever is asked of the store about jobs that wait for jobs, workflows and schedules.

As in test_model, whose rules of claiming, finishing and handling hold here too. Without open
transactions: a rule's end is where somebody looks who may go on.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from tests.model.enqueuing import New
from tests.model.flowing import put_waiting
from tests.model.handling import Handling
from tests.model.machine import CLOCK
from tests.model.running import Running
from tests.model.test_model import BUDGET, IS_LONG
from tests.sql.conftest import Door


class Flows(Running, Handling):
    """Whoever waits for others or for the time, and what else moves a job."""

    begin = commit = roll_back = is_claimed_twice = None
    insert_into_jobs = enqueue_many = enqueue_batch = beat_for_several = tell = ask = None
    pause = resume = is_refused = is_hidden_behind_others = None
    claim_above_floors = claim_above_one_floor = comes_above_a_floor = None

    def enqueue(self, new: New, twice: bool) -> None:
        """A plain job, for the chains."""
        told = lambda job_id: put_waiting(self.world, new, job_id, {}) is None  # noqa: E731
        self.both(lambda: told, lambda: self.door.enqueue(**new.options()))

    def _claim(self, worker: Any, *more: Any, **options: Any) -> None:
        """Chores first, and whoever goes on because of them, since a claim does some of both."""
        if worker is None:
            self.chores()
        super()._claim(worker, *more, **options)


@pytest.mark.timeout(0 if IS_LONG else 300)
def test_the_store_lets_go_on_whom_the_model_does(own_dsn):
    budget = BUDGET if IS_LONG else settings(BUDGET, max_examples=4)
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        door = Door(connection)
        door.rows(CLOCK)

        run_state_machine_as_test(type("Machine", (Flows,), {"door": door}), settings=budget)


def test_whoever_waits_hears_of_each_end_what_the_model_says(own_dsn):
    """What a small budget need not come upon: each policy meets each end."""
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        door = Door(connection)
        door.rows(CLOCK)
        machine = type("Machine", (Flows,), {"door": door})()
        machine.start_clean()

        for policy, kind in product(
            ["fail", "skip", "ignore"], ["succeeded", "failed", "cancelled"]
        ):
            machine.is_heard(policy, kind, late=False)
            machine.is_heard(policy, kind, late=True)
            machine.is_heard_by_a_step(policy, kind)
