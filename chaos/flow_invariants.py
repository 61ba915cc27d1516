"""What must hold of schedules and of workflows, each as a function that yields what breaks it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from chaos.flow_load import AFTER, GATHERS, jobs_of
from chaos.history import Change, FlowAsked, History, Member
from chaos.invariants import CANCELLED, FAILED, MAX_CRASHES, SUCCEEDED

STAGE = "stage"  # the task of all jobs of flows
OWN = {"emit", "item"}  # what they return names their flow; who gathers knows it by the items
TICK = "tick"  # of all jobs of schedules
NEVER = float("inf")


def ticks(history: History) -> Iterator[str]:
    """I14: each tick of a schedule made one job, not before its time; and nothing else did."""
    made: dict[str, Counter[int]] = defaultdict(Counter)
    for tick in history.ticks:
        made[tick.schedule][tick.tick] += 1
    rules = history.facts.get("schedules", {})
    for name in made.keys() - rules.keys() if rules else ():
        yield f"schedule {name} fired, and there is none"
    for name, rule in rules.items():
        step, anchor = rule["step"], rule["anchor"]
        first = rule["since"] + step - (rule["since"] - anchor) % step
        due = range(first, rule["until"] + 1, step)
        for tick in due:
            if not made[name][tick]:
                yield f"schedule {name}: the tick {tick} of {len(due)} made no job"
        for tick, n in made[name].items():
            if n > 1:
                yield f"schedule {name}: the tick {tick} made {n} jobs"
            if (tick - anchor) % step or tick < rule["since"]:
                yield f"schedule {name} fired at {tick}, which is no tick of it"
    due_at = {tick.id: tick.tick for tick in history.ticks}
    yield from _ticked(history, due_at)
    for life in history.lives() if due_at else ():
        if life[0].at < due_at.get(life[0].id, 0):
            early = due_at[life[0].id] - life[0].at
            yield f"job {life[0].id} of a schedule came {early} µs before its tick"


def _ticked(history: History, due_at: dict[str, int]) -> Iterator[str]:
    """Jobs of schedules are those, and succeed, or have no attempt left."""
    for job in history.jobs.values():
        if job.task != TICK:
            continue
        has_failed = job.state in {FAILED, CANCELLED}
        if job.id not in due_at:
            yield f"job {job.id} is of no schedule"
        elif has_failed and job.attempt < job.max_attempts and job.crashes < MAX_CRASHES:
            yield f"job {job.id} of a schedule is {job.state}, with attempts left: {job.error}"


def flows(history: History) -> Iterator[str]:
    """I15: each step of a workflow runs once, after all for whom it waits, and is recorded once."""
    yield from _started(history)
    members: dict[int, list[Member]] = defaultdict(list)
    for member in history.members:
        members[member.key].append(member)
    spans = _spans(history, {member.id for member in history.members})
    for job in history.jobs.values():
        if job.task == STAGE and job.id not in spans:
            yield f"job {job.id} is of no flow"
    for flow in history.flows:
        if flow.state not in {SUCCEEDED, FAILED}:
            if "drained in" in history.facts:  # else it may not have had its time
                yield f"flow {flow.key} has not ended: it is {flow.state}"
        elif flow.key in history.flows_asked:
            asked = history.flows_asked[flow.key]
            for what in _flow(history, asked, flow.state, members[flow.key], spans):
                yield f"flow {flow.key}, a {asked.shape} of {asked.width}: {what}"


def _started(history: History) -> Iterator[str]:
    """What is there was asked for, once, and what was acknowledged is there."""
    there = Counter(flow.key for flow in history.flows)
    for key, asked in history.flows_asked.items():
        if asked.status == "ok" and not there[key]:
            yield f"flow {key} was acknowledged and is not there"
        elif asked.status == "fail" and there[key]:
            yield f"flow {key} is there, though its start failed"
    for key, n in there.items():
        if n > 1:
            yield f"flow {key} is there {n} times"
        if key not in history.flows_asked:
            yield f"flow {key} was never started"


class Span(NamedTuple):
    """When a job was let in, when it ended, and how often it came."""

    began: float = NEVER
    ended: float = NEVER
    came: int = 1


Spans = dict[str, Span]


def _spans(history: History, ids: set[str]) -> Spans:
    found = dict.fromkeys(ids, Span())
    for life in history.lives() if ids else ():
        if life[0].id in ids:
            ended = life[-1].at if life[-1].now is None else NEVER
            came = sum(change.was is None for change in life)
            found[life[0].id] = Span(_let_in(life), ended, came)
    return found


def _let_in(life: list[Change]) -> float:
    return next((change.at for change in life if change.now in {"r", "s", "b"}), NEVER)


def _flow(
    history: History, asked: FlowAsked, state: str, members: list[Member], spans: Spans
) -> Iterator[str]:
    by_step: dict[str, list[Member]] = defaultdict(list)
    for member in members:
        by_step[member.step].append(member)
    if state == FAILED and not any(member.state == FAILED for member in members):
        yield "it failed, and none of its jobs did"
    if state == SUCCEEDED and any(member.state != SUCCEEDED for member in members):
        yield "it succeeded, and not all of its jobs did"
    planned, after = jobs_of(asked.width), AFTER[asked.shape]
    for name in by_step.keys() - planned.keys():
        yield f"there is no step {name}"
    for name, n in planned.items():
        found = by_step[name]
        places = sorted(member.place for member in found)
        if state == SUCCEEDED and places != [*range(1, n + 1)]:
            yield f"step {name} has jobs {places}, not {n}"
        elif len(found) > n or len({*places}) < len(places):
            yield f"step {name} has jobs {places}, and was to have {n}"
        for member in found:
            yield from _result(history, asked, member)
        before = [*chain.from_iterable(by_step[parent] for parent in after[name])]
        for member in found:
            yield from _beginning(history, member, before, spans)


def _beginning(
    history: History, member: Member, before: list[Member], spans: Spans
) -> Iterator[str]:
    """Whatever came of it: whoever begins too early may fail of that."""
    span, job, step = spans[member.id], history.jobs.get(member.id), member.step
    is_wanted = all(each.state == SUCCEEDED for each in before)
    if span.came > 1:
        yield f"a job of step {step} came {span.came} times"
    if span.began == NEVER:
        if member.state == SUCCEEDED or (member.state == FAILED and is_wanted):
            yield f"step {step} is {member.state}, and was never let in"
        return
    if span.began < max((spans[each.id].ended for each in before), default=0.0):
        yield f"step {step} was let in before all for whom it waits had ended"
    if not is_wanted:
        yield f"step {step} was let in, and not all for whom it waits succeeded"
    if (
        member.state == FAILED and job is not None
        and job.attempt < job.max_attempts and job.crashes < MAX_CRASHES
    ):  # fmt: skip
        yield f"step {step} failed, with attempts left: {job.error}"


def _result(history: History, asked: FlowAsked, member: Member) -> Iterator[str]:
    job = history.jobs.get(member.id)
    if job is None or job.state != member.state:
        yield f"step {member.step}: a job is {job and job.state}, and recorded as {member.state}"
    elif member.state == SUCCEEDED:
        found = json.loads(member.result or "null")
        for each in found if isinstance(found, list) else [found]:
            if each["fence"] != job.lease:
                yield f"step {member.step} has the result of a run that did not count"
            if each.get("run") != member.key and (member.step in OWN or asked.width):
                yield f"step {member.step} has a result of flow {each.get('run')}"
        if member.step == "item" and found.get("place") != member.place - 1:
            yield f"the item at {member.place} has the result of place {found.get('place')}"
        if member.step == GATHERS and found["places"] != [*range(asked.width)]:
            yield f"what was gathered is {found['places']}"
