"""What the proofs share: workers under their parents, and a ledger of what their jobs did."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import namedtuple_row

HERE = Path(__file__).parent


# Waiting


async def _eventually(
    condition: Callable[[], Any], within: float = 10.0, every: float = 0.01
) -> Any:
    """What the condition gives once it is true; fails when it takes too long."""
    until = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > until:
            pytest.fail(f"not within {within:g} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(every)
    return found


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Wait for a condition under a deadline: `await eventually(lambda: …, within=5)`."""
    return _eventually


# What the jobs did


class Ledger:
    """What the jobs wrote down themselves, each line from one write to the end of one file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.path = folder, folder / "ledger"
        self.path.touch()
        self._lines: list[dict[str, Any]] = []
        self._read = 0

    def lines(self, *whats: str) -> list[dict[str, Any]]:
        """All lines, or those of some kinds, in the order in which they were written."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            whole, end, _ = file.read().rpartition(b"\n")  # the last may not be all there yet
        self._read += len(whole) + len(end)
        self._lines += map(json.loads, whole.splitlines())
        return [line for line in self._lines if not whats or line["what"] in whats]

    def by_job(self) -> dict[UUID, list[dict[str, Any]]]:
        """The lines of each job."""
        found = defaultdict(list)
        for line in self.lines():
            found[UUID(line["job"])].append(line)
        return found

    def starts(self) -> Counter[UUID]:
        """How often each job started."""
        return Counter(UUID(line["job"]) for line in self.lines("start"))

    def ends(self) -> Counter[UUID]:
        """How often each job came to its end."""
        return Counter(UUID(line["job"]) for line in self.lines("end"))

    def unended(self, pid: int | None = None) -> list[UUID]:
        """Jobs that started (in one process) and did not come to their end there."""
        open_in: Counter[tuple[str, int]] = Counter()
        for line in self.lines("start", "end"):
            open_in[line["job"], line["pid"]] += 1 if line["what"] == "start" else -1
        return [UUID(job) for (job, at), n in open_in.items() if n and pid in (None, at)]

    def gate(self, name: object) -> Path:
        """A file for which jobs can be made to wait."""
        return self.folder / f"gate-{name}"


@pytest.fixture
def ledger_at(tmp_path: Path) -> Callable[[object], Ledger]:
    """A ledger by a name of its own."""
    return lambda name: Ledger(tmp_path / str(name))


@pytest.fixture
def ledger(ledger_at: Callable[[object], Ledger]) -> Ledger:
    """The test's ledger."""
    return ledger_at("only")


# Workers


class Worker:
    """A `howdah worker`: a parent and its children."""

    def __init__(self, dsn: str, ledger: Ledger, number: int, given: dict[str, Any]) -> None:
        self.name, self.processes = f"w{number}", given.pop("processes", 2)
        app = given.pop("app", "jobs:app")
        options = ["--processes", str(self.processes), "--name", self.name]
        if (slots := given.pop("slots", None)) is not None:
            options += ["--slots", str(slots)]
        for queue in given.pop("queues", ()):
            options += ["--queue", queue]
        env = {**os.environ, "HOWDAH_DATABASE_URL": dsn, "PROOF_LEDGER": str(ledger.path)}
        env |= {f"HOWDAH_{name.upper()}": str(value) for name, value in given.items()}
        self._errors = ledger.folder / f"{self.name}.err"
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "howdah", "worker", app, *options],
                cwd=HERE,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )
        self._connection = psycopg.connect(dsn, autocommit=True)
        self.pid = self._process.pid
        self.known: set[int] = set()  # all children that it ever had

    def children(self) -> dict[int, UUID]:
        """The ids of its workers, by their process ids, as the store knows them."""
        found = self._connection.execute(
            "select pid, id from howdah.workers where name = %s order by started_at", [self.name]
        )
        children = {pid: worker for pid, worker in found.fetchall() if _is_alive(pid)}
        self.known |= {*children}
        return children

    async def up(self, within: float = 30.0) -> dict[int, UUID]:
        """Its children, once all are at work."""

        def all_children() -> dict[int, UUID] | None:
            assert self.code is None, self.errors
            children = self.children()
            return children if len(children) == self.processes else None

        return await _eventually(all_children, within, every=0.05)

    @property
    def code(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    @property
    def errors(self) -> str:
        """What it wrote to standard error."""
        return self._errors.read_text()

    def send(self, number: signal.Signals) -> None:
        """Send the parent a signal."""
        self._process.send_signal(number)

    def kill(self, *, children: Iterable[int] = ()) -> None:
        """Kill the parent, and nobody else; or these children in the same breath."""
        self._process.kill()
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        self._process.wait()

    async def stop(self, within: float = 40.0) -> int:
        """End it in peace; gives its exit status."""
        self.children()
        self.send(signal.SIGTERM)
        await _eventually(lambda: self.code is not None, within)
        return self._process.returncode

    def end(self) -> None:
        """Leave nothing of it behind."""
        with suppress(psycopg.Error):
            self.children()
        if self.code is None:
            self.send(signal.SIGCONT)
            self.kill()
        for pid in self.known:
            if _is_alive(pid) and "howdah.parent.program" in _ps(pid, "args"):
                os.kill(pid, signal.SIGKILL)
        self._connection.close()


def _ps(pid: int, what: str) -> str:
    found = subprocess.run(
        ["ps", "-o", f"{what}=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def _is_alive(pid: int) -> bool:
    """Whether it is there, and not just waiting to be reaped."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        with suppress(FileNotFoundError, ProcessLookupError):
            return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
        return False
    return _ps(pid, "stat")[:1] not in ("", "Z")


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    """Whether a process lives."""
    return _is_alive


@pytest.fixture
def work(request: pytest.FixtureRequest) -> Iterator[Callable[..., Worker]]:
    """Start `howdah worker`: `work(processes=2, slots=5, lost_after=4)`; none outlives the test."""
    started: list[Worker] = []

    def start(dsn: str | None = None, ledger: Ledger | None = None, **given: Any) -> Worker:
        worker = Worker(
            dsn or request.getfixturevalue("dsn"),
            ledger or request.getfixturevalue("ledger"),
            len(started) + 1,
            given,
        )
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.end()


# The store


class Store:
    """What the views say."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._connection = psycopg.connect(dsn, autocommit=True)

    def rows(self, statement: str, *values: Any) -> list[Any]:
        with self._connection.cursor(row_factory=namedtuple_row) as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def one(self, statement: str, *values: Any) -> Any:
        """The only column of the first row."""
        return self.rows(statement, *values)[0][0]

    def do(self, statement: str) -> None:
        self._connection.execute(statement)

    def now(self) -> Any:
        """The moment by the database's clock."""
        return self.one("select clock_timestamp()")

    def enqueue(self, task: str, *, options: dict[str, Any] | None = None, **args: Any) -> UUID:
        options = options or {}
        named = "".join(f", {name} => %s" for name in options)
        statement = f"select howdah.enqueue(%s, %s::jsonb{named})"
        return self.one(statement, task, json.dumps(args), *options.values())

    def states(self, jobs: Sequence[UUID] | None = None) -> Counter[str]:
        """How many jobs, of these or of all, are in each state."""
        where = "" if jobs is None else " where id = any(%s)"
        found = self.rows(
            f"select state, count(*) as n from howdah.jobs{where} group by state",
            *([] if jobs is None else [[*jobs]]),
        )
        return Counter({row.state: row.n for row in found})

    def outcomes(self) -> Counter[str]:
        """Of attempts that did not simply succeed."""
        found = self.rows("select outcome, count(*) as n from howdah.attempts group by outcome")
        return Counter({row.outcome: row.n for row in found})

    def charged(self) -> int:
        """Attempts charged to jobs beyond the one that each of them took."""
        return self.one("select coalesce(sum(greatest(attempt - 1, 0)), 0)::int from howdah.jobs")

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def store(dsn: str) -> Iterator[Store]:
    """The store of this test's database."""
    store = Store(dsn)
    yield store
    store.close()


@pytest.fixture
def databases() -> Iterator[Callable[[int], list[Store]]]:
    """Databases of the test's own, each with its store, for what can run side by side."""
    server, made = os.environ["HOWDAH_TEST_SERVER"], list[tuple[str, Store]]()
    admin = psycopg.connect(server.replace("DATABASE", "postgres"), autocommit=True)

    def make(n: int) -> list[Store]:
        for _ in range(n):
            name = f"proof_{os.urandom(6).hex()}"
            admin.execute(f"create database {name} template howdah_template")
            made.append((name, Store(server.replace("DATABASE", name))))
        return [store for _, store in made]

    yield make
    for name, store in made:
        store.close()
        admin.execute(f"drop database {name} with (force)")
    admin.close()
