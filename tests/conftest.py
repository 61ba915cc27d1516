"""What all tests share: one PostgreSQL per run, one database per process, clean for each test."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from psycopg.rows import tuple_row
from watching import Ledger, Store
from watching import eventually as _eventually

from howdah import App, embedded
from howdah.embedded import find_binaries
from howdah.migrate import migrate
from howdah.settings import Settings

TEMPLATE = "howdah_template"
QUICK = {
    "fsync": "off",
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "max_connections": "200",
    "max_prepared_transactions": "10",
}
OF_THE_RUN = ("HOWDAH_PG_BINDIR", "HOWDAH_PROOF_")
_SERVER: list[embedded.Server] = []
_FOLDER: list[Path] = []


def pytest_configure(config: pytest.Config) -> None:
    """The first process of the run starts the server; the others inherit where it is."""
    for name in [*os.environ]:
        if name.startswith("PG") or name == "DATABASE_URL":
            del os.environ[name]
    if hasattr(config, "workerinput"):
        return
    for name in [*os.environ]:
        if name.startswith("HOWDAH_") and not name.startswith(OF_THE_RUN):
            del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="howdah-test-"))
    _FOLDER.append(folder)
    os.environ["HOWDAH_TEST_FOLDER"] = str(folder)
    _let_bytecode_be_kept()
    server = embedded.start(folder / "data", settings=QUICK)
    _SERVER.append(server)
    os.environ["HOWDAH_TEST_SERVER"] = server.dsn("DATABASE")
    asyncio.run(_make_template())


def _let_bytecode_be_kept() -> None:
    """Hundreds of processes import us: where bytecode is forbidden, each would compile it all."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def pytest_unconfigure(config: pytest.Config) -> None:
    """Nothing is left behind."""
    while _SERVER:
        _SERVER.pop().stop()
    while _FOLDER:
        shutil.rmtree(_FOLDER.pop(), ignore_errors=True)


def server_dsn(database: str) -> str:
    """The URL of a database on the run's server."""
    return os.environ["HOWDAH_TEST_SERVER"].replace("DATABASE", database)


async def _make_template() -> None:
    await _execute("postgres", f"create database {TEMPLATE}")
    connection = await asyncpg.connect(server_dsn(TEMPLATE))
    await migrate(connection, "howdah")
    await connection.close()


async def _execute(database: str, *statements: str) -> None:
    connection = await asyncpg.connect(server_dsn(database))
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


@pytest.fixture(scope="session")
def _database() -> str:
    name = f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    asyncio.run(_execute("postgres", f"create database {name} template {TEMPLATE}"))
    return server_dsn(name)


class Kept:
    """One connection for test after test: what a new one has to read and to plan is known to it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection | None = None

    def ready(self) -> psycopg.Connection:
        """The connection as if it were new; another where a test has closed or lost it."""
        connection = self._connection
        if connection is not None and not connection.closed:
            with suppress(psycopg.OperationalError):
                connection.rollback()
                connection.autocommit = True
                connection.row_factory = tuple_row
                connection.execute(AS_NEW)
                return connection
        self.close()
        self._connection = psycopg.connect(self._dsn, autocommit=True)
        return self._connection

    def close(self) -> None:
        """End it."""
        if self._connection is not None:
            self._connection.close()


@pytest.fixture(scope="session")
def _kept(_database: str) -> Iterator[Kept]:
    kept = Kept(_database)
    yield kept
    kept.close()


@pytest.fixture
def dsn(_database: str, _kept: Kept) -> str:
    """A database with the schema installed and nothing in it."""
    _kept.ready().execute(CLEAN)
    return _database


@pytest.fixture
def empty_dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of the test's own, with nothing in it, not even the schema."""
    yield from _own_database("template0")


@pytest.fixture
def own_dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of the test's own, with the schema installed: for tests that change the schema."""
    yield from _own_database(TEMPLATE)


def _own_database(template: str) -> Iterator[str]:
    name = f"own_{os.urandom(6).hex()}"
    how = f"template {template}"
    if find_binaries().major >= 15:
        how += " strategy file_copy"  # a third of the time of the default, block by block
    asyncio.run(_execute("postgres", f"create database {name} {how}"))
    yield server_dsn(name)
    asyncio.run(_execute("postgres", f"drop database {name} with (force)"))


@pytest.fixture
def db(dsn: str, _kept: Kept) -> psycopg.Connection:
    """A connection of psycopg, each statement in a transaction of its own."""
    return _kept.ready()


@pytest.fixture
def settings(dsn: str) -> Settings:
    """Settings for this test's database."""
    return Settings(database_url=dsn)


@pytest.fixture
async def app(dsn: str) -> AsyncIterator[App]:
    """An app on this test's database."""
    async with App(dsn) as app:
        yield app


class Clock:
    """The store's clock, moved by replacing its function as owner: no setting could do it."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection, self._ahead = connection, "0"

    def forward(self, interval: str) -> None:
        """Move the store's time forward (or, with a minus, back) by an interval."""
        self._ahead = f"{self._ahead}, {interval}"
        total = " + ".join(f"interval '{part.strip()}'" for part in self._ahead.split(","))
        self._connection.execute(
            "create or replace function _howdah.clock() returns timestamptz language sql volatile "
            f"parallel safe return pg_catalog.clock_timestamp() + {total}"
        )


@pytest.fixture
def clock(db: psycopg.Connection) -> Iterator[Clock]:
    """The store's clock, to be moved."""
    clock = Clock(db)
    yield clock
    db.execute(
        "create or replace function _howdah.clock() returns timestamptz language sql volatile "
        "parallel safe return pg_catalog.clock_timestamp()"
    )


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Wait for a condition under a deadline: `await eventually(lambda: …, within=5)`."""
    return _eventually


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """What the tasks of other processes did."""
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def store(db: psycopg.Connection) -> Store:
    """The store of this test's database."""
    return Store(db)


AS_NEW = (
    "reset session authorization; reset all; unlisten *; close all; deallocate all;"
    "select pg_advisory_unlock_all(); discard temp; discard sequences"
)
_TABLES = (
    "job", "lease", "finished", "attempt", "given_id", "cancel_request", "waiter", "idle",
    "worker", "task", "queue", "granted", "setting", "serial_key", "limit", "gate", "place",
    "pending", "unique_until", "start", "share", "schedule", "tick", "progress", "listener",
    "gathering", "watcher", "http_response", "http_target",
    "edge", "gone", "workflow", "step", "step_edge", "member", "tally", "pipeline",
)  # fmt: skip
CLEAN = (
    "set lock_timeout = '10s';"
    + "".join(f"delete from _howdah.{table};" for table in _TABLES)
    + "insert into _howdah.setting default values;"
    "update _howdah.pulse set resumed_at = 'epoch', gap_began_at = 'epoch',"
    " gap_ended_at = 'epoch', beat_at = 'epoch';"
    "select setval('_howdah.watch_mark', 1, false);"
)


# Long proofs: how much of each, and a table of what they measured

SCALE = float(os.environ.get("HOWDAH_PROOF_SCALE", "1"))
SEED = int(os.environ.get("HOWDAH_PROOF_SEED", "0")) or random.randrange(1, 1_000_000)


@pytest.fixture
def scaled() -> Callable[..., int]:
    """How many of so many, by HOWDAH_PROOF_SCALE: `scaled(50, least=4)`."""
    return lambda n, least=1: max(least, round(n * SCALE))


@pytest.fixture
def chance() -> random.Random:
    """Chance that can be had again: HOWDAH_PROOF_SEED, which the table shows."""
    return random.Random(SEED)


@pytest.fixture
def record(record_property: Callable[[str, object], None]) -> Callable[..., dict[str, float]]:
    """Put figures into the table at the end: `record("what", seconds, limit=1.0, kills=50)`.

    Gives n, p50, p99 and max of the seconds.
    """

    def record(
        what: str, seconds: Sequence[float] = (), limit: float | None = None, **facts: object
    ) -> dict[str, float]:
        spread = _spread(seconds)
        facts = {**facts, "seed": SEED, **({"scale": SCALE} if SCALE != 1 else {})}
        record_property("proof", {"what": what, "limit": limit, **spread, "facts": facts})
        return spread

    return record


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {"n": len(ordered), "p50": at(0.5), "p99": at(0.99), "max": ordered[-1]}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table of all figures, those of failed proofs too."""
    reports = [
        report
        for kind in ("passed", "failed", "skipped")
        for report in terminalreporter.stats.get(kind, ())
        if report.when == "call" and "slow" in report.keywords
    ]
    if not any(report.user_properties for report in reports):
        return
    terminalreporter.section("figures (seconds)")
    head = f"{'':64} {'n':>5} {'p50':>7} {'p99':>7} {'max':>7} {'limit':>6}"
    terminalreporter.write_line(head)
    for report in reports:
        facts = {key: value for key, value in report.user_properties if key != "proof"}
        for key, row in report.user_properties:
            if key == "proof":
                _write_row(terminalreporter, row, failed=report.failed)
        if facts:
            name = report.nodeid.rpartition("::")[2]
            terminalreporter.write_line(f"{name}: {_said(facts)}")


def _write_row(terminalreporter: Any, row: dict[str, Any], *, failed: bool) -> None:
    figures = "".join(
        f" {'' if row.get(key) is None else format(row[key], f'.{places}f'):>{width}}"
        for key, width, places in [
            ("n", 5, 0), ("p50", 7, 3), ("p99", 7, 3), ("max", 7, 3), ("limit", 6, 1),
        ]
    )  # fmt: skip
    what = f"{'FAILED ' if failed else ''}{row['what']}"
    terminalreporter.write_line(f"{what:64}{figures}")
    terminalreporter.write_line(f"    {_said(row['facts'])}")


def _said(facts: dict[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())
