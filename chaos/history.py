"""What a run left behind, as the checker takes it: all logs, and one dump of the store.

Imports nothing of howdah: what judges the queue must not share its mistakes.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

from chaos.log import lines


class Start(NamedTuple):
    """A job's own word that it began: `t` is in ns, as all times of logs are."""

    attempt: int
    token: str
    pid: int
    t: int


class Job(NamedTuple):
    """A row of the store when the run was over. Times are µs of the database's clock."""

    key: int | None
    id: str
    task: str
    state: str  # S, F, C; or that of a live one
    delivery: str | None
    attempt: int
    max_attempts: int
    crashes: int
    run_at: int | None
    finished_at: int | None
    lease: str | None
    fence: str | None  # what it returned
    unique: str | None
    error: str | None


class Attempt(NamedTuple):
    """An attempt that did not simply succeed, as the store tells it."""

    id: str
    attempt: int
    outcome: str
    lease: str | None


class Effect(NamedTuple):
    """A row that a transactional task left."""

    key: int
    attempt: int
    token: str


class Change(NamedTuple):
    """A change of a job's row, seen by a trigger in the transaction that made it."""

    id: str
    at: int  # µs
    was: str | None
    now: str | None
    was_lease: str | None
    now_lease: str | None
    attempt: int
    crashes: int
    run_at: int | None
    key: int | None
    unique: str | None
    serial: str | None = None


class Remaining(NamedTuple):
    """A job that has not ended, and what the store says why."""

    id: str
    state: str
    is_due: bool
    why: str


class Tick(NamedTuple):
    """A job of a schedule, and the tick that made it: µs."""

    schedule: str
    tick: int
    id: str


class Flow(NamedTuple):
    """A workflow, by the number in its name."""

    key: int
    id: str
    state: str


class Member(NamedTuple):
    """A job of a workflow, and what the workflow has recorded of it; `result` is JSON."""

    id: str
    key: int
    step: str
    place: int
    state: str | None
    result: str | None


@dataclass(slots=True)
class FlowAsked:
    """What became of the start of one workflow."""

    status: str  # ok, fail, info
    shape: str
    width: int


@dataclass(slots=True)
class Asked:
    """What became of the enqueueing of one key."""

    status: str  # ok, fail, info
    invoked: int
    returned: int | None = None
    id: str | None = None
    unique: str | None = None
    task: str | None = None  # None: nobody wrote it down
    delay: float | None = None  # seconds
    serial: str | None = None


@dataclass(slots=True)
class History:
    """All that is known of a run."""

    asked: dict[int, Asked] = field(default_factory=dict)
    starts: dict[int, list[Start]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[tuple[int, str], int] = field(default_factory=dict)
    words: dict[tuple[int, str], str] = field(default_factory=dict)  # how, if not well
    acked: list[tuple[int, str]] = field(default_factory=list)  # by workers in SQL
    refused: int = 0
    jobs: dict[str, Job] = field(default_factory=dict)
    again: list[Job] = field(default_factory=list)  # rows of an id that has one already
    attempts: list[Attempt] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    changes: Callable[[], Iterable[Change]] = tuple  # job by job, each in its order
    remaining: list[Remaining] = field(default_factory=list)
    flows_asked: dict[int, FlowAsked] = field(default_factory=dict)
    flows: list[Flow] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    ticks: list[Tick] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    parents: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def take(self, line: dict[str, Any]) -> None:
        """Add a line of a log."""
        taker = getattr(self, f"_{line['e']}", None)
        if taker is not None:
            taker(line)

    def _invoke(self, line: dict[str, Any]) -> None:
        tasks, delays, turns = (line.get(name, {}) for name in ("j", "d", "s"))
        for n in range(line["n"]):
            if line["k"] + n not in self.asked:  # until more is heard, nobody can know
                task = intern(tasks[n]) if tasks else None
                self.asked[line["k"] + n] = Asked(
                    "info", line["t"], unique=line.get("u"), task=task,
                    delay=delays.get(str(n)), serial=turns.get(str(n)),
                )  # fmt: skip

    def _ok(self, line: dict[str, Any]) -> None:
        ids = line.get("ids") or [None] * line["n"]
        for key, given in zip(range(line["k"], line["k"] + line["n"]), ids, strict=True):
            asked = self.asked[key]
            asked.status, asked.returned, asked.id = "ok", line["t"], given

    def _fail(self, line: dict[str, Any]) -> None:
        for key in range(line["k"], line["k"] + line["n"]):
            if self.asked[key].returned is None:
                self.asked[key].status, self.asked[key].returned = "fail", line["t"]

    def _info(self, line: dict[str, Any]) -> None:
        for key in range(line["k"], line["k"] + line["n"]):
            self.asked[key].status, self.asked[key].returned = "info", line["t"]

    def _flow_invoke(self, line: dict[str, Any]) -> None:
        self.flows_asked[line["k"]] = FlowAsked("info", line["shape"], line["width"])

    def _flow_ok(self, line: dict[str, Any]) -> None:
        self.flows_asked[line["k"]].status = "ok"

    def _flow_fail(self, line: dict[str, Any]) -> None:
        self.flows_asked[line["k"]].status = "fail"

    def _start(self, line: dict[str, Any]) -> None:
        start = Start(line["a"], intern(line["f"]), line["w"], line["t"])
        self.starts[line["k"]].append(start)

    def _end(self, line: dict[str, Any]) -> None:
        run = line["k"], intern(line["f"])
        self.ends[run] = line["t"]
        if "o" in line:
            self.words[run] = line["o"]

    def _acked(self, line: dict[str, Any]) -> None:
        self.acked.append((line["k"], line["f"]))

    def _refused(self, _: dict[str, Any]) -> None:
        self.refused += 1

    def _fault(self, line: dict[str, Any]) -> None:
        self.faults.append(line)

    def _parent(self, line: dict[str, Any]) -> None:
        self.parents.append(line)

    def add(self, *rows: Job | Attempt | Effect | Remaining) -> None:
        """Add rows of the dump."""
        for row in rows:
            if isinstance(row, Job):
                if row.id in self.jobs:
                    self.again.append(row)
                self.jobs[row.id] = row
            elif isinstance(row, Attempt):
                self.attempts.append(row)
            elif isinstance(row, Effect):
                self.effects.append(row)
            else:
                self.remaining.append(row)

    def task_of(self, job: Job) -> str:
        """What was asked for, if that is known; else what the store says."""
        asked = None if job.key is None else self.asked.get(job.key)
        return job.task if asked is None or asked.task is None else asked.task

    def by_key(self) -> dict[int, list[Job]]:
        """The jobs of each key; there should be one."""
        found: dict[int, list[Job]] = defaultdict(list)
        for job in self.jobs.values():
            if job.key is not None:
                found[job.key].append(job)
        return found

    def lives(self) -> Iterator[list[Change]]:
        """The changes of one job after another."""
        for _, changes in groupby(self.changes(), key=lambda change: change.id):
            yield [*changes]

    def wall(self, t: int) -> float:
        """A moment of a log, in µs of the database's clock, which is this machine's."""
        return (t + int(self.facts.get("clock", 0))) / 1000


def read(folder: Path) -> History:
    """The history of a run that kept its logs and its dump there."""
    history = History(facts=json.loads((folder / "facts.json").read_text()))
    for path in sorted((folder / "log").glob("*.jsonl")):
        for line in lines(path):
            history.take(line)
    dump = folder / "dump"
    history.add(*rows(dump / "jobs.tsv", Job))
    history.add(*rows(dump / "attempts.tsv", Attempt))
    history.add(*rows(dump / "effects.tsv", Effect))
    history.add(*rows(dump / "remaining.tsv", Remaining))
    history.ticks += rows(dump / "ticks.tsv", Tick)
    history.flows += rows(dump / "flows.tsv", Flow)
    history.members += rows(dump / "members.tsv", Member)
    history.changes = lambda: rows(dump / "audit.tsv", Change)
    return history


_NUMBERS = {
    "key", "attempt", "max_attempts", "crashes", "run_at", "finished_at", "at", "pid",
    "tick", "place",
}  # fmt: skip
_TOKENS = {"lease", "fence", "token", "was_lease", "now_lease"}


def rows(path: Path, kind: Any) -> Iterator[Any]:
    """Rows as COPY wrote them, in the order of the kind's fields."""
    readers = [_reader(name) for name in kind._fields]
    with path.open(encoding="utf-8") as file:
        for line in file:
            values = line.rstrip("\n").split("\t")
            yield kind(*(
                None if value == "\\N" else read(value)
                for read, value in zip(readers, values, strict=True)
            ))  # fmt: skip


def _reader(name: str) -> Callable[[str], Any]:
    if name in _NUMBERS:
        return int
    if name in _TOKENS:
        return intern
    return (lambda value: value == "t") if name == "is_due" else str
