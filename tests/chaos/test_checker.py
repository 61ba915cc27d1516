"""The checker finds each kind of violation in a history that is right but for that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chaos import checker
from chaos.checker import CHECKS, judge
from chaos.history import Attempt, Effect, Flow, Remaining, Tick
from chaos.liveness import PROBE_KEYS

ROOT = Path(__file__).parent.parent.parent


def found(run):
    """The checks that object."""
    return {name.split()[0] for name in judge(run.history()).violations}


def failed(run, step, **more):
    """Have a job of the workflow fail, and the workflow with it."""
    run.flows[0] = Flow(50, "w50", "F")
    run.members[step] |= {"state": "F", "result": None}
    run.jobs[int(run.members[step]["id"][1:])] |= {"state": "F", **more}


def never_began(run, step):
    """Have a job of the workflow fail without having been let in."""
    failed(run, step)
    identity = run.members[step]["id"]
    run.changes = [change for change in run.changes if change["id"] != identity]
    run.changed(int(identity[1:]), None, "w", 1.2, attempt=0)
    run.changes[-1]["key"] = None
    run.changed(int(identity[1:]), "w", None, 3.6)


def never_came(run, step):
    """Leave out a job of the workflow."""
    identity = run.members.pop(step)["id"]
    del run.jobs[int(identity[1:])]
    run.changes = [change for change in run.changes if change["id"] != identity]


def test_a_history_without_flaw_is_valid(run):
    verdict = judge(run.history())

    assert verdict.violations == {}
    assert verdict.missing == []
    assert verdict.word == "valid"


# I1


def test_a_job_that_was_acknowledged_and_is_not_there_is_lost(run):
    run.enqueued(9)

    assert found(run) == {"I1"}


def test_a_job_that_nobody_knows_of_may_be_missing(run):
    run.enqueued(9, outcome="info")

    assert found(run) == set()


def test_a_job_under_another_id_than_was_said_is_lost(run):
    run.succeeded(9)
    run.enqueued(9, id="another")

    assert found(run) == {"I1"}


def test_a_job_that_succeeded_without_a_run_is_lost(run):
    run.lines = [line for line in run.lines if (line["e"], line.get("k")) != ("end", 1)]

    assert found(run) == {"I1"}


def test_a_transactional_job_that_succeeded_without_its_effect_is_lost(run):
    run.effects.clear()

    assert found(run) == {"I1"}


# I2


def test_a_job_that_nobody_enqueued_is_unexpected(run):
    run.lines = [line for line in run.lines if line.get("k") != 1 or line["e"] in {"start", "end"}]

    assert found(run) == {"I2"}


def test_a_job_whose_enqueue_was_rolled_back_is_unexpected(run):
    for line in run.lines:
        if (line["e"], line.get("k")) == ("ok", 1):
            line["e"] = "fail"

    assert found(run) == {"I2"}


def test_two_jobs_of_one_enqueue_are_one_too_many(run):
    run.succeeded(9)
    run.jobs[9]["key"] = 1
    run.lines = [line for line in run.lines if line.get("k") != 9]
    run.changes = [c if c["id"] != "j9" or c["was"] else {**c, "key": 1} for c in run.changes]

    assert found(run) == {"I2"}


def test_a_job_that_ended_twice_is_one_too_many(run):
    history = run.history()
    history.add(history.jobs["j1"]._replace(state="F"))

    assert "I2 unexpected" in judge(history).violations


def test_a_job_without_a_key_is_unexpected_unless_it_was_unfit(run):
    run.came_and_went(9, 1.0, 2.0, task="co")
    assert found(run) == {"I2"}

    run.jobs[9] |= {"state": "F"}
    run.attempts.append(Attempt("j9", 1, "bad arguments", "a"))

    assert found(run) == set()


# I3


def test_two_effects_of_one_job_are_one_too_many(run):
    run.effects.append(Effect(2, 1, "a"))

    assert found(run) == {"I3"}


def test_an_effect_of_a_job_that_did_not_succeed_is_wrong(run, spoil):
    spoil(2, state="F", attempt=4, fence=None)
    run.attempts.append(Attempt("j2", 4, "error", "a"))

    assert found(run) == {"I3"}


def test_an_effect_of_a_run_that_did_not_count_is_wrong(run):
    run.effects[:] = [Effect(2, 1, "b")]

    assert found(run) == {"I3"}


# I5


def test_a_finish_by_a_run_that_had_lost_its_lease_is_stale(run, spoil):
    spoil(3, fence="b")

    assert found(run) == {"I5"}


def test_an_ack_with_a_token_that_is_not_the_last_is_stale(run):
    run.says("acked", k=3, f="b")

    assert found(run) == {"I5"}


def test_two_acks_of_one_job_are_one_too_many(run):
    run.says("acked", k=1, f="a")
    run.says("acked", k=1, f="a")

    assert found(run) == {"I5"}


@pytest.mark.parametrize("outcome", ["error", "lost"])
def test_nothing_else_is_said_of_the_run_that_succeeded(run, outcome):
    run.attempts.append(Attempt("j12", 1, outcome, "a"))

    assert "I5" in found(run)


def test_a_run_that_ended_well_has_not_failed(run):
    run.ran_again(9, outcome="error", until=1.7)
    for change in run.changes:
        if change["id"] == "j9" and change["at"] > 1_200_000:
            change |= {"attempt": 1 + (change["at"] > 1_800_000), "crashes": 0}
    run.jobs[9] |= {"attempt": 2, "crashes": 0}
    assert found(run) == {"I5"}

    run.lines[-3]["o"] = "fail"

    assert found(run) == set()


# I6, I7


def test_two_runs_at_once_in_processes_overlap(run):
    run.ran_again(9, until=2.2, task="process")

    assert found(run) == {"I6"}


def test_an_overlap_in_coroutines_is_only_told(run):
    run.says("end", 2.5, k=3, f="b", w=7)

    verdict = judge(run.history())

    assert verdict.word == "valid"
    assert verdict.figures["longest overlap"] == {"co": 0.5}


def test_a_second_start_is_one_too_many_where_there_may_be_one(run):
    run.ran_again(9, task="once")  # whatever the store says of its delivery

    assert found(run) == {"I7"}


# I8


def test_a_serial_key_is_not_lost_on_the_way(run):
    run.succeeded(9, serial="s")
    run.changes[-3]["serial"] = None

    assert found(run) == {"I8"}


def test_two_jobs_of_one_serial_key_do_not_run_at_once(run):
    run.succeeded(8, serial="s")
    run.succeeded(9, serial="s")

    assert found(run) == {"I8"}


def test_a_job_of_a_serial_key_does_not_start_before_those_that_came_earlier_have_ended(run):
    run.succeeded(8, serial="s")
    run.enqueued(9, at=1.5, serial="s")
    run.changed(9, None, "b", 1.5, attempt=0, serial="s")
    run.changed(9, "b", "r", 3.1, attempt=0)
    run.changed(9, "r", "x", 3.2, now_lease="a")
    run.ran(9, "a", 2.5, 3.3)
    run.changed(9, "x", None, 3.4, was_lease="a")
    run.job(9)

    assert found(run) == {"I8"}


def test_jobs_of_a_serial_key_that_were_asked_for_together_may_run_in_any_order(run):
    run.succeeded(8, serial="s")
    run.enqueued(9, serial="s")
    run.changed(9, None, "b", 1.0, attempt=0, serial="s")
    run.changed(9, "b", "r", 1.1, attempt=0)
    run.changed(9, "r", "x", 1.2, now_lease="a")
    run.ran(9, "a", 1.3, 1.4)
    run.changed(9, "x", None, 1.5, was_lease="a")
    run.job(9)

    assert found(run) == set()


# I18


def test_no_more_than_its_limit_of_a_task_runs_at_once(run):
    run.succeeded(8, task="limited")  # beside that of the sound run

    assert found(run) == {"I18"}


# I9


def test_two_jobs_of_one_unique_key_are_not_there_at_once(run):
    run.succeeded(8, unique="u")
    run.succeeded(9, unique="u")

    assert found(run) == {"I9"}


def test_who_asks_with_a_unique_key_is_told_of_a_job_that_is_there(run):
    run.succeeded(8, unique="u")
    run.enqueued(9, at=5.0, u="u", id="j8")

    assert found(run) == {"I9"}


def test_a_unique_key_is_not_lost_on_the_way(run):
    run.changes[next(n for n, c in enumerate(run.changes) if c["id"] == "j15")]["unique"] = None

    assert found(run) == {"I9"}


def test_who_asks_with_a_unique_key_is_told_of_a_job_that_has_it(run):
    run.enqueued(9, at=1.5, u="another", id="j15")

    assert found(run) == {"I9"}


# I10


def test_more_attempts_than_allowed_are_too_many(run, spoil):
    spoil(1, attempt=5)

    assert found(run) == {"I10"}


def test_more_crashes_than_allowed_are_too_many(run, spoil):
    spoil(3, crashes=4)

    assert found(run) == {"I10"}


def test_a_job_does_not_fail_with_attempts_left(run, spoil):
    spoil(1, state="F", fence=None)
    run.attempts.append(Attempt("j1", 1, "timeout", "a"))

    assert found(run) == {"I10"}


@pytest.mark.parametrize("key", [1, 11])
def test_a_job_does_not_fail_for_nothing(run, spoil, key):
    """Nor one that may start once only."""
    spoil(key, state="F", fence=None, attempt=4)

    assert found(run) == {"I10"}


def test_no_job_is_cancelled_where_nobody_cancels(run, spoil):
    spoil(1, state="C", fence=None)

    assert found(run) == {"I10"}


def test_a_claim_makes_one_attempt_of_a_job(run):
    for change in run.changes:
        if change["id"] == "j1" and change["now"] != "r":
            change["attempt"] = 3

    assert found(run) == {"I10"}


def test_attempts_are_counted(run, spoil):
    for n in range(4):
        run.attempts.append(Attempt("j1", 1, "error", f"of {n}"))

    assert found(run) == {"I10"}


def test_starts_are_counted(run):
    for n in range(4):
        run.ran(1, f"of {n}", 1.95, None)
        run.changed(1, "r", "x", 1.95, now_lease=f"of {n}")

    assert "I10" in found(run)


def test_an_attempt_ends_in_a_known_way(run):
    run.attempts.append(Attempt("j1", 1, "banana", "another"))

    assert found(run) == {"I10"}


def test_what_faults_enqueue_may_fail_as_it_was_meant_to(run):
    run.succeeded(8_000_000_001)
    run.jobs[8_000_000_001] |= {"state": "F", "fence": None}

    assert found(run) == set()


def test_a_lone_job_is_none_of_theirs(run):
    run.succeeded(PROBE_KEYS)
    run.jobs[PROBE_KEYS] |= {"state": "F", "fence": None}

    assert found(run) == {"I10"}


def test_a_job_is_not_run_again_without_a_reason(run):
    run.attempts.clear()

    assert found(run) == {"I10"}


def test_a_job_is_not_started_twice_under_one_lease(run):
    run.ran(1, "a", 2.1, 2.2)

    assert found(run) == {"I10"}


def test_a_release_does_not_charge_an_attempt(run):
    run.attempts[:] = [Attempt("j3", 1, "released", "b")]  # which is no crash either
    for change in run.changes:
        if change["id"] == "j3" and change["was_lease"] == "b":
            change["attempt"] = 1

    assert found(run) == {"I10"}


def test_the_loss_of_a_worker_counts_a_crash(run):
    for change in run.changes:
        if change["id"] == "j3":
            change["crashes"] = 0

    assert found(run) == {"I10"}


# I11, I12, I13


def test_a_delay_is_not_forgotten(run):
    run.succeeded(9, delay=2.0)

    assert found(run) == {"I11"}


def test_a_job_does_not_fail_without_running(run, spoil):
    spoil(1, state="F", fence=None, attempt=4)
    run.attempts.append(Attempt("j1", 4, "timeout", "a"))
    run.changes[:] = [change for change in run.changes if change["id"] != "j1"]
    run.lines = [line for line in run.lines if line["e"] != "start" or line["k"] != 1]
    run.changed(1, None, "r", 1.0, attempt=0)
    run.changed(1, "r", None, 1.9, attempt=0)

    assert found(run) == {"I12"}


def test_a_job_that_becomes_ready_before_its_time_is_early(run):
    for change in run.changes:
        if change["id"] == "j1" and change["now"] == "x":
            change["run_at"] = change["at"] + 1

    assert found(run) == {"I11"}


def test_a_job_does_not_go_where_it_may_not(run):
    run.changes[0]["now"] = "s"
    run.changes[1]["was"] = "s"

    assert found(run) == {"I12"}


def test_a_job_does_not_change_unseen(run):
    del run.changes[1]

    assert "I12" in found(run)


def test_a_job_does_not_succeed_without_running(run):
    run.changes[1:3] = [{**run.changes[2], "was": "r", "was_lease": None}]

    assert "I12" in found(run)


def test_a_run_under_a_lease_that_nobody_gave_out_is_wrong(run):
    run.ran(1, "z", 2.1, None)
    run.attempts.append(Attempt("j1", 1, "lost", "z"))

    assert found(run) == {"I12"}


def test_a_job_that_came_does_not_vanish(run):
    run.enqueued(9, outcome="info")
    run.changed(9, None, "r", 1.0)

    assert found(run) == {"I13"}


def test_a_job_that_is_there_has_come(run):
    run.enqueued(9)
    run.job(9, state="r", lease=None, fence=None)

    assert found(run) == {"I13"}


def test_a_job_is_in_the_state_to_which_it_went(run, spoil):
    spoil(1, state="r", lease=None, fence=None)

    assert "I13" in found(run)


def test_at_each_look_what_came_is_what_went_and_what_is_there(run):
    run.facts["looks"] = [{"came": 3, "went": 1, "live": 2}, {"came": 3, "went": 2, "live": 2}]

    assert found(run) == {"I13"}


# I14


def test_a_tick_without_a_job_is_missed(run):
    run.ticks.pop(0)

    assert found(run) == {"I14"}


def test_two_jobs_of_one_tick_are_one_too_many(run):
    run.fired(42, 2.0)

    assert found(run) == {"I14"}


@pytest.mark.parametrize("tick", [2.5, 0.0])
def test_a_job_of_no_tick_is_wrong(run, tick):
    run.fired(42, tick, at=2.6)

    assert found(run) == {"I14"}


def test_a_job_does_not_come_before_its_tick(run):
    run.fired(42, 4.0, at=3.9)

    assert found(run) == {"I14"}


def test_what_fires_after_the_last_look_is_as_good(run):
    run.fired(42, 4.0)

    assert found(run) == set()


def test_a_schedule_that_nobody_put_does_not_fire(run):
    run.ticks.append(Tick("other", 2_000_000, "j40"))

    assert found(run) == {"I14"}


def test_a_job_of_a_task_of_schedules_is_of_one(run):
    run.came_and_went(9, 2.0, 2.5, task="tick")

    assert found(run) == {"I14"}


@pytest.mark.parametrize("state", ["F", "C"])
def test_a_job_of_a_schedule_succeeds(run, spoil, state):
    spoil(40, state=state)

    assert found(run) == {"I14"}


# I15


def test_a_workflow_that_was_acknowledged_and_is_not_there_is_lost(run):
    run.flows.clear()

    assert found(run) == {"I15"}


@pytest.mark.parametrize("outcome", ["fail", "info", "ok"])
def test_a_workflow_is_there_unless_its_start_failed(run, outcome):
    run.flowed(60, outcome)

    assert found(run) == ({"I15"} if outcome == "fail" else set())


@pytest.mark.parametrize("flow", [Flow(50, "again", "S"), Flow(99, "w99", "F")])
def test_a_workflow_that_nobody_started_is_one_too_many(run, flow):
    run.flows.append(flow)

    assert found(run) == {"I15"}


@pytest.mark.parametrize("state", ["x", "C", "F"])
def test_a_workflow_ends_and_fails_for_a_reason_only(run, state):
    run.flows[0] = Flow(50, "w50", state)

    assert found(run) == {"I15"}


def test_a_workflow_fails_with_one_of_its_jobs_and_then_steps_may_not_run(run):
    failed(run, "emit1", crashes=3)
    never_came(run, "item1")
    never_came(run, "item2")
    for step in ("side1", "join1", "last1"):
        never_began(run, step)

    assert found(run) == set()


@pytest.mark.parametrize("member", ["item2", "join1", "last1"])
def test_a_step_does_not_stay_without_a_job(run, member):
    del run.members[member]

    assert found(run) == {"I15"}


@pytest.mark.parametrize(("step", "place"), [("join", 2), ("item", 3), ("more", 1)])
def test_a_step_does_not_run_twice(run, step, place):
    run.came_and_went(59, 4.6, 4.7)
    run.member(59, 50, step, place, {"run": 50, "fence": "a", "places": [0, 1]})

    assert found(run) == {"I15"}


@pytest.mark.parametrize("job", ["j52", "j53", "j54"])
def test_a_step_is_not_let_in_before_all_for_whom_it_waits_have_ended(run, job):
    for change in run.changes:
        if change["id"] == job and change["now"] is None:
            change["at"] = 3_050_000

    assert found(run) == {"I15"}


def test_a_step_is_not_let_in_early_even_if_it_fails_of_that(run):
    failed(run, "join1", attempt=4)
    never_began(run, "last1")
    assert found(run) == set()

    for change in run.changes:
        if change["id"] == "j53" and change["now"] is None:
            change["at"] = 3_050_000

    assert found(run) == {"I15"}


@pytest.mark.parametrize("attempt", [1, 3])
def test_a_step_does_not_fail_with_attempts_left(run, attempt):
    failed(run, "last1", attempt=attempt)

    assert found(run) == {"I15"}


def test_a_step_that_was_never_let_in_has_failed_because_of_another(run):
    never_began(run, "last1")

    assert found(run) == {"I15"}


def test_a_step_is_not_let_in_after_one_that_failed(run):
    failed(run, "side1", crashes=3)

    assert found(run) == {"I15"}


def test_a_job_of_a_step_does_not_come_again(run):
    run.came_and_went(54, 4.6, 4.7)

    assert found(run) == {"I15"}


def test_a_job_of_a_step_is_of_a_workflow(run):
    run.came_and_went(59, 4.6, 4.7)

    assert found(run) == {"I15"}


def test_a_workflow_that_had_no_time_to_end_may_be_open(run):
    run.flows[0] = Flow(50, "w50", "x")
    del run.facts["drained in"]

    assert found(run) == set()


def test_a_result_is_that_of_the_run_that_counted(run):
    run.members["side1"]["result"] = json.dumps({"fence": "b"})

    assert found(run) == {"I15"}


@pytest.mark.parametrize("state", ["F", "C"])
def test_a_workflow_does_not_succeed_without_one_of_its_jobs(run, state):
    run.members["last1"] |= {"state": state, "result": None}
    run.jobs[int(run.members["last1"]["id"][1:])] |= {"state": state, "attempt": 4}

    assert found(run) == {"I15"}


@pytest.mark.parametrize("step", ["item1", "join1"])
def test_a_result_is_not_that_of_another_workflow(run, step):
    result = json.loads(run.members[step]["result"])
    run.members[step]["result"] = json.dumps({**result, "run": 99})

    assert found(run) == {"I15"}


def test_each_item_has_its_own_place(run):
    run.members["item1"]["result"] = run.members["item2"]["result"]

    assert found(run) == {"I15"}


def test_a_result_is_recorded_as_its_job_ended(run):
    run.members["side1"]["state"] = None

    assert found(run) == {"I15"}


def test_all_items_are_gathered_in_order(run):
    run.members["join1"]["result"] = json.dumps({"fence": "a", "places": [1, 0]})

    assert found(run) == {"I15"}


# I16 and what must come to pass


def test_the_server_writes_of_no_deadlock(run):
    run.facts["server_log"] = ["1 deadlocks in the server's log"]

    assert found(run) == {"I16"}


@pytest.mark.parametrize(
    ("state", "is_due", "why"),
    [
        ("r", True, "ready: 0 jobs of queue default before it"),
        ("x", True, "running since …"),
        ("s", True, "due since …, waiting for the next chores"),
        ("s", False, ""),
    ],
)
def test_a_job_that_is_still_open_is_not_drained(run, state, is_due, why):
    run.remaining.append(Remaining("j9", state, is_due, why))

    assert found(run) == {"L1"}


@pytest.mark.parametrize(("delay", "objects"), [(7200, set()), (2.0, {"L1"}), (None, {"L1"})])
def test_a_job_may_remain_whose_time_was_to_be_late(run, delay, objects):
    run.enqueued(9, delay=delay)
    run.changed(9, None, "s", 1.0, attempt=0)
    run.job(9, state="s", lease=None, fence=None, attempt=0)
    run.remaining.append(Remaining("j9", "s", is_due=False, why="scheduled for 2030-01-01"))

    assert found(run) == objects


def test_a_lone_job_may_remain_where_the_run_was_cut_just_then(run):
    run.succeeded(PROBE_KEYS)
    run.remaining.append(Remaining(f"j{PROBE_KEYS}", "r", is_due=True, why="ready"))
    assert found(run) == {"L1"}

    run.facts["cut"] = "not over within 60 s"

    assert found(run) == set()


def test_a_lone_job_does_not_wait_once_all_is_healed(run):
    run.facts["probes"][7] = 2.0

    assert found(run) == {"L2"}


@pytest.mark.parametrize("waits", [[1.0] * 20, [0.01]], ids=["only who looks", "one started"])
def test_lone_jobs_are_started_by_who_listens(run, waits):
    run.facts["probes"] = waits

    assert found(run) == {"L2"}


@pytest.mark.parametrize("code", [0, 1, 75, -11])
def test_a_worker_does_not_leave_by_itself(run, code):
    run.says("parent", what="ended", name="w2", pid=8, code=code, expected=False)

    assert found(run) == {"L3"}


def test_a_worker_that_was_started_has_not_left(run):
    run.says("parent", what="started", name="w2", pid=8)

    assert found(run) == set()


def test_a_worker_may_leave_whose_first_process_was_killed(run):
    run.says("parent", 1.0, what="started", name="w2", pid=8)
    run.says("parent", 9.0, what="ended", name="w2", pid=8, code=1, expected=False, young=True)

    assert found(run) == set()


def test_a_worker_that_has_worked_is_not_young_whatever_it_says(run):
    run.says("parent", 1.0, what="started", name="w2", pid=8)
    run.says("parent", 99.0, what="ended", name="w2", pid=8, code=1, expected=False, young=True)

    assert found(run) == {"L3"}


@pytest.mark.parametrize(("killed", "objects"), [(0, {"L3"}), (1, set())])
def test_a_worker_is_killed_by_faults_only(run, killed, objects):
    run.says("fault", name="kill-parent", began=2.0, healed=2.1, observed={"killed": killed})
    run.says("parent", what="ended", name="w2", pid=8, code=-9, expected=False)

    assert found(run) == objects


def test_a_producer_does_not_leave_by_itself(run):
    run.facts["producers"] = [0, 1]

    assert found(run) == {"L3"}


def test_a_fault_that_saw_what_may_not_be_is_told(run):
    run.says("fault", name="f", began=2.0, healed=2.1, observed={"worker ended badly": 1})

    assert found(run) == {"L3"}


# What is too little


@pytest.mark.parametrize("key", [2, 11, 12, 13, 14, 15, 16, 17])
def test_a_kind_of_job_that_was_never_asked_for_says_nothing(run, key):
    run.lines = [line for line in run.lines if line.get("k") != key]
    run.succeeded(8_000_000_000 + key)  # as many
    run.jobs.pop(key), run.effects.clear()
    run.changes = [change for change in run.changes if change["id"] != f"j{key}"]

    verdict = judge(run.history())

    assert verdict.violations.keys() <= {"I1 lost"}  # of the effect
    assert any("job was acknowledged" in what for what in verdict.missing)


@pytest.mark.parametrize("fact", ["looks", "server_log", "stopped", "drained in", "producers"])
def test_what_nobody_wrote_down_is_no_verdict(run, fact):
    del run.facts[fact]

    assert judge(run.history()).word == "unknown"


@pytest.mark.parametrize(
    "missing",
    [
        {"size": {"jobs": 100, "faults": 1, "classes": 1}},
        {"size": {"jobs": 1, "faults": 2, "classes": 1}},
        {"size": {"jobs": 1, "faults": 1, "classes": 2}},
        {"size": {"jobs": 1, "flows": 2, "faults": 1, "classes": 1}},
        {"probes": []},
        {"cut": "not over within 58 s"},
    ],
)
def test_too_little_is_no_verdict(run, missing):
    run.facts |= missing

    assert judge(run.history()).word == "unknown"


def test_workflows_that_fail_before_their_last_step_do_not_count(run):
    failed(run, "last1", crashes=3)

    assert judge(run.history()).violations == {}
    assert judge(run.history()).word == "unknown"


def test_faults_without_an_effect_do_not_count(run):
    run.says("fault", name="cut", began=2.0, healed=2.1, observed={"cut": 0})

    verdict = judge(run.history())

    assert verdict.word == "unknown"
    assert verdict.missing == ["only 1 of 2 faults had an effect"]


def test_a_violation_outweighs_too_little(run):
    run.enqueued(9)
    run.facts["probes"] = []

    assert judge(run.history()).word == "invalid"


# The program


def test_each_check_has_been_seen_to_object():
    text = Path(__file__).read_text()

    assert [name for name in CHECKS if f'"{name.split()[0]}"' not in text] == []


def test_the_checker_imports_nothing_of_howdah():
    program = "import sys; from chaos import checker; print('howdah' in sys.modules)"

    said = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True)

    assert said.strip() == "False"


def test_the_verdict_is_the_exit_status_and_a_file(run, tmp_path, monkeypatch, capsys):
    run.enqueued(9)
    monkeypatch.setattr(checker, "read", lambda folder: run.history())

    status = checker.main(str(tmp_path))

    assert status == 1
    assert "I1 lost: 1" in capsys.readouterr().out
    assert json.loads((tmp_path / "verdict.json").read_text())["verdict"] == "invalid"
