"""Whatever is asked of the store about keys, in any order: who waits, who is let in, who has a key.

As in test_model, whose rules of claiming, finishing and handling hold here too; jobs have keys.
"""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from tests.model.handling import Handling
from tests.model.keying import KeyedNew
from tests.model.machine import CLOCK
from tests.model.meeting import Meeting
from tests.model.test_model import BUDGET, IS_LONG
from tests.sql.conftest import Door


class Keyed(Meeting, Handling):
    """Keys and limits, and what else moves a job."""

    plain = KeyedNew
    insert_into_jobs = enqueue_batch = beat_for_several = tell = ask = pause = resume = None
    is_refused = is_hidden_behind_others = None


@pytest.mark.timeout(0 if IS_LONG else 300)
def test_the_store_keeps_to_its_keys_as_the_model_says(own_dsn):
    budget = BUDGET if IS_LONG else settings(BUDGET, max_examples=8)
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        door = Door(connection)
        door.rows(CLOCK)

        run_state_machine_as_test(type("Machine", (Keyed,), {"door": door}), settings=budget)
