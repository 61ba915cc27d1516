"""Pipelines of stages: the scenarios of the origins (PIPE), at the SQL door."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from running import flow, run, steps

IMAGES = [
    {"task": "assigner"},
    {"task": "classification", "config": {"model": "m1"}},
    {"task": "merge", "gather": True},
    {"task": "upload"},
]


def put(door: Any, name: str, order: int, *tasks: Any, version: str = "1.0") -> None:
    door.call("put_pipeline", name=name, version=version, order=order, steps=Jsonb(tasks))


def request(door: Any, *pipelines: Any, **options: Any) -> Any:
    return door.value("start_request", pipelines=list(pipelines), **options)


def take(door: Any, n: int) -> list[Any]:
    jobs = door.claim(n)
    assert len(jobs) == n
    return jobs


def test_pipe_01_a_fan_out_is_gathered_once_all_of_it_has_finished(door: Any) -> None:
    put(door, "images", 1, *IMAGES)
    r = request(door, "images", args={"folder": "a"})
    [assigner] = take(door, 1)
    assert assigner.args == {"folder": "a"}

    door.ack(assigner, result=Jsonb([{"n": n} for n in range(4)]))
    jobs = take(door, 4)
    assert [job.args for job in jobs] == [{"n": n, "config": {"model": "m1"}} for n in range(4)]
    for job in jobs[:3]:
        door.ack(job, result=Jsonb(job.args["n"]))
    assert door.claim(5) == []
    door.ack(jobs[3], result=Jsonb(3))

    [merge] = take(door, 1)
    assert (merge.task, merge.args) == ("merge", {"items": [0, 1, 2, 3]})
    door.ack(merge, result=Jsonb({"file": "x"}))
    [upload] = take(door, 1)
    assert upload.args == {"file": "x"}
    door.ack(upload)
    assert door.claim(5) == []

    assert flow(door, r).state == "succeeded"
    assert door.counts() == (0, 1 + 4 + 1 + 1)


def test_pipe_02_an_order_starts_once_all_pipelines_before_it_have_finished(door: Any) -> None:
    put(door, "p2", 1, "two")
    put(door, "p3", 1, "three")
    put(door, "p4", 2, "four")
    r50, r45 = request(door, "p2", "p3", "p4"), request(door, "p2")

    jobs = take(door, 3)
    assert sorted(job.task for job in jobs) == ["three", "two", "two"]
    door.ack(jobs[0])
    assert door.claim(5) == []
    door.ack(jobs[1])

    [four] = take(door, 1)
    assert four.task == "four"
    door.ack(jobs[2])
    door.ack(four)
    door.chores("admit")
    assert (flow(door, r50).state, flow(door, r45).state) == ("succeeded", "succeeded")


def test_pipe_03_two_that_finish_at_the_same_instant_start_the_next_order_once(
    door: Any, another_door: Any
) -> None:
    put(door, "p2", 1, "two")
    put(door, "p3", 1, "three")
    put(door, "p4", 2, "four")
    request(door, "p2", "p3", "p4")
    first, second = take(door, 2)
    other, admitting = another_door(), another_door()

    with door.transaction(), other.transaction():
        door.ack(first)
        other.ack(second)  # neither sees the other
        admitting.chores("admit")

    assert run(door) == ["four"]
    assert run(door) == []


def test_pipe_04_nothing_starts_an_order_twice_and_what_is_late_is_refused(
    door: Any, refused: Any
) -> None:
    put(door, "p1", 1, "one")
    put(door, "p2", 2, "two")
    r = request(door, "p1", "p2")
    [one] = take(door, 1)
    door.ack(one)
    with refused("JQ002"):
        door.ack(one._replace(lease=r))  # a stale token
    assert door.finish([one]) == {one.id: "done"}

    [two] = take(door, 1)
    with refused("JQ003", "too late: order 2 has begun"):
        door.call("add_to_request", id=r, pipelines=Jsonb(["p1"]))
    door.ack(two)
    assert door.claim(5) == []

    assert [step.created for step in steps(door, r).values()] == [1, 1]
    with refused("JQ003", "has ended"):
        door.chores("admit")
        door.call("add_to_request", id=r, pipelines=Jsonb(["p2"]))


def test_pipe_05_orders_run_in_ascending_order_whatever_gaps_there_are(door: Any) -> None:
    for name, order in (("p1", 1), ("p2", 2), ("p3", 3)):
        put(door, name, order, f"t{order}")
    gap, alone = request(door, "p3", "p1"), request(door, "p2")

    jobs = take(door, 2)
    assert sorted(job.task for job in jobs) == ["t1", "t2"]
    waiting = steps(door, gap)["p3/t3"]
    assert (waiting.state, waiting.waits_for) == ("blocked", ["p1/t1"])
    door.call("add_to_request", id=gap, pipelines=Jsonb(["p2"]))  # in between
    door.finish(jobs)
    assert run(door) == ["t2"]
    assert run(door) == ["t3"]

    door.chores("admit")
    assert {flow(door, r).state for r in (gap, alone)} == {"succeeded"}


def test_pipe_06_a_step_names_the_version_of_its_task(door: Any) -> None:
    put(door, "old", 1, {"task": "classification", "version": "1.0.0"})
    put(door, "new", 1, {"task": "classification", "version": "9.1.0"})
    request(door, "old", "new")

    assert [job.task for job in door.claim(5, tasks=["classification@1.0.0"])] == [
        "classification@1.0.0"
    ]


@pytest.mark.parametrize("n", [0, 1, pytest.param(5000, marks=pytest.mark.slow)])
def test_pipe_11_a_fan_out_of_any_size(door: Any, n: int) -> None:
    put(door, "images", 1, *IMAGES[:3])
    r = request(door, "images")

    run(door, assigner=list(range(n)))
    while jobs := door.claim(5000, tasks=["class*"]):
        door.finish(jobs, results=[Jsonb(job.args["item"]) for job in jobs])

    [merge] = take(door, 1)
    assert merge.args == {"items": list(range(n))}
    door.ack(merge)
    door.chores("admit")
    assert flow(door, r).state == "succeeded"


def test_pipe_13_a_step_gets_its_configuration(door: Any) -> None:
    put(door, "p", 1, {"task": "a", "config": {"depth": 2}})

    request(door, "p", args={"x": 1})

    assert door.take().args == {"x": 1, "config": {"depth": 2}}


def test_pipe_16_progress_is_told_by_step_and_never_falls(door: Any) -> None:
    put(door, "images", 1, *IMAGES)
    r = request(door, "images")
    seen = [flow(door, r).percent]

    run(door, assigner=[1, 2, 3, 4])
    seen.append(flow(door, r).percent)
    jobs = take(door, 4)
    door.finish(jobs[:2])
    told = steps(door, r)
    counts = {name: (step.created, step.running, step.finished) for name, step in told.items()}
    assert counts["images/assigner"] == (1, 0, 1)
    assert counts["images/classification"] == (4, 2, 2)
    seen.append(flow(door, r).percent)
    door.finish(jobs[2:])
    while run(door):
        seen.append(flow(door, r).percent)
    door.chores("admit")
    seen.append(flow(door, r).percent)

    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, 100)


def test_pipe_18_the_same_task_may_come_twice(door: Any) -> None:
    put(door, "p", 1, "a", "b", "a", "c")
    r = request(door, "p")

    assert [run(door)[0] for _ in range(4)] == ["a", "b", "a", "c"]
    assert list(steps(door, r)) == ["p/a#1", "p/b", "p/a#2", "p/c"]


def test_pipe_19_order_0_starts_at_once_and_starts_nothing(door: Any) -> None:
    put(door, "p0", 0, "zero")
    put(door, "p1", 1, "one")
    put(door, "p2", 2, "two")
    r = request(door, "p0", "p1", "p2")

    zero, one = take(door, 2)
    assert (zero.task, one.task) == ("zero", "one")
    door.ack(zero)
    assert door.claim(5) == []
    door.ack(one)

    assert run(door) == ["two"]
    door.chores("admit")
    assert flow(door, r).state == "succeeded"


def test_pipe_20_a_cancelled_request_stops(door: Any) -> None:
    put(door, "p1", 1, "a", "b")
    put(door, "p2", 2, "c")
    r = request(door, "p1", "p1", "p2")
    worker = door.worker()
    [running] = door.claim(1, worker=worker)

    assert door.value("cancel_workflow", id=r) is True

    assert door.beat(worker).cancel == [running.id]
    door.finish([running], outcomes=["cancelled"])
    while door.chores("admit")["admit"]:
        pass
    assert door.claim(5) == []
    assert flow(door, r).state == "cancelled"
    assert {step.state for step in steps(door, r).values()} == {"cancelled"}
    assert door.value("cancel_workflow", id=r) is False


def test_priorities_are_inherited_and_a_run_is_ranked_anew(door: Any) -> None:
    put(door, "p", 1, "a", "b")
    low, high = request(door, "p", priority=1), request(door, "p", priority=5)

    assert [door.claim(1)[0].priority, 0] == [5, 0]
    assert door.value("rank_workflow", id=low, priority=9) == 1
    [a] = take(door, 1)
    assert a.priority == 9
    door.ack(a)
    assert door.take().priority == 9
    assert flow(door, high).priority == 5


@pytest.mark.parametrize(
    "call",
    [
        "'p'",
        "'{p,q}'",
        """'["p", "q"]'""",
        """'{"name": "p", "version": "1.0"}'""",
        "array['p', 'q']",
        "'p'::text",
        """'["p"]'::jsonb""",
        "array['p'], args => '{}', priority => 3",
        "pipelines => '{p,q}', name => 'both'",
        "pipelines => 'p', args => '{}'",
    ],
)
def test_sql_says_pipelines_as_it_likes(door: Any, call: str) -> None:
    for name in "pq":
        put(door, name, 1, name)

    [[id_]] = door.rows(f"select howdah.start_request({call})")

    assert len(steps(door, id_)) == (2 if "q" in call else 1)


@pytest.mark.parametrize(
    "said", ["[p", "{p", '{"p"}x', '{"name": }', '["\\u0000"]', "[" * 30_000, "{}"]
)
def test_pipelines_that_cannot_be_read_are_refused(door: Any, refused: Any, said: str) -> None:
    with refused("JQ001", "pipelines"):
        door.call("start_request", pipelines=said)


def test_a_pipeline_or_a_request_that_makes_no_sense_is_refused(door: Any, refused: Any) -> None:
    with refused("JQ001", "needs a list of 1 to 1000 steps"):
        put(door, "p", 1)
    with refused("JQ001", "no field"):
        put(door, "p", 1, {"task": "a", "colour": "red"})
    with refused("JQ001", "nothing to gather"):
        put(door, "p", 1, {"task": "a", "gather": True})
    for step, mentions in (
        ({"task": "a", "priority": "high"}, "step 1: invalid input syntax"),
        ({"task": "a", "delay": "foo"}, "step 1: invalid input syntax"),
        ({"task": "a", "name": 1}, "step 1: name must be text"),
        ({"task": "a", "version": "not a version"}, "step 1: version must be"),
        ({"task": "a", "version": ">=2, <3"}, "without spaces"),
        ({"task": "a" * 100, "version": "1" + ".123456789" * 2}, "longer than 120 characters"),
        ({"task": "a", "name": "n" * 220}, "at most 220 are taken"),
    ):
        with refused("JQ001", mentions):
            put(door, "p", 1, step)
    with refused("JQ004", "no pipeline missing"):
        request(door, "missing")
    with refused("JQ001", "list of pipelines"):
        request(door)
    put(door, "p", 1, "a")
    for asked, mentions in (
        ({"name": "p", "order": "x"}, "pipeline p: its order must be a whole number"),
        ({"name": "p", "order": 1.5}, "pipeline p: its order must be a whole number"),
        ({"name": "p", "order": -1}, "pipeline p: its order must be a whole number"),
        ({"name": "p", "priority": "high"}, "pipeline p: its priority must be a whole number"),
        ({"name": "p", "version": 1}, "pipeline p: its version must be text"),
        ({"name": "p", "args": [1]}, "pipeline p: its args must be an object"),
        ({"order": 1}, "a pipeline is a name, or an object with one"),
    ):
        with refused("JQ001", mentions):
            door.call("start_request", pipelines=json.dumps([asked]))
    with refused("JQ001", "name of 1 to 120 characters"):
        request(door, "p", name="n" * 121)


def test_names_of_pipelines_and_steps_may_be_long(door: Any) -> None:
    name, task = "p" * 110, "t" * 109
    put(door, name, 1, task, task)

    r = request(door, name, name)

    assert [*steps(door, r)] == [f"{key}/{task}#{n}" for key in (name, f"{name}#2") for n in (1, 2)]


def test_a_pipeline_may_come_many_times_and_each_has_a_name_of_its_own(door: Any) -> None:
    put(door, "q", 1, "t")
    put(door, "q#2", 2, "t")
    r = request(door, "q", "q#2", *["q"] * 600)

    door.call("add_to_request", id=r, pipelines=Jsonb(["q#2", "q"]))

    names = [*steps(door, r)]
    assert len(names) == 604
    assert {"q/t", "q#2/t", "q#3/t", "q#602/t", "q#2#2/t", "q#603/t"} <= set(names)


def test_the_cost_of_a_request_grows_with_its_pipelines_and_no_faster(door: Any) -> None:
    put(door, "q", 1, "t")

    def cost(n: int) -> float:
        began = time.perf_counter()
        request(door, *["q"] * n)
        return time.perf_counter() - began

    assert min(cost(400), cost(400)) < 40 * max(cost(50), cost(50))  # eight times as many
