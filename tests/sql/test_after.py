"""Jobs that wait for jobs: blocked until their parents have ended, each let in exactly once."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest


def run_next(door: Any) -> str:
    """Claim and finish the one job that is ready; gives its task."""
    job = door.take()
    door.ack(job)
    return job.task


def test_a_child_is_blocked_until_its_parent_has_succeeded(door: Any) -> None:
    a = door.enqueue("a")
    b = door.enqueue("b", after=[a])

    assert door.state(b) == "blocked"
    assert str(a) in door.why(b)

    assert [run_next(door), run_next(door)] == ["a", "b"]
    assert door.claim(5) == []


def test_a_parent_that_has_ended_already_is_not_waited_for(door: Any) -> None:
    a = door.enqueue("a")
    run_next(door)

    door.enqueue("b", after=[a])

    assert run_next(door) == "b"


def test_a_child_waits_for_the_last_of_many(door: Any) -> None:
    parents = [door.enqueue(f"p{n}") for n in range(5)]
    child = door.enqueue("child", after=parents)

    for _ in parents:
        assert door.state(child) == "blocked"
        run_next(door)

    assert run_next(door) == "child"


@pytest.mark.parametrize(
    ("policy", "becomes"), [("fail", "failed"), ("skip", "cancelled"), ("ignore", "ready")]
)
def test_a_failed_parent_fails_skips_or_ignores_its_children(
    door: Any, policy: str, becomes: str
) -> None:
    a = door.enqueue("a")
    b = door.enqueue("b", after=[a], after_failed=policy)
    c = door.enqueue("c", after=[b])

    door.nack(door.take(), error="no", retry=False)
    door.chores("admit")
    door.chores("admit")

    assert door.state(b) == becomes
    assert door.state(c) == {"ready": "blocked"}.get(becomes, becomes)
    if becomes != "ready":
        assert str(a) in door.job(b).error


def test_a_cancelled_parent_cancels_its_children(door: Any) -> None:
    a = door.enqueue("a")
    b = door.enqueue("b", after=[a])

    door.call("cancel", id=a)
    door.chores("admit")

    assert door.state(b) == "cancelled"


def test_each_parent_may_have_a_policy_of_its_own(door: Any) -> None:
    a, b = uuid4(), uuid4()
    door.enqueue_json(
        {"task": "a", "id": str(a)},
        {"task": "b", "id": str(b)},
        {"task": "c", "after": {str(a): "ignore", str(b): "fail"}},
    )

    door.nack(door.take(), error="no", retry=False)
    run_next(door)

    assert run_next(door) == "c"


def test_who_does_not_exist_cannot_be_waited_for(door: Any, refused: Any) -> None:
    stranger = uuid4()

    with refused("JQ004", str(stranger)):
        door.enqueue("b", after=[stranger])

    assert door.counts() == (0, 0)


def test_jobs_of_one_call_cannot_wait_in_a_circle(door: Any, refused: Any) -> None:
    a, b = str(uuid4()), str(uuid4())

    with refused("JQ001", "does not come before"):
        door.enqueue_json(
            {"task": "a", "id": a, "after": [b]}, {"task": "b", "id": b, "after": [a]}
        )


def test_a_child_keeps_its_turn_its_limits_and_its_time(door: Any) -> None:
    a = door.enqueue("a")
    door.enqueue("keyed", after=[a], serial_key="k")
    later = door.enqueue("later", after=[a], delay="1 hour")
    free = door.enqueue("free", serial_key="k")

    run_next(door)

    assert door.take().id == free  # a child that waits does not hold up its key
    door.chores("admit")
    assert door.state(later) == "scheduled"


def test_a_parent_that_is_tried_again_is_waited_for(door: Any) -> None:
    a = door.enqueue("a", max_attempts=2)
    b = door.enqueue("b", after=[a])

    door.nack(door.take(), error="no", retry_in="0 s")
    door.chores()

    assert door.state(a) == "ready"
    assert door.state(b) == "blocked"
    assert [run_next(door), run_next(door)] == ["a", "b"]


def test_the_enqueue_and_the_end_of_its_parent_cannot_miss_each_other(
    door: Any, another_door: Any
) -> None:
    a = door.enqueue("a")
    job, other = door.take(), another_door()

    with other.transaction():
        b = other.enqueue("b", after=[a])  # not to be seen by the one who ends its parent
        door.ack(job)
        door.chores("admit")

    assert run_next(door) == "b"
    assert door.state(b) == "succeeded"


def test_an_end_that_is_not_committed_is_looked_at_again(
    door: Any, another_door: Any, eventually: Any
) -> None:
    a = door.enqueue("a")
    job, ending = door.take(), another_door()

    with ending.transaction():
        ending.ack(job)
        b = door.enqueue("b", after=[a])
        door.chores("admit")  # sees the parent, and cannot have its row
        assert door.state(b) == "blocked"

    [found] = eventually(lambda: door.claim(1))
    assert found.id == b


@pytest.mark.parametrize("n", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_any_number_of_children_and_of_parents(door: Any, n: int) -> None:
    first = door.enqueue("first")
    ids = [
        row.id
        for row in door.enqueue_json(*[{"task": "t", "after": [str(first)]} for _ in range(n)])
    ]
    last = door.enqueue("last", after=ids)

    door.finish(door.claim(1))
    done = 0
    while jobs := door.claim(1000, tasks=["t"]):
        door.finish(jobs)
        done += len(jobs)

    assert done == n
    assert door.take().id == last


@pytest.mark.parametrize(
    ("end", "becomes"), [("succeeded", "ready"), ("failed", "failed"), ("cancelled", "cancelled")]
)
def test_how_a_parent_ended_is_known_where_its_queue_keeps_no_history(
    door: Any, end: str, becomes: str
) -> None:
    door.call("put_queue", queue="brief", keep_history=False)
    a = door.enqueue("a", queue="brief")
    job = door.take()
    b = door.enqueue("b", after=[a])  # nobody has looked at it when its parent ends

    door.finish([job], outcomes=[end])
    door.chores("admit")

    assert door.state(b) == becomes


@pytest.mark.parametrize("end", ["cancel", "delete"])
@pytest.mark.parametrize("keep_history", [True, False])
def test_a_parent_that_is_cancelled_or_deleted_before_anybody_looks_cancels_its_children(
    door: Any, end: str, keep_history: bool
) -> None:
    door.call("put_queue", queue="q", keep_history=keep_history)
    a = door.enqueue("a", queue="q")
    b = door.enqueue("b", after=[a])

    door.value(end, id=a)
    door.chores("admit")

    assert door.state(b) == "cancelled"


def test_a_parent_that_had_failed_when_it_was_deleted_fails_its_children(door: Any) -> None:
    a = door.enqueue("a")
    door.nack(door.take(), retry=False)
    b = door.enqueue("b", after=[a])

    door.value("delete", id=a)
    door.chores("admit")

    assert door.state(b) == "failed"


def test_what_is_known_of_jobs_that_are_gone_is_kept_for_a_day(door: Any, clock: Any) -> None:
    door.call("put_queue", queue="brief", keep_history=False)
    door.value("cancel", id=door.enqueue("a", queue="brief"))

    door.chores("prune")
    kept = door.one("select count(*) from _howdah.gone")
    clock.forward("2 days")
    door.chores("prune")

    assert (kept, door.one("select count(*) from _howdah.gone")) == (1, 0)


def test_an_id_that_is_used_again_has_nothing_of_the_job_that_is_gone(door: Any) -> None:
    door.call("put_queue", queue="brief", keep_history=False)
    a = uuid4()
    door.enqueue("a", id=a, queue="brief")
    door.value("delete", id=a)
    door.enqueue("a", id=a, queue="brief")
    job = door.take()

    b = door.enqueue("b", after=[a])
    door.ack(job)
    door.chores("admit")

    assert door.state(b) == "ready"
