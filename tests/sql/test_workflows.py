"""Workflows: steps of jobs that wait for steps, at the SQL door."""

from __future__ import annotations

import contextlib
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb
from running import flow, run, settle, steps

SPREAD = {"name": "b", "task": "b", "each": {"step": "a"}}  # its jobs are made once a has ended

SLEEPS = """
create function public.sleep() returns trigger language plpgsql as $$
begin perform pg_sleep(5); return new; end $$;
create trigger sleeps before update on _howdah.step for each row
when (new.name = 'slow' and new.state <> old.state) execute function public.sleep()
"""


def start(door: Any, *steps: dict[str, Any], **options: Any) -> Any:
    return door.value("start_workflow", name="order", steps=Jsonb(steps), **options)


def test_steps_run_one_after_the_other(door: Any) -> None:
    w = start(
        door,
        {"name": "charge", "task": "charge"},
        {"name": "ship", "task": "ship", "after": ["charge"]},
    )

    assert flow(door, w).state == "running"
    assert run(door) == ["charge"]
    assert flow(door, w).percent == 50
    assert run(door, ship={"sent": True}) == ["ship"]
    door.chores("admit")

    assert flow(door, w).state == "succeeded"
    assert flow(door, w).percent == 100
    assert flow(door, w).result == {"sent": True}


def test_results_of_parents_are_arguments_of_children(door: Any) -> None:
    start(
        door,
        {"name": "charge", "task": "charge"},
        {
            "name": "ship",
            "task": "ship",
            "args": {"to": "Wien"},
            "refs": {"amount": {"step": "charge", "path": ["amount"]}},
        },
    )

    run(door, charge={"amount": 42})

    assert door.take().args == {"to": "Wien", "amount": 42}


def test_one_job_for_each_and_one_that_gathers(door: Any) -> None:
    w = start(
        door,
        {"name": "list", "task": "list"},
        {"name": "each", "task": "each", "each": {"step": "list"}},
        {"name": "all", "task": "all", "refs": {"items": {"gather": "each"}}},
    )

    run(door, list=[3, 1, 2])
    jobs = door.claim(10)
    assert [job.args for job in jobs] == [{"item": 3}, {"item": 1}, {"item": 2}]
    for job in reversed(jobs):
        door.ack(job, result=Jsonb(job.args["item"] * 10))

    assert steps(door, w)["each"].created == 3
    assert door.take().args == {"items": [30, 10, 20]}


def test_a_list_may_be_empty(door: Any) -> None:
    w = start(
        door,
        {"name": "each", "task": "each", "each": []},
        {"name": "all", "task": "all", "refs": {"items": {"gather": "each"}}},
    )

    job = door.take()
    assert job.args == {"items": []}
    door.ack(job)
    door.chores("admit")

    assert flow(door, w).state == "succeeded"


def test_a_failed_step_fails_those_after_it_and_the_workflow(door: Any) -> None:
    w = start(
        door,
        {"name": "a", "task": "a"},
        {"name": "b", "task": "b", "after": ["a"]},
        {"name": "c", "task": "c", "after": {"a": "skip"}},
        {"name": "d", "task": "d", "after": {"a": "ignore"}},
    )

    door.nack(door.take(), error="no", retry=False)
    assert run(door) == ["d"]
    settle(door)

    states = {name: step.state for name, step in steps(door, w).items()}
    assert states == {"a": "failed", "b": "failed", "c": "cancelled", "d": "succeeded"}
    assert flow(door, w).state == "failed"


def test_a_failure_that_all_ignore_does_not_fail_the_workflow(door: Any) -> None:
    w = start(
        door,
        {"name": "a", "task": "a"},
        {
            "name": "b",
            "task": "b",
            "after": {"a": "ignore"},
            "refs": {"what": {"outcomes": "a"}},
        },
    )

    door.nack(door.take(), error="no", retry=False)
    job = door.take()
    assert job.args == {"what": [{"state": "failed", "result": None, "error": "no"}]}
    door.ack(job)
    settle(door)

    assert flow(door, w).state == "succeeded"


def test_a_workflow_is_retried_from_its_failed_jobs_on(door: Any) -> None:
    w = start(
        door,
        {"name": "a", "task": "a", "each": [{"n": 1}, {"n": 2}]},
        {"name": "b", "task": "b", "refs": {"all": {"gather": "a"}}},
    )
    one, two = door.claim(2)
    door.ack(one, result=Jsonb("one"))
    door.nack(two, error="no", retry=False)
    settle(door)
    assert flow(door, w).state == "failed"
    percent = flow(door, w).percent

    assert door.value("retry_workflow", id=w) == 2
    again = door.take()
    assert (again.id, again.args) == (two.id, {"n": 2})
    assert flow(door, w).percent >= percent
    door.ack(again, result=Jsonb("two"))

    b = door.take()
    assert b.args == {"all": ["one", "two"]}
    door.ack(b)
    settle(door)
    assert flow(door, w).state == "succeeded"


def test_a_workflow_is_retried_as_a_whole(door: Any, refused: Any) -> None:
    w = start(
        door,
        {"name": "a", "task": "a"},
        {"name": "b", "task": "b", "each": {"step": "a"}},
        {"name": "c", "task": "c", "refs": {"all": {"gather": "b"}}},
    )
    with refused("JQ003", "has not ended"):
        door.call("retry_workflow", id=w)
    run(door, a=[1, 2])
    run(door)
    run(door)
    settle(door)
    assert flow(door, w).state == "succeeded"

    assert door.value("retry_workflow", id=w, whole=True) == 2

    assert run(door, a=[1, 2, 3]) == ["a"]
    assert run(door, b="x") == ["b"] * 3
    assert door.take().args == {"all": ["x", "x", "x"]}


def test_one_job_that_is_retried_by_itself_opens_its_workflow_again(door: Any) -> None:
    w = start(door, {"name": "a", "task": "a"})
    job = door.take()
    door.nack(job, error="no", retry=False)
    settle(door)
    assert flow(door, w).state == "failed"

    assert door.value("retry", id=job.id)
    settle(door)
    assert flow(door, w).state == "running"
    assert run(door) == ["a"]
    settle(door)

    assert flow(door, w).state == "succeeded"


def test_jobs_with_keys_take_their_turn_once_their_step_is_open(door: Any) -> None:
    start(
        door,
        {"name": "a", "task": "a"},
        {"name": "b", "task": "b", "after": ["a"], "each": [{"n": 1}, {"n": 2}], "serial_key": "k"},
    )
    free = door.enqueue("free", serial_key="k", priority=1)

    taken = door.take()
    assert taken.id == free
    assert run(door) == ["a"]
    assert door.claim(5) == []  # the key is taken
    door.ack(taken)
    assert [job.args for job in door.claim(5)] == [{"n": 1}]


def test_workflows_that_make_no_sense_are_refused_and_leave_nothing(
    door: Any, refused: Any
) -> None:
    a = {"name": "a", "task": "a"}
    for wrong, mentions in (
        ([], "needs steps"),
        ([a, a], "two steps are named"),
        ([{"task": "a"}], "needs a name"),
        ([{"name": "b", "task": "b", "after": ["a"]}, a], "does not come before it"),
        ([a, {"name": "b", "task": "b", "after": ["x"]}], "there is no step 'x'"),
        ([{**a, "after": ["a"]}], "does not come before it"),
        ([{**a, "colour": "red"}], "no field 'colour'"),
        ([{**a, "unique_key": "k"}], "no unique key"),
        ([a, {"name": "b", "task": "b", "after": {"a": "explode"}}], "none of fail, skip"),
        ([{**a, "each": [1]}], "each must be a list of objects"),
        ([{**a, "priority": "high"}], "step 'a': invalid input syntax"),
        ([{**a, "delay": "foo"}], "step 'a': invalid input syntax"),
        ([{**a, "order": 1.5}], "step 'a': order must be a whole number"),
        ([a, {**SPREAD, "colour": "red"}], "step 'b': a job has no field 'colour'"),
        ([a, {**SPREAD, "priority": "high"}], "step 'b': invalid input syntax"),
        ([a, {**SPREAD, "task": ""}], "step 'b': a job needs a task name"),
        ([a, {"name": "b", "each": {"step": "a"}}], "step 'b': a job needs a task name"),
        ([a, {**SPREAD, "args": [1]}], "step 'b': args must be a JSON object"),
        ([a, {**SPREAD, "each": {"step": "a", "path": "x"}}], "step 'b': each: a path is a list"),
        ([a, {"name": "b", "task": "b", "refs": {"x": "a"}}], "step 'b': what argument 'x' is"),
        (
            [a, {"name": "b", "task": "b", "refs": {"x": {"step": "a", "path": "x"}}}],
            "a path is a list",
        ),
    ):
        with refused("JQ001", mentions):
            start(door, *wrong)

    assert door.counts() == (0, 0)
    assert door.rows("select from howdah.workflows") == []


def test_steps_may_be_added_while_it_runs(door: Any, refused: Any) -> None:
    w = start(door, {"name": "a", "task": "a"}, {"name": "end", "task": "end", "after": ["a"]})
    a = door.take()

    added = [{"name": "more", "task": "more", "after": ["a"], "before": ["end"]}]
    door.call("add_to_workflow", id=w, steps=Jsonb(added))
    door.ack(a)

    assert run(door) == ["more"]
    with refused("JQ003", "step a has begun"):
        late = [{"name": "late", "task": "late", "before": ["a"]}]
        door.call("add_to_workflow", id=w, steps=Jsonb(late))
    assert run(door) == ["end"]
    settle(door)
    with refused("JQ003", "has ended"):
        door.call("add_to_workflow", id=w, steps=Jsonb(added))


def test_steps_that_make_no_sense_are_not_added(door: Any, refused: Any) -> None:
    w = start(door, {"name": "a", "task": "a"}, {"name": "end", "task": "end", "after": ["a"]})

    for wrong, mentions in (
        ({**SPREAD, "colour": "red"}, "no field 'colour'"),
        ({"name": "b", "task": "b", "before": "end"}, "step 'b': before must be a list of names"),
        ("b", "a step must be a JSON object"),
    ):
        with refused("JQ001", mentions):
            door.call("add_to_workflow", id=w, steps=Jsonb([wrong]))

    assert [*steps(door, w)] == ["a", "end"]


def test_a_workflow_that_cannot_go_on_says_why_and_stops_nobody_else(door: Any, clock: Any) -> None:
    w = start(
        door,
        {"name": "a", "task": "a"},
        {"name": "b", "task": "b", "refs": {"x": {"step": "a", "path": ["n"]}}},
    )
    other = start(door, {"name": "c", "task": "c"}, {"name": "d", "task": "d", "after": ["c"]})
    door.rows(
        """update _howdah.step set refs = '{"x": {"step": "a", "path": "n"}}' where name = 'b'"""
    )
    [b] = door.rows("select id from howdah.jobs where task = 'b'")

    assert sorted(run(door, a={"n": 7})) == ["a", "c"]
    assert run(door) == ["d"]
    door.chores("admit")
    assert flow(door, other).state == "succeeded"
    assert (flow(door, w).state, flow(door, other).error) == ("running", None)
    assert "cannot extract elements from a scalar" in flow(door, w).error
    assert "cannot extract elements from a scalar" in door.why(b.id)
    assert not door.one("select _howdah.is_pending()")

    door.rows(
        """update _howdah.step set refs = '{"x": {"step": "a", "path": ["n"]}}' where name = 'b'"""
    )
    clock.forward("10 s")
    assert door.take().args == {"x": 7}
    assert flow(door, w).error is None


def test_a_workflow_that_takes_too_long_stops_nobody_else(own_door: Any) -> None:
    door = own_door
    door.rows(SLEEPS)
    slow = start(door, {"name": "slow", "task": "a"}, {"name": "b", "task": "b", "after": ["slow"]})
    other = start(door, {"name": "c", "task": "c"}, {"name": "d", "task": "d", "after": ["c"]})
    door.finish(door.claim(2))

    door.rows("set statement_timeout = '300 ms'")
    door.value("admit", n=100)
    door.value("admit", n=100)
    door.rows("reset statement_timeout")

    assert [job.task for job in door.claim(5)] == ["d"]
    assert "it takes too long: canceling statement" in flow(door, slow).error
    assert flow(door, other).error is None


def test_why_names_the_steps_for_which_a_job_waits(door: Any) -> None:
    start(door, {"name": "a", "task": "a"}, {"name": "b", "task": "b", "after": ["a"]})
    [b] = door.rows("select id from howdah.jobs where task = 'b'")

    assert door.why(b.id) == "step b of its workflow order waits for step a"


def test_results_that_are_more_than_fits_end_what_was_to_be_made_of_them(door: Any) -> None:
    gathers = {"pipeline": True, "step": "a", "gather": "a", "as": "items"}
    w = start(
        door,
        {"name": "a", "task": "a", "each": [{}] * 3},
        {"name": "b", "task": "b", "refs": {"all": {"gather": "a"}}},
        {"name": "c", "task": "c", "refs": {"all": {"outcomes": "a"}}},
        {"name": "d", "task": "d", "pipeline": "p", "each": gathers},
    )
    last = start(door, {"name": "a", "task": "a", "each": [{}] * 3})

    jobs = door.claim(6)
    door.finish(jobs, results=[Jsonb("x" * 1_000_000)] * 6)
    settle(door)

    found = steps(door, w)
    assert [step.state for step in found.values()] == ["succeeded", "failed", "failed", "failed"]
    assert all("its " in found[name].error for name in "bcd")
    assert (flow(door, w).state, flow(door, w).error) == ("failed", None)
    assert (flow(door, last).state, flow(door, last).result) == ("succeeded", None)


@pytest.mark.parametrize("then", [{"refs": {"x": {"step": "a"}}}, {"each": {"step": "a"}}])
def test_a_result_that_is_too_deep_for_an_argument_fails_the_step(door: Any, then: Any) -> None:
    w = start(door, {"name": "a", "task": "a"}, {"name": "b", "task": "b", **then})
    deep: Any = "x" * 600
    for _ in range(80):
        deep = [deep]

    run(door, a=deep)
    settle(door)

    assert flow(door, w).error is None
    assert "nested more than 64 deep" in steps(door, w)["b"].error


def test_arguments_that_would_be_too_large_fail_their_job_and_nothing_else(door: Any) -> None:
    w = start(
        door,
        {"name": "a", "task": "a", "each": [{}, {}, {}]},
        {"name": "b", "task": "b", "refs": {"all": {"gather": "a"}}},
    )

    jobs = door.claim(3)
    for n, job in enumerate(jobs):
        door.ack(
            job, result=Jsonb("".join(chr(97 + (i * i * (n + 7)) % 26) for i in range(500_000)))
        )
    settle(door)

    assert steps(door, w)["b"].state == "failed"
    assert flow(door, w).state == "failed"


def test_it_starts_with_the_callers_transaction_or_not_at_all(door: Any) -> None:
    with door.transaction(), contextlib.suppress(psycopg.Rollback), door.transaction():
        start(door, {"name": "a", "task": "a"}, {"name": "b", "task": "b", "after": ["a"]})
        raise psycopg.Rollback

    assert door.counts() == (0, 0)
    assert door.rows("select from howdah.workflows") == []


def test_r_27_a_result_is_recorded_once_and_a_step_ends_with_the_last_of_its_jobs(
    door: Any,
) -> None:
    w = start(
        door,
        {"name": "each", "task": "each", "each": [{"n": 1}, {"n": 2}]},
        {"name": "all", "task": "all", "refs": {"items": {"gather": "each"}}},
    )
    one, two = door.claim(2)

    door.finish([one], results=[Jsonb("first")])
    again = door.finish([one], results=[Jsonb("second")])  # its answer was lost
    stale = door.finish([two._replace(lease=uuid4())], results=[Jsonb("stale")])
    settle(door)
    assert (again, stale) == ({one.id: "done"}, {two.id: "lost"})
    assert [step.state for step in steps(door, w).values()] == ["running", "blocked"]
    assert steps(door, w)["each"].finished == 1
    door.finish([two], results=[Jsonb("two")])
    settle(door)

    assert [step.state for step in steps(door, w).values()] == ["succeeded", "running"]
    [gathered] = door.claim(5)
    assert gathered.args == {"items": ["first", "two"]}


def test_an_end_that_is_rolled_back_is_not_counted(door: Any) -> None:
    w = start(
        door,
        {"name": "each", "task": "each", "each": [{"n": 1}, {"n": 2}]},
        {"name": "all", "task": "all", "after": ["each"]},
    )
    one, two = door.claim(2)

    with door.transaction():
        door.ack(one)
        raise psycopg.Rollback
    door.ack(one)
    settle(door)
    before = [step.state for step in steps(door, w).values()]
    door.ack(two)
    settle(door)

    assert before == ["running", "blocked"]
    assert [step.state for step in steps(door, w).values()] == ["succeeded", "running"]


def test_ends_that_somebody_else_may_be_adding_up_are_added_up_once_he_is_done(
    door: Any, another_door: Any
) -> None:
    w = start(
        door, {"name": "one", "task": "one"}, {"name": "two", "task": "two", "after": ["one"]}
    )
    adding = another_door()

    with adding.transaction():
        adding.rows("select from _howdah.workflow for update")
        door.ack(door.take())
        door.chores("admit")
        before = [step.state for step in steps(door, w).values()]
    settle(door)

    assert before == ["running", "blocked"]
    assert [step.state for step in steps(door, w).values()] == ["succeeded", "running"]


def test_an_end_that_comes_while_somebody_adds_up_another_is_added_up_too(
    door: Any, another_door: Any
) -> None:
    w = start(
        door,
        {"name": "both", "task": "both", "each": [{}, {}]},
        {"name": "join", "task": "join", "after": ["both"]},
    )
    first, last = door.claim(2)
    door.ack(first)
    adding = another_door()

    with adding.transaction():
        adding.chores("admit")
        door.ack(last)
    settle(door)

    assert [step.state for step in steps(door, w).values()] == ["succeeded", "running"]


def test_results_are_there_even_where_history_keeps_none(door: Any) -> None:
    door.call("put_queue", queue="none", keep_history=False)
    w = start(
        door,
        {"name": "a", "task": "a", "queue": "none"},
        {"name": "b", "task": "b", "refs": {"x": {"step": "a"}}},
    )

    run(door, a=7)

    assert door.take().args == {"x": 7}
    settle(door)
    assert steps(door, w)["a"].finished == 1
    assert door.counts() == (1, 1)  # kept, so that the whole can be tried again


def test_growth_of_a_workflow_that_somebody_holds_is_busy_and_stops_nobody_else(
    door: Any, another_door: Any
) -> None:
    w = start(door, {"name": "a", "task": "a"})
    jobs = [door.take(), *[door.enqueue("plain") and door.take() for _ in range(2)]]
    more = [Jsonb([{"name": "more", "task": "more"}]), None, None]

    holder = another_door()
    with holder.transaction():
        holder.value("rank_workflow", id=w, priority=3)
        busy = door.finish(jobs, steps=more, skip_locked=True)

    assert busy == {jobs[0].id: "busy"}
    assert [door.state(job.id) for job in jobs] == ["running", "succeeded", "succeeded"]
    assert door.finish(jobs[:1], steps=more[:1], skip_locked=True) == {}
    assert run(door) == ["more"]
