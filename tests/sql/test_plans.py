"""The hot statements touch what they need, whatever the backlog and whatever statistics say."""

from __future__ import annotations

from uuid import uuid4

import pytest
from touching import VACUUM, touched

BACKLOG = """
select howdah.enqueue_many((select array_agg(row('t' || mod(n, 3), null, 'q' || mod(n, 4),
    mod(n, 3), case when mod(n, 5) = 0 then howdah_now + interval '1 hour' end, null, null, null,
    null, null, null, null,
    null, null)::howdah.new_job) from generate_series(1, 10000) n, (select now() as howdah_now) c))
"""


@pytest.fixture
def crowded(door):
    door.rows(VACUUM)
    door.rows(BACKLOG)
    return door


WORK = {
    "claim without worker": lambda door: door.claim(10),
    "claim of one queue": lambda door: door.claim(10, queues=["q1"]),
    "claim of a pattern": lambda door: door.claim(10, queues=["q*"]),
    "claim of nothing": lambda door: door.claim(10, queues=["none"]),
    "enqueue": lambda door: door.enqueue(unique_key="k"),
    "enqueue without a key": lambda door: door.enqueue(),
    "enqueue of a batch": lambda door: door.value(
        "enqueue_batch", task="t", ids=[uuid4() for _ in range(100)], args=["{}"] * 100
    ),
    "heartbeat": lambda door: door.worker(),
    "stage of nothing": lambda door: door.rows("select howdah.stage()"),
    "cancel": lambda door: door.value("cancel", id="00000000-0000-4000-8000-000000000001"),
    "outcome": lambda door: door.call("outcome", id="00000000-0000-4000-8000-000000000001"),
}


@pytest.mark.parametrize("analyzed", [False, True], ids=["no statistics", "statistics"])
@pytest.mark.parametrize("work", WORK)
def test_a_call_reads_a_few_rows_of_ten_thousand(crowded, work, analyzed):
    if analyzed:
        crowded.rows("analyze _howdah.job")

    scans, rows, _ = touched(crowded, lambda: WORK[work](crowded))

    assert scans == 0
    assert rows <= 120


@pytest.mark.parametrize("outcome", ["succeeded", "retry", "released", "failed"])
def test_a_finish_reads_its_own_rows_although_nothing_ran_when_statistics_were_taken(
    crowded, outcome
):
    crowded.rows("analyze _howdah.job")
    jobs = crowded.claim(100)

    scans, rows, _ = touched(crowded, lambda: crowded.finish(jobs, outcomes=[outcome] * 100))

    assert scans == 0
    assert rows <= 1000


def test_staging_reads_what_is_due(crowded, clock):
    crowded.enqueue(delay="1 min")
    clock.forward("2 min")

    scans, rows, _ = touched(crowded, lambda: crowded.rows("select howdah.stage()"))

    assert scans == 0
    assert rows <= 50


@pytest.mark.parametrize("analyzed", [False, True], ids=["no statistics", "statistics"])
@pytest.mark.parametrize("view", ["running", "expired"])
def test_the_views_of_running_jobs_read_what_runs_and_not_what_waits(crowded, view, analyzed):
    if analyzed:
        crowded.rows("analyze _howdah.job")
    crowded.take()

    scans, rows, _ = touched(crowded, lambda: crowded.rows(f"select * from howdah.{view}"))

    assert scans == 0
    assert rows <= 20


def test_the_checks_are_planned_into_the_statement_that_asks(door):
    """A call of each would cost more than all that they look at."""
    asked = "_howdah.flaw('t', a, q, 1, now(), null, 1, null, false, 'x', 'k', a, array['x'])"
    plan = door.rows(
        f"explain (verbose, costs off) select {asked} from (select '{{}}'::jsonb, 'q' offset 0)"
        " s (a, q)"
    )

    text = "\n".join(row[0] for row in plan)

    assert "jsonb_typeof" in text
    assert "flaw(" not in text.replace("_howdah.tags_flaw(", "")
