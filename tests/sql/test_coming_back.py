"""Jobs that wait for others and are retried by hand: they come back as what they were, and wait."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.types.json import Jsonb
from running import flow, run, settle, steps

A = {"name": "a", "task": "a"}
B = {"name": "b", "task": "b", "refs": {"x": {"step": "a"}}}


def start(door: Any, *said: dict[str, Any]) -> Any:
    return door.value("start_workflow", name="order", steps=Jsonb(said))


def jobs_of(door: Any, workflow: Any, step: str) -> list[Any]:
    rows = door.rows(
        "select m.job_id from _howdah.step s join _howdah.member m on m.step = s.id"
        " where s.workflow = %s and s.name = %s order by m.place",
        workflow,
        step,
    )
    return [row.job_id for row in rows]


def end_badly(door: Any, how: str) -> None:
    """What is ready fails, or is cancelled; and who hears of it ends too."""
    for job in door.claim(100):
        door.finish([job], outcomes=[how], errors=["no"])
    settle(door)


# Steps


@pytest.mark.parametrize("meanwhile", ["blocked", "open"])
def test_a_job_of_a_step_gets_its_arguments_however_early_it_was_cancelled(
    door: Any, meanwhile: str
) -> None:
    w = start(door, A, B | {"each": [{"n": 1}, {"n": 2}]})
    cancelled, other = jobs_of(door, w, "b")
    assert door.value("cancel", id=cancelled)

    if meanwhile == "open":
        run(door, a=5)
        settle(door)
    assert door.value("retry", id=cancelled)
    if meanwhile == "blocked":
        assert door.state(cancelled) == "blocked"
        assert door.why(cancelled)
        assert run(door, a=5) == ["a"]

    assert {job.id: job.args["x"] for job in door.claim(5)} == {cancelled: 5, other: 5}
    assert steps(door, w)["b"].cancelled == 0


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_a_job_of_a_step_whose_parent_ended_badly_is_refused_until_that_is_tried_again(
    door: Any, refused: Any, how: str
) -> None:
    w = start(door, A, B, {"name": "c", "task": "c", "after": ["b"]})
    [a], [b], [c] = (jobs_of(door, w, name) for name in "abc")
    end_badly(door, how)
    assert [door.state(job) for job in (a, b, c)] == [how] * 3

    with refused("JQ003", "step a, for which it waits"):
        door.value("retry", id=b)
    assert door.value("retry", id=a)
    assert door.value("retry", id=b)
    assert door.value("retry", id=c)
    assert [door.state(job) for job in (a, b, c)] == ["ready", "blocked", "blocked"]
    assert flow(door, w).state == "running"

    assert run(door, a=5) == ["a"]
    job = door.take()
    assert (job.id, job.args) == (b, {"x": 5})
    door.ack(job)
    assert run(door) == ["c"]
    settle(door)
    assert [step.state for step in steps(door, w).values()] == ["succeeded"] * 3
    assert [step.error for step in steps(door, w).values()] == [None] * 3
    assert flow(door, w).state == "succeeded"


def test_a_job_that_comes_back_after_its_parent_has_succeeded_at_last_gets_its_arguments(
    door: Any,
) -> None:
    w = start(door, A, B)
    [a], [b] = jobs_of(door, w, "a"), jobs_of(door, w, "b")
    end_badly(door, "failed")
    door.value("retry", id=a)
    run(door, a=7)
    settle(door)
    assert flow(door, w).state == "failed"

    assert door.value("retry", id=b)
    settle(door)

    assert door.take().args == {"x": 7}


def test_a_job_that_is_retried_waits_again_for_a_step_that_was_opened_again(door: Any) -> None:
    w = start(door, A, B)
    [a], [b] = jobs_of(door, w, "a"), jobs_of(door, w, "b")
    run(door, a=1)
    end_badly(door, "failed")

    door.value("retry", id=a)
    door.value("retry", id=b)
    settle(door)

    assert door.state(b) == "blocked"
    assert run(door, a=2) == ["a"]
    assert door.take().args == {"x": 2}


def test_who_still_waits_for_others_waits_again_for_a_step_that_was_opened_again(
    door: Any,
) -> None:
    w = start(door, A, {"name": "other", "task": "other"}, B | {"after": ["other"]})
    [a] = jobs_of(door, w, "a")
    first, other = sorted(door.claim(2), key=lambda job: job.task)
    door.ack(first, result=Jsonb("first"))
    settle(door)

    door.value("retry", id=a)
    door.ack(other)
    settle(door)

    assert run(door, a="second") == ["a"]
    assert door.take().args == {"x": "second"}


def test_nothing_comes_back_into_a_workflow_that_is_being_cancelled(
    door: Any, refused: Any
) -> None:
    w = start(door, A, {"name": "other", "task": "other"})
    failing, job = sorted(door.claim(2, worker=door.worker()), key=lambda job: job.task)
    a = failing.id
    door.nack(failing, retry=False)
    door.value("cancel_workflow", id=w)

    with refused("JQ003", "is being cancelled"):
        door.value("retry", id=a)
    door.finish([job], outcomes=["cancelled"])
    settle(door)
    assert flow(door, w).state == "cancelled"

    assert door.value("retry", id=a)
    assert door.value("retry", id=job.id)
    assert sorted(run(door)) == ["a", "other"]
    settle(door)
    assert flow(door, w).state == "succeeded"


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_a_retried_workflow_goes_by_how_the_steps_before_ended_at_last(door: Any, how: str) -> None:
    """Its first step ended badly, and then well when its job was retried by itself."""
    w = start(door, A, B)
    end_badly(door, how)
    [a], [b] = jobs_of(door, w, "a"), jobs_of(door, w, "b")
    assert door.value("retry", id=a)
    run(door, a=5)
    settle(door)
    assert flow(door, w).state == how

    assert door.value("retry_workflow", id=w) == 1
    settle(door)

    [job] = door.claim(5)
    assert (job.id, job.args["x"]) == (b, 5)
    door.ack(job)
    settle(door)
    assert flow(door, w).state == "succeeded"


def test_a_workflow_of_which_a_job_came_back_runs_and_is_not_retried(
    door: Any, refused: Any
) -> None:
    w = start(door, A)
    [a] = jobs_of(door, w, "a")
    end_badly(door, "failed")

    door.value("retry", id=a)

    with refused("JQ003", "has not ended"):
        door.value("retry_workflow", id=w, whole=True)


def test_a_job_of_a_step_that_is_about_to_end_is_refused(door: Any, refused: Any) -> None:
    w = start(door, A, B)
    [b] = jobs_of(door, w, "b")
    door.nack(door.take(), retry=False)
    settle(door)
    door.rows("update _howdah.step set state = 'o' where name = 'b'")  # as between two looks

    with refused("JQ003", "step a, for which it waits, did not succeed"):
        door.value("retry", id=b)
    door.value("retry", id=jobs_of(door, w, "a")[0])
    with refused("JQ003", "step b is about to end"):
        door.value("retry", id=b)


def test_a_job_is_retried_in_vain_whose_arguments_are_too_large(door: Any) -> None:
    w = start(door, {**A, "each": [{}, {}, {}]}, {**B, "refs": {"all": {"gather": "a"}}})
    for n, job in enumerate(door.claim(3)):
        letters = (chr(97 + (i * i * (n + 7)) % 26) for i in range(500_000))
        door.ack(job, result=Jsonb("".join(letters)))
    settle(door)
    assert flow(door, w).state == "failed"

    door.value("retry", id=jobs_of(door, w, "b")[0])
    settle(door)

    assert flow(door, w).state == "failed"
    said = door.one("select error from howdah.steps where workflow = %s and name = 'b'", w)
    assert "larger than 1 MiB" in said


@pytest.mark.parametrize("n", [20, pytest.param(2000, marks=pytest.mark.slow)])
def test_many_that_were_cancelled_and_came_back_keep_nobody_waiting(door: Any, n: int) -> None:
    w = start(door, A, {"name": "m", "task": "m", "each": [{}] * (n + 500), "after": ["a"]})
    for verb in ("cancel", "retry"):
        door.rows(f"select howdah.{verb}(id) from unnest(%s) id", jobs_of(door, w, "m")[:n])

    done = run(door, n=1)
    settle(door)
    while some := door.claim(1000):
        door.finish(some)
        done += [job.task for job in some]
        settle(door)

    assert len(done) == n + 501
    assert flow(door, w).state == "succeeded"


def test_jobs_at_which_nothing_is_to_be_done_do_not_hide_those_behind_them(door: Any) -> None:
    w = start(door, A, {"name": "m", "task": "m", "each": [{}] * 2100, "after": ["a"]})
    door.rows(  # as one would find them where they were let in beside the order
        "update _howdah.job set state = 'r' where id = any (%s)", jobs_of(door, w, "m")[:2050]
    )

    run(door, n=1)
    settle(door)

    assert door.one("select count(*) from _howdah.job where state = 'w'") == 0


def test_an_open_step_goes_on_whatever_became_of_the_one_before_it_since(door: Any) -> None:
    start(door, A, B | {"each": [{"n": 1}, {"n": 2}]})
    a = door.take()
    door.ack(a, result=Jsonb(1))
    one, _two = door.claim(2)
    door.nack(one, retry=False)
    door.value("retry", id=a.id)
    door.nack(door.take(), retry=False)
    settle(door)

    assert door.value("retry", id=one.id)

    assert door.take().args == {"n": 1, "x": 1}


# Jobs with after


@pytest.mark.parametrize("ends", ["succeeded", "failed"])
def test_a_child_that_was_cancelled_comes_back_to_wait(door: Any, ends: str) -> None:
    a = door.enqueue("a")
    b = door.enqueue("b", after=[a])
    settle(door)
    door.value("cancel", id=b)
    settle(door)

    assert door.value("retry", id=b)
    assert door.state(b) == "blocked"
    assert str(a) in door.why(b)

    door.finish([door.take()], outcomes=[ends])
    settle(door)
    assert door.state(b) == {"succeeded": "ready"}.get(ends, ends)


def test_a_child_waits_for_the_others_too_when_one_parent_has_failed_and_is_tried_again(
    door: Any, refused: Any
) -> None:
    a, other = door.enqueue("a"), door.enqueue("other")
    b = door.enqueue("b", after=[a, other])
    door.nack(door.take(tasks=["a"]), retry=False)
    settle(door)
    assert door.state(b) == "failed"

    with refused("JQ003", f"job {a}, for which it waits, failed"):
        door.value("retry", id=b)
    assert door.state(b) == "failed"
    assert door.value("retry", id=a)
    assert door.value("retry", id=b)
    door.ack(door.take(tasks=["a"]))
    settle(door)
    assert door.state(b) == "blocked"
    door.ack(door.take(tasks=["other"]))
    settle(door)

    assert door.take().id == b


def test_a_child_with_a_key_takes_its_turn_only_when_it_waits_no_longer(door: Any) -> None:
    a = door.enqueue("a")
    b = door.enqueue("b", after=[a], serial_key="k")
    door.value("cancel", id=b)
    settle(door)

    door.value("retry", id=b)
    free = door.enqueue("free", serial_key="k")
    settle(door)

    assert door.take(tasks=["free"]).id == free
    assert door.state(b) == "blocked"


def test_a_child_whose_parents_are_gone_waits_for_nobody(door: Any) -> None:
    a = door.enqueue("a")
    b = door.enqueue("b", after=[a])
    door.nack(door.take(), retry=False)
    settle(door)
    door.value("delete", id=a)

    assert door.value("retry", id=b)

    assert door.take().id == b


def test_what_a_child_waited_for_is_forgotten_with_it(door: Any, clock: Any) -> None:
    a, other = door.enqueue("a"), door.enqueue("other")
    door.enqueue("b", after=[a, other])
    door.nack(door.take(tasks=["a"]), retry=False)
    settle(door)
    door.chores("prune")
    assert door.one("select count(*) from _howdah.edge") == 2

    clock.forward("1 year")
    door.chores("prune")

    assert door.one("select count(*) from _howdah.edge") == 0
