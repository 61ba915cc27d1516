"""Whatever is asked of the store, in any order: it answers and holds what the model says.

A class of rules per feature, which `Everything` puts together. By default a small budget and the
same examples each time; `make model` has a large one and goes by chance. What it finds becomes a
plain test beside the verb that was wrong (tests/sql), and a mutant, so that it is found again.
"""

from __future__ import annotations

import os

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.model.chaining import Chaining
from tests.model.handling import Handling
from tests.model.machine import CLOCK
from tests.model.viewing import Viewing
from tests.sql.conftest import Door

EXAMPLES = int(os.environ.get("HOWDAH_PROOF_EXAMPLES", "12"))
STEPS = int(os.environ.get("HOWDAH_PROOF_STEPS", "50"))
IS_LONG = "HOWDAH_PROOF_EXAMPLES" in os.environ  # then chance differs from run to run
SHRINKS = (
    "HOWDAH_PROOF_QUICK" not in os.environ
)  # whether a failure is made small, which takes minutes
BUDGET = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    derandomize=not IS_LONG,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    report_multiple_bugs=False,
    phases=[phase for phase in Phase if phase is not Phase.shrink or SHRINKS],
)


class Everything(Chaining, Handling, Viewing):
    """All features together."""


@pytest.mark.timeout(0 if IS_LONG else 300)
def test_the_store_does_what_the_model_says(own_dsn):
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        door = Door(connection)
        door.rows(CLOCK)

        run_state_machine_as_test(type("Machine", (Everything,), {"door": door}), settings=BUDGET)
