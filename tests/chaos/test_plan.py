"""A plan follows from its seed, can be kept, given back, and made smaller."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, replace
from random import Random

import pytest

from chaos.catalogue import FAULTS, WEIGHTS, faults_for
from chaos.load import MIX, spec
from chaos.plan import SIZES, SPREAD, Plan, planned


@dataclass(frozen=True)
class Kind:
    name: str


KINDS = [Kind("kill"), Kind("cut"), Kind("lock"), Kind("flood")]
SMOKE = SIZES["smoke"]


@pytest.fixture
def plan():
    return planned(7, SMOKE, KINDS, {})


def test_the_same_seed_gives_the_same_plan_whatever_the_order_of_kinds(plan):
    assert planned(7, SMOKE, KINDS[::-1], {}) == plan


def test_another_seed_gives_another_plan(plan):
    assert planned(8, SMOKE, KINDS, {}).steps != plan.steps


def test_there_are_more_faults_than_are_needed_spread_over_the_load(plan):
    moments = [step.at for step in plan.steps]

    assert len(moments) > SMOKE.faults
    assert moments == sorted(moments)
    assert 0 <= moments[0] < moments[-1] <= SMOKE.load * SPREAD
    assert max(b - a for a, b in itertools.pairwise(moments)) < SMOKE.load / 20


def test_each_kind_comes_before_any_comes_again(plan):
    first = [step.fault for step in plan.steps[: len(KINDS)]]

    assert sorted(first) == sorted(kind.name for kind in KINDS)


def test_kinds_come_by_their_weight():
    plan = planned(7, SMOKE, KINDS, {"kill": 10.0, "cut": 0.0})

    often = Counter(step.fault for step in plan.steps)
    assert often["kill"] > 5 * often["lock"]
    assert often["cut"] == 1


def test_a_plan_without_faults_is_refused():
    with pytest.raises(ValueError, match="a plan needs faults"):
        planned(7, SIZES["mini"], [], {})


def test_what_a_minute_has_room_for_is_known():
    names = {fault.name for fault in faults_for("mini")}

    assert len(names) > SIZES["mini"].classes
    assert names < {fault.name for fault in faults_for("smoke")}


def test_weights_are_of_faults_that_there_are():
    assert {name for weights in WEIGHTS.values() for name in weights} <= {*FAULTS}


def test_the_lanes_share_all_steps(plan):
    lanes = [plan.lane(number) for number in range(SMOKE.lanes)]

    assert sorted(step.number for lane in lanes for step in lane) == [*range(len(plan.steps))]
    assert len({len(lane) for lane in lanes}) <= 2


def test_a_plan_that_was_kept_is_the_plan(plan):
    assert Plan.from_json(plan.to_json()) == plan


def test_faults_can_be_left_out(plan):
    smaller = plan.without({"kill", "cut"})

    assert {step.fault for step in smaller.steps} == {"lock", "flood"}
    assert {*smaller.steps} < {*plan.steps}


@pytest.mark.parametrize(("one", "other"), [("first", "last"), ("odd", "even")])
def test_two_halves_make_the_whole(plan, one, other):
    halves = [{*plan.half(which).steps} for which in (one, other)]

    assert halves[0] | halves[1] == {*plan.steps}
    assert halves[0] & halves[1] == set()
    assert abs(len(halves[0]) - len(halves[1])) <= 1


def test_every_size_leaves_time_for_peace_within_its_limit():
    for size in SIZES.values():
        assert size.load < size.limit
        assert replace(size).jobs / size.load <= 800, size.name


def test_a_slower_run_has_as_many_jobs_and_faults():
    mini = SIZES["mini"]

    slow = mini.slowed(3)

    assert (slow.jobs, slow.faults) == (mini.jobs, mini.faults)
    assert (slow.load, slow.limit) == (mini.load * 3, mini.limit * 3)


def test_the_jobs_of_a_producer_follow_from_its_chance():
    one, other = Random("3/1"), Random("3/1")

    specs = [spec(one, key) for key in range(2000)]

    assert specs == [spec(other, key) for key in range(2000)]
    assert {s.task for s in specs} >= {*MIX} - {"unique", "serial", "later"}
    assert {s.key for s in specs} == {*range(2000)}
    assert any(s.unique for s in specs)
    assert any(s.serial for s in specs)
    assert any(s.task == "limited" for s in specs)
    assert not any(spec(one, key, in_bulk=True).unique for key in range(2000))
