"""Workflows: steps of jobs that wait for steps, at the SQL door."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb


def start(door: Any, *steps: dict[str, Any], **options: Any) -> Any:
    return door.value("start_workflow", name="order", steps=Jsonb(steps), **options)


def flow(door: Any, workflow: Any) -> Any:
    [found] = door.rows("select * from howdah.workflows where id = %s", workflow)
    return found


def steps(door: Any, workflow: Any) -> dict[str, Any]:
    found = door.rows("select * from howdah.steps where workflow = %s order by place", workflow)
    return {step.name: step for step in found}


def run(door: Any, n: int = 1000, **results: Any) -> list[str]:
    """Claim and finish what is ready; gives the tasks, with results by task."""
    done = []
    for job in door.claim(n):
        done.append(job.task)
        door.ack(job, result=Jsonb(results.get(job.task)))
    return done


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
