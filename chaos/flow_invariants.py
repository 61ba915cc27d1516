"""What must hold of schedules and of workflows, each as a function that yields what breaks it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import chain

from chaos.flow_load import AFTER, GATHERS, jobs_of
from chaos.history import Change, FlowAsked, History, Member

SUCCEEDED, FAILED = "S", "F"


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
    for life in history.lives() if due_at else ():
        if life[0].at < due_at.get(life[0].id, 0):
            early = due_at[life[0].id] - life[0].at
            yield f"job {life[0].id} of a schedule came {early} µs before its tick"


def flows(history: History) -> Iterator[str]:
    """I15: each step of a workflow runs once, after all for whom it waits, and is recorded once."""
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
    members: dict[int, list[Member]] = defaultdict(list)
    for member in history.members:
        members[member.key].append(member)
    spans = _spans(history, {member.id for member in history.members})
    for flow in history.flows:
        if flow.state not in {SUCCEEDED, FAILED}:
            yield f"flow {flow.key} has not ended: it is {flow.state}"
        elif flow.key in history.flows_asked:
            asked = history.flows_asked[flow.key]
            for what in _flow(history, asked, flow.state, members[flow.key], spans):
                yield f"flow {flow.key}, a {asked.shape} of {asked.width}: {what}"


Spans = dict[str, tuple[float, float]]  # of a job: when it was let in, and when it ended


def _spans(history: History, ids: set[str]) -> Spans:
    found = {}
    for life in history.lives() if ids else ():
        if life[0].id in ids:
            found[life[0].id] = (
                _let_in(life),
                life[-1].at if life[-1].now is None else float("inf"),
            )
    return found


def _let_in(life: list[Change]) -> float:
    return next((change.at for change in life if change.now in {"r", "s", "b"}), float("inf"))


def _flow(
    history: History, asked: FlowAsked, state: str, members: list[Member], spans: Spans
) -> Iterator[str]:
    by_step: dict[str, list[Member]] = defaultdict(list)
    for member in members:
        by_step[member.step].append(member)
    if state == FAILED and not any(member.state == FAILED for member in members):
        yield "it failed, and none of its jobs did"
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
        ended = max((spans[member.id][1] for member in before if member.id in spans), default=0.0)
        for member in found:
            if member.state == SUCCEEDED and member.id in spans and spans[member.id][0] < ended:
                yield f"step {name} was let in before all for whom it waits had ended"


def _result(history: History, asked: FlowAsked, member: Member) -> Iterator[str]:
    job = history.jobs.get(member.id)
    if job is None or job.state != member.state:
        yield f"step {member.step}: a job is {job and job.state}, and recorded as {member.state}"
    elif member.state == SUCCEEDED:
        found = json.loads(member.result or "null")
        for each in found if isinstance(found, list) else [found]:
            if each["fence"] != job.lease:
                yield f"step {member.step} has the result of a run that did not count"
        if member.step == GATHERS and found["places"] != [*range(asked.width)]:
            yield f"what was gathered is {found['places']}"
