"""Workflows that grow while they run: nothing that is added comes too late, and percent is true."""

from __future__ import annotations

from threading import Thread
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from running import flow, run, settle, steps

GROW = {"name": "grow", "task": "grow"}


def start(door: Any, *said: dict[str, Any]) -> Any:
    return door.value("start_workflow", name="tree", steps=Jsonb(said))


def test_a_job_that_adds_much_is_not_all_there_is_to_do(door: Any) -> None:
    w = start(door, GROW)
    added = [{"name": f"s{n}", "task": "leaf"} for n in range(9)]

    door.finish([door.take()], steps=[Jsonb(added)])
    seen = [flow(door, w).percent]
    while jobs := door.claim(1):
        door.finish(jobs)
        seen.append(flow(door, w).percent)

    assert seen == pytest.approx([10, 20, 30, 40, 50, 60, 70, 80, 90, 100])


def test_what_is_added_before_a_step_in_an_open_transaction_comes_before_it(
    door: Any, another_door: Any
) -> None:
    """However far the workflow is: its growth and its going on exclude each other."""
    start(door, GROW)
    tree = [{"name": "b", "task": "b"}, {"name": "c", "task": "c"}]
    tree.append({"name": "last", "task": "last", "after": ["b"]})
    door.finish([door.take()], steps=[Jsonb(tree)])
    settle(door)
    door.rows("update _howdah.workflow set percent = 100")  # as far as it can be
    b, c = sorted(door.claim(2), key=lambda job: job.task)
    growing = another_door()

    with growing.transaction():
        growing.finish([c], steps=[Jsonb([{"name": "y", "task": "y", "before": ["last"]}])])
        door.ack(b)
        door.chores("admit")
        assert door.claim(1) == []
    settle(door)

    assert run(door) == ["y"]
    assert run(door) == ["last"]


def test_two_that_grow_the_same_workflows_in_another_order_do_not_meet(
    door: Any, another_door: Any, waits_for_lock: Any
) -> None:
    for _ in range(2):
        start(door, {**GROW, "each": [{}, {}]})
    a1, a2, b1, b2 = door.claim(4)  # two of each
    holding, one, two, refusals = another_door(), another_door(), another_door(), []
    more = [Jsonb([{"name": "more", "task": "leaf"}])] * 2
    locks = "select from _howdah.workflow order by id for update"

    def finish(growing: Any, jobs: list[Any]) -> None:
        with growing.transaction():
            refusals.append(growing.finish(jobs, steps=more))

    threads = [
        Thread(target=finish, args=(one, [a1, b1])),
        Thread(target=finish, args=(two, [b2, a2])),
    ]
    with holding.transaction():
        holding.rows(locks + " limit 1")
        for thread in threads:
            thread.start()
        for growing in (one, two):
            waits_for_lock(growing)
        assert door.rows("select id from _howdah.workflow for update skip locked") != []
    for thread in threads:
        thread.join()

    assert refusals == [{}, {}]
    assert len(run(door)) == 2


def test_a_step_that_is_tried_again_does_not_set_the_percent_back(door: Any) -> None:
    w = start(
        door,
        {"name": "map", "task": "map", "each": [{}, {}]},
        {"name": "all", "task": "all", "after": ["map"]},
    )
    good, bad = door.claim(2)
    seen = [flow(door, w).percent]

    door.ack(good)
    seen.append(flow(door, w).percent)
    door.value("retry", id=good.id)  # although it succeeded
    seen.append(flow(door, w).percent)
    door.nack(bad, retry=False)
    settle(door)
    seen.append(flow(door, w).percent)
    door.value("retry", id=bad.id)
    seen.append(flow(door, w).percent)

    assert seen == [0, 25, 25, 25, 25]


def test_a_failed_workflow_that_is_tried_again_is_as_far_as_it_was(door: Any) -> None:
    w = start(door, GROW, {"name": "b", "task": "b", "after": ["grow"]})
    run(door)
    door.nack(door.take(), retry=False)
    settle(door)

    assert (flow(door, w).state, flow(door, w).percent) == ("failed", 50)
    door.value("retry_workflow", id=w)
    assert flow(door, w).percent == 50
    run(door)
    settle(door)
    assert flow(door, w).percent == 100

    door.value("retry_workflow", id=w, whole=True)
    assert flow(door, w).percent == 0


def test_a_step_succeeds_when_a_job_that_was_retried_did_before_anybody_added_up(
    door: Any,
) -> None:
    w = start(door, GROW)
    job = door.take()
    door.nack(job, retry=False)
    settle(door)

    door.value("retry", id=job.id)
    door.ack(claimed(door))
    settle(door)

    assert steps(door, w)["grow"].state == "succeeded"
    assert flow(door, w).state == "succeeded"


def claimed(door: Any) -> Any:
    """What is ready, without a look at what was noted."""
    door.rows("update _howdah.pending set due = _howdah.clock() + interval '1 hour'")
    job = door.take()
    door.rows("update _howdah.pending set due = null")
    return job
