"""A run that went well, written by hand, which tests then spoil in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos.history import Attempt, Change, Effect, History, Job, Remaining

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
        self.facts: dict[str, Any] = {
            "clock": 0, "probes": [0.01], "looks": [], "server_log": [], "stopped": True,
            "drained in": 1.0,
            "size": {"jobs": 1, "faults": 1, "classes": 1},
        }  # fmt: skip
        self.says("fault", name="kill", began=1.0, healed=1.1, observed={"killed": 1})
        self.says("parent", what="ended", name="w1", pid=7, code=0, expected=True)

    def says(self, what: str, t: float = 0.0, /, **facts: Any) -> None:
        """A line of a log, at a time in seconds."""
        self.lines.append({"e": what, "t": round(t * 1e9), **facts})

    def enqueued(self, key: int, at: float = 1.0, outcome: str = "ok", **more: Any) -> None:
        """What a producer wrote."""
        about = {"k": key, "n": 1, **{name: more[name] for name in ("u",) if name in more}}
        self.says("invoke", at, **about)
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
        self.enqueued(key)
        serial = more.pop("serial", None)
        self.changed(key, None, "r", 1.0, attempt=0, unique=more.get("unique"), serial=serial)
        self.changed(key, "r", "x", 1.9, now_lease="a")
        self.ran(key, "a", 2.0, 3.0)
        self.changed(key, "x", None, 3.1, was_lease="a")
        self.job(key, **more)
        if effect:
            self.jobs[key] |= {"task": "tx", "delivery": "t"}
            self.effects.append(Effect(key, 1, "a"))

    def ran_again(self, key: int, outcome: str = "lost", until: float | None = None) -> None:
        """A job whose first run, under `b`, did not count, and whose second succeeded."""
        self.enqueued(key)
        self.changed(key, None, "r", 1.0, attempt=0)
        self.changed(key, "r", "x", 1.1, now_lease="b")
        self.ran(key, "b", 1.2, until)
        self.attempts.append(Attempt(f"j{key}", 1, outcome, "b"))
        self.changed(key, "x", "r", 1.8, was_lease="b", attempt=0, crashes=1)
        self.changed(key, "r", "x", 1.9, now_lease="a")
        self.ran(key, "a", 2.0, 3.0)
        self.changed(key, "x", None, 3.1, was_lease="a")
        self.job(key, crashes=1)

    def history(self) -> History:
        """All of it."""
        history = History(facts=self.facts)
        for line in self.lines:
            history.take(line)
        history.add(*(Job(**job) for job in self.jobs.values()))
        history.add(*self.attempts, *self.effects, *self.remaining)
        changes = [Change(**change) for change in self.changes]
        changes.sort(key=lambda change: change.id)
        history.changes = lambda: changes
        return history


@pytest.fixture
def run() -> Run:
    """Three jobs that went as they should: at once, with an effect, and after a crash."""
    run = Run()
    run.succeeded(1)
    run.succeeded(2, effect=True)
    run.ran_again(3)
    return run


@pytest.fixture
def spoil(run: Run) -> Callable[..., None]:
    """Change facts of a job's row in the dump."""

    def spoil(key: int, **more: Any) -> None:
        run.jobs[key] |= more

    return spoil
