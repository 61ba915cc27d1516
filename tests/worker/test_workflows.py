"""Workflows in Python: graphs as values, results handed on, steps added while they run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from howdah import App, BadInput, Context, Workflow, gather, jobs, on, result, workflows
from howdah.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))
import growers


async def ended(app: App, eventually: Any, run: UUID) -> workflows.Run:
    async def has_ended() -> workflows.Run | None:
        found = await app.run(workflows.get(run))
        return found if found is not None and found.finished_at else None

    return await eventually(has_ended)


async def failure(app: App, task: str) -> str | None:
    [job] = [job for job in await app.run(jobs.list()) if job.task == task]
    return job.error


async def test_results_are_handed_on(app: App, eventually: Any) -> None:
    @app.task(name="charge")
    async def charge(order: int) -> dict[str, int]:
        return {"amount": order * 100}

    @app.task(name="ship")
    async def ship(order: int, amount: int, *, all_of_it: dict[str, int]) -> str:
        return f"{order}: {amount}, {all_of_it}"

    order = (
        Workflow("order")
        .add("charge", charge.job(7))
        .add(
            "ship", ship.job(7, charge.result("amount"), all_of_it=result("charge")), after="charge"
        )
    )
    async with app.worker():
        run = await ended(app, eventually, await app.enqueue(order))

    assert (run.state, run.percent, run.name) == ("succeeded", 100, "order")
    assert run.result == "\"7: 700, {'amount': 700}\""


@pytest.mark.parametrize("items", [[3, 1, 2], []])
async def test_a_map_is_gathered_in_order(app: App, eventually: Any, items: list[int]) -> None:
    @app.task(name="square")
    def square(n: int) -> int:
        return n * n

    @app.task(name="collect")
    async def collect(found: list[int]) -> list[int]:
        return found

    squares = Workflow("squares").map("each", square, items).add("all", collect.job(gather("each")))
    async with app.worker():
        run = await ended(app, eventually, await app.enqueue(squares))

    assert run.result == str([n * n for n in items]).replace(" ", "") or run.result == str(
        [n * n for n in items]
    )


async def test_a_map_over_a_result_makes_its_jobs_when_that_is_known(
    app: App, eventually: Any
) -> None:
    @app.task(name="numbers")
    async def numbers() -> dict[str, list[int]]:
        return {"found": [4, 5]}

    @app.task(name="square")
    async def square(n: int) -> int:
        return n * n

    @app.task(name="collect")
    async def collect(found: list[int]) -> int:
        return sum(found)

    flow = (
        Workflow("sum")
        .add("all", collect.job(gather(square)))
        .map("each", square, numbers.result("found"))
        .add("numbers", numbers.job())
    )
    async with app.worker():
        run = await ended(app, eventually, await app.enqueue(flow))

    assert run.result == "41"
    assert [step.name for step in await app.run(workflows.steps(run.id))] == [
        "numbers",
        "each",
        "all",
    ]


async def test_a_task_adds_steps_that_are_stored_with_its_success(
    app: App, eventually: Any
) -> None:
    seen: list[str] = []

    @app.task(name="leaf")
    async def leaf(name: str) -> str:
        seen.append(name)
        return name

    @app.task(name="grow", retry=None)
    async def grow(ctx: Context) -> None:
        ctx.workflow.add("left", leaf.job("left"), before="end")
        ctx.workflow.add("right", leaf.job("right"), after="left", before="end")
        if ctx.attempt == 1:
            raise ValueError("not yet")

    flow = Workflow("tree").add("grow", grow.job()).add("end", leaf.job("end"), after="grow")
    async with app.worker():
        run_id = await app.enqueue(flow)
        [job] = [j for j in await app.run(jobs.list()) if j.task == "grow"]

        async def is_scheduled() -> bool:
            return (await app.run(jobs.get(job.id))).state == "scheduled"

        await eventually(is_scheduled)
        assert len(await app.run(workflows.steps(run_id))) == 2  # it failed: nothing was added
        await app.run(jobs.run_now(job.id))
        run = await ended(app, eventually, run_id)

    assert run.state == "succeeded"
    assert seen == ["left", "right", "end"]


@pytest.mark.parametrize("task", ["in_thread", "in_process", "on_loop"])
async def test_steps_are_added_from_threads_and_processes(
    dsn: str, eventually: Any, task: str
) -> None:
    app = growers.app
    app.use(Settings(database_url=dsn, process_slots=1))
    flow = (
        Workflow("tree")
        .add("grow", app.tasks[task].job("it"))
        .add("end", growers.leaf.job("end"), after="grow")
    )
    async with app, app.worker():
        run_id = await app.enqueue(flow)
        run = await ended(app, eventually, run_id)
        steps = {step.name: step for step in await app.run(workflows.steps(run_id))}
        found = {job.task: job for job in await app.run(jobs.list())}

    assert run.state == "succeeded"
    assert {name: step.after for name, step in steps.items()} == {
        "grow": [], "left": [], "right": ["left"], "end": ["grow", "left", "right"],
    }  # fmt: skip
    assert found[task].attempt == 2


async def test_steps_that_come_too_late_fail_their_job_and_the_worker_goes_on(
    app: App, eventually: Any
) -> None:
    @app.task(name="leaf")
    async def leaf(n: int) -> int:
        return n

    @app.task(name="grow")
    async def grow(ctx: Context) -> None:
        ctx.workflow.add("late", leaf.job(2), before="first")

    flow = Workflow("tree").add("first", leaf.job(1)).add("grow", grow.job(), after="first")
    async with app.worker():
        run = await ended(app, eventually, await app.enqueue(flow))
        assert await app.result(await leaf.enqueue(3), timeout=10) == 3

    assert run.state == "failed"
    assert "step first has begun" in str(await failure(app, "grow"))


async def test_a_job_outside_of_a_workflow_has_none(app: App, eventually: Any) -> None:
    @app.task(name="alone")
    async def alone(ctx: Context) -> bool:
        return ctx.workflow is None

    async with app.worker():
        assert await app.result(await alone.enqueue(), timeout=10) is True


def test_what_makes_no_sense_is_refused_before_anything_is_stored(app: App) -> None:
    @app.task(name="a")
    def a(n: int = 0) -> None: ...

    with pytest.raises(BadInput, match=r"in a circle: [xy] → [xy] → [xy]"):
        Workflow("w").add("x", a.job(), after="y").add("y", a.job(), after=["x"]).start()
    with pytest.raises(BadInput, match="there is no step 'z'"):
        Workflow("w").add("x", a.job(), after="z").start()
    with pytest.raises(BadInput, match="two steps are named 'x'"):
        Workflow("w").add("x", a.job()).add("x", a.job())
    with pytest.raises(BadInput, match="has no steps"):
        Workflow("w").start()
    with pytest.raises(BadInput, match="2 steps run a"):
        Workflow("w").add("x", a.job()).add("y", a.job()).add("z", a.job(a.result())).start()
    with pytest.raises(BadInput, match="none of fail, skip, ignore"):
        Workflow("w").add("x", a.job()).add("y", a.job(), after={"x": "explode"})
    with pytest.raises(BadInput, match="cannot have unique_key"):
        Workflow("w").add("x", a.options(unique_key="k").job())
    with pytest.raises(BadInput, match="only within a workflow"):
        jobs.enqueue(a.job(result("x")))


async def test_it_starts_with_the_callers_transaction(app: App, db: psycopg.Connection) -> None:
    @app.task(name="a")
    def a() -> None: ...

    with db.transaction(force_rollback=True):
        run = on(db).enqueue(Workflow("w").add("x", a.job()))
        assert on(db).run(workflows.get(run)) is not None

    assert await app.run(workflows.get(run)) is None


async def test_a_job_waits_for_others(app: App, eventually: Any) -> None:
    seen: list[str] = []

    @app.task(name="note")
    async def note(what: str) -> None:
        seen.append(what)

    first = [await note.enqueue("first"), await note.options(delay=0.2).enqueue("second")]
    await note.options(after=first).enqueue("last")
    async with app.worker():
        await eventually(lambda: len(seen) == 3)

    assert seen == ["first", "second", "last"]
    with pytest.raises(BadInput, match="cannot be waited for"):
        note.options(after={first[0]: "explode"})


async def test_it_is_cancelled_retried_and_ranked(app: App, eventually: Any) -> None:
    @app.task(name="a")
    async def a() -> None: ...

    run_id = await app.enqueue(Workflow("w", priority=3).add("x", a.job()))
    assert await app.run(workflows.rank(run_id, 8)) == 1
    assert await app.run(workflows.cancel(run_id))
    async with app.worker():
        assert (await ended(app, eventually, run_id)).state == "cancelled"
        assert await app.run(workflows.retry(run_id)) == 1
        run = await ended(app, eventually, run_id)

    assert (run.state, run.priority) == ("succeeded", 8)
    assert [found.id for found in await app.run(workflows.list(state="succeeded"))] == [run_id]
