"""What the tests of the worker share: processes that work, a ledger of starts, and patience."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import namedtuple_row

PROGRAM = Path(__file__).with_name("program.py")


async def _eventually(condition: Callable[[], Any], within: float = 10.0) -> Any:
    """What the condition (plain or async) gives once it is true; fails when it takes too long."""
    until = time.monotonic() + within
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        if time.monotonic() > until:
            pytest.fail(f"not within {within:g} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(0.01)


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Wait for a condition under a deadline: `await eventually(lambda: …, within=5)`."""
    return _eventually


class Ledger:
    """A file into which the program's tasks write when they start and end: no database needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def lines(self, what: str) -> list[dict[str, Any]]:
        """All entries of one kind, in the order in which they were made."""
        entries = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [entry for entry in entries if entry["what"] == what]

    def starts(self) -> Counter[UUID]:
        """How often each job started."""
        return Counter(UUID(line["job"]) for line in self.lines("start"))

    def starts_of(self, pid: int) -> int:
        """How many jobs one process started."""
        return sum(line["pid"] == pid for line in self.lines("start"))

    def ends(self) -> int:
        """How many attempts came to their end."""
        return len(self.lines("end"))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """What the tasks of other processes did."""
    return Ledger(tmp_path / "ledger")


class Process:
    """A worker of its own: tests/worker/program.py with an App and `run_worker`."""

    def __init__(
        self, dsn: str, ledger: Ledger, settings: dict[str, Any], options: dict[str, Any]
    ) -> None:
        given = {"dsn": dsn, "ledger": str(ledger.path), "settings": settings, "options": options}
        self._errors = ledger.path.with_name(f"errors-{time.monotonic_ns()}")
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(PROGRAM), json.dumps(given)], stderr=errors
            )
        self.pid = self._process.pid

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    async def ended(self, within: float = 10.0) -> int:
        """Its exit code, once it has left."""
        await _eventually(lambda: self._process.poll() is not None, within)
        return self._process.returncode

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def errors(self) -> str:
        """What it wrote to standard error."""
        return self._errors.read_text()


@pytest.fixture
def work(request: pytest.FixtureRequest, ledger: Ledger) -> Iterator[Callable[..., Process]]:
    """Start a worker process: `work(lost_after=2.0, slots=20)`; none outlives the test."""
    started: list[Process] = []

    def start(dsn: str | None = None, *, burst: bool = False, **given: Any) -> Process:
        options = {name: given.pop(name) for name in ("queues", "slots", "name") if name in given}
        where = dsn or request.getfixturevalue("dsn")
        process = Process(where, ledger, given, {**options, "burst": burst})
        started.append(process)
        return process

    yield start
    for process in started:
        if process.running:
            process.send(signal.SIGCONT)
            process.kill()


class Store:
    """What the store says of jobs, for tests."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def rows(self, statement: str, *values: Any) -> list[Any]:
        with self.connection.cursor(row_factory=namedtuple_row) as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def one(self, statement: str, *values: Any) -> Any:
        """The only column of the first row; None when there is none."""
        found = self.rows(statement, *values)
        return found[0][0] if found else None

    def do(self, statement: str, *values: Any) -> None:
        self.connection.execute(statement, values)

    def enqueue(self, task: str, args: dict[str, Any] | None = None, **options: Any) -> UUID:
        named = "".join(f", {name} => %s" for name in options)
        given = json.dumps(args or {})
        return self.one(
            f"select howdah.enqueue(%s, %s::jsonb{named})", task, given, *options.values()
        )

    def job(self, job_id: UUID) -> Any:
        return self.rows(f"select {JOB} from howdah.jobs where id = %s", job_id)[0]

    def state(self, job_id: UUID) -> str:
        return self.one("select state from howdah.jobs where id = %s", job_id)

    def states(self) -> Counter[str]:
        """How many jobs are in each state."""
        return Counter(row.state for row in self.rows("select state from howdah.jobs"))

    def attempts(self, job_id: UUID) -> list[str]:
        """How the attempts that did not simply succeed came out, in their order."""
        found = self.rows(
            "select outcome from howdah.attempts where job_id = %s order by finished_at, attempt",
            job_id,
        )
        return [row.outcome for row in found]


JOB = (
    "id, state, attempt, crashes, error, result, run_at, started_at, finished_at, worker, delivery"
)


@pytest.fixture
def store(db: psycopg.Connection) -> Store:
    """The store of this test's database."""
    return Store(db)


@pytest.fixture
def store_of() -> Iterator[Callable[[str], Store]]:
    """The store of some other database."""
    opened: list[psycopg.Connection] = []

    def connect(dsn: str) -> Store:
        opened.append(psycopg.connect(dsn, autocommit=True))
        return Store(opened[-1])

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def seen() -> Callable[..., list[Any]]:
    """All events of one kind that an app emits from now on."""

    def collect(app: Any, kind: type) -> list[Any]:
        found: list[Any] = []
        app.events.subscribe(lambda event: found.append(event) if isinstance(event, kind) else None)
        return found

    return collect
