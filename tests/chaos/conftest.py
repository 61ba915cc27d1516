"""A run that went well, written by hand, which tests then spoil in one place."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from chaos.history import Attempt, Change, Effect, Flow, History, Job, Member, Remaining, Tick

SECOND = 1_000_000  # µs, as the store's times are here; logs have ns


class Run:
    """A history that is added to job by job; `history()` is what the checker gets."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.jobs: dict[int, dict[str, Any]] = {}
        self.attempts: list[Attempt] = []
        self.effects: list[Effect] = []
        self.changes: list[dict[str, Any]] = []
        self.remaining: list[Remaining] = []
        self.ticks: list[Tick] = []
        self.flows: list[Flow] = []
        self.members: dict[str, dict[str, Any]] = {}
        self.facts: dict[str, Any] = {
            "clock": 0, "probes": [0.01] * 20, "looks": [], "server_log": [], "stopped": True,
            "drained in": 1.0, "producers": [0, 0],
            "schedules": {"s": {"since": SECOND, "until": 3 * SECOND, "anchor": 0, "step": SECOND}},
            "size": {"jobs": 1, "flows": 1, "faults": 1, "classes": 1},
        }  # fmt: skip
        self.says("fault", name="kill", began=1.0, healed=1.1, observed={"killed": 1})
        self.says("parent", what="ended", name="w1", pid=7, code=0, expected=True)

    def says(self, what: str, t: float = 0.0, /, **facts: Any) -> None:
        """A line of a log, at a time in seconds."""
        self.lines.append({"e": what, "t": round(t * 1e9), **facts})

    def enqueued(self, key: int, at: float = 1.0, outcome: str = "ok", **more: Any) -> None:
        """What a producer wrote."""
        about = {"k": key, "n": 1, **{name: more[name] for name in ("u",) if name in more}}
        meant = {"j": [more.get("task", "co")], "d": {}, "s": {}}
        for name, what in (("d", "delay"), ("s", "serial")):
            if more.get(what) is not None:
                meant[name]["0"] = more[what]
        self.says("invoke", at, **about, **meant)
        ids = {"ids": [more["id"]]} if "id" in more else {}
        self.says(outcome, at + 0.01, **about, **ids)

    def ran(self, key: int, token: str, at: float, until: float | None, attempt: int = 1) -> None:
        """What a job wrote."""
        self.says("start", at, k=key, a=attempt, f=token, w=7)
        if until is not None:
            self.says("end", until, k=key, f=token, w=7)

    def changed(self, key: int, was: str | None, now: str | None, at: float, **more: Any) -> None:
        """What the trigger saw."""
        change = {
            "id": f"j{key}", "at": round(at * SECOND), "was": was, "now": now, "was_lease": None,
            "now_lease": None, "attempt": 1, "crashes": 0, "run_at": None,
            "key": None if was else key, "unique": None, "serial": None, **more,
        }  # fmt: skip
        self.changes.append(change)

    def job(self, key: int, **more: Any) -> None:
        """A row of the dump, as of a job that succeeded under the lease `a`."""
        self.jobs[key] = {
            "key": key, "id": f"j{key}", "task": "co", "state": "S", "delivery": None, "attempt": 1,
            "max_attempts": 4, "crashes": 0, "run_at": None, "finished_at": 3 * SECOND,
            "lease": "a", "fence": "a", "unique": None, "error": None, **more,
        }  # fmt: skip

    def succeeded(self, key: int, *, effect: bool = False, **more: Any) -> None:
        """A job that was enqueued at 1, ran from 2 to 3, and succeeded."""
        meant = {name: more.pop(name) for name in ("serial", "delay") if name in more}
        meant["task"] = more.setdefault("task", "tx" if effect else "co")
        if unique := more.get("unique"):
            meant |= {"u": unique, "id": f"j{key}"}
        self.enqueued(key, **meant)
        serial = meant.get("serial")
        self.changed(key, None, "r", 1.0, attempt=0, unique=unique, serial=serial)
        self.changed(key, "r", "x", 1.9, now_lease="a")
        self.ran(key, "a", 2.0, 3.0)
        self.changed(key, "x", None, 3.1, was_lease="a")
        self.job(key, **more)
        if effect:
            self.jobs[key] |= {"delivery": "t"}
            self.effects.append(Effect(key, 1, "a"))

    def ran_again(
        self, key: int, outcome: str = "lost", until: float | None = None, task: str = "co"
    ) -> None:
        """A job whose first run, under `b`, did not count, and whose second succeeded."""
        self.enqueued(key, task=task)
        self.changed(key, None, "r", 1.0, attempt=0)
        self.changed(key, "r", "x", 1.1, now_lease="b")
        self.ran(key, "b", 1.2, until)
        self.attempts.append(Attempt(f"j{key}", 1, outcome, "b"))
        self.changed(key, "x", "r", 1.8, was_lease="b", attempt=0, crashes=1)
        self.changed(key, "r", "x", 1.9, now_lease="a", crashes=1)
        self.ran(key, "a", 2.0, 3.0)
        self.changed(key, "x", None, 3.1, was_lease="a", crashes=1)
        self.job(key, task=task, crashes=1)

    def came_and_went(self, key: int, at: float, until: float, **more: Any) -> None:
        """A job that no producer enqueued: of a schedule or a workflow."""
        self.changed(key, None, "r", at, attempt=0)
        self.changes[-1]["key"] = None
        self.changed(key, "r", "x", at + 0.1, now_lease="a")
        self.changed(key, "x", None, until, was_lease="a")
        self.job(key, **{"task": "stage", **more})
        self.jobs[key]["key"] = None

    def fired(self, key: int, tick: float, at: float | None = None) -> None:
        """A job of the schedule `s`."""
        at = tick + 0.1 if at is None else at
        self.came_and_went(key, at, at + 0.5, task="tick")
        self.ticks.append(Tick("s", round(tick * SECOND), f"j{key}"))

    def flowed(self, key: int, outcome: str = "ok", width: int = 2) -> None:
        """A graph that went as it should: its jobs have the keys that follow."""
        about = {"k": key, "shape": "graph", "width": width}
        self.says("flow_invoke", 1.0, **about)
        self.says(f"flow_{outcome}", 1.1, **about)
        self.flows.append(Flow(key, f"w{key}", "S"))
        places = [*range(width)]
        run = {"run": key, "fence": "a"}
        for n, (step, at, place, result) in enumerate([
            ("emit", 1.2, 1, [{**run, "place": place} for place in places]),
            *(("item", 2.0, place + 1, {**run, "place": place}) for place in places),
            ("side", 2.0, 1, {**run, "place": 0}),
            ("join", 3.0, 1, {**run, "places": places}),
            ("last", 4.0, 1, {**run, "place": 0}),
        ], start=key + 1):  # fmt: skip
            self.came_and_went(n, at, at + 0.5)
            self.member(n, key, step, place, result)

    def member(self, key: int, flow: int, step: str, place: int, result: Any) -> None:
        """What a workflow has recorded of a job."""
        name = f"{step}{place}" if flow == 50 else f"{flow} {step}{place}"
        self.members[name] = {
            "id": f"j{key}", "key": flow, "step": step, "place": place, "state": "S",
            "result": json.dumps(result),
        }  # fmt: skip

    def history(self) -> History:
        """All of it."""
        history = History(facts=self.facts)
        for line in self.lines:
            history.take(line)
        history.add(*(Job(**job) for job in self.jobs.values()))
        history.add(*self.attempts, *self.effects, *self.remaining)
        history.ticks, history.flows = self.ticks, self.flows
        history.members = [Member(**member) for member in self.members.values()]
        changes = [Change(**change) for change in self.changes]
        changes.sort(key=lambda change: change.id)
        history.changes = lambda: changes
        return history


@pytest.fixture
def run() -> Run:
    """Three jobs that went as they should: at once, with an effect, and after a crash; one of each
    kind that there is to be; two ticks of a schedule, and a workflow.
    """
    run = Run()
    run.succeeded(1)
    run.succeeded(2, effect=True)
    run.ran_again(3)
    run.succeeded(11, task="once", delivery="m")
    run.succeeded(12, task="process")
    run.succeeded(13, task="limited")
    run.succeeded(14, task="sql")
    run.succeeded(15, unique="of 15")
    run.succeeded(16, serial="of 16")
    run.succeeded(17, delay=0.5)
    run.fired(40, 2.0)
    run.fired(41, 3.0)
    run.flowed(50)
    return run


@pytest.fixture
def spoil(run: Run) -> Callable[..., None]:
    """Change facts of a job's row in the dump."""

    def spoil(key: int, **more: Any) -> None:
        run.jobs[key] |= more

    return spoil
