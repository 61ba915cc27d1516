"""The SQL door: every function of the contract by its name, on plain connections of psycopg."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import namedtuple_row
from psycopg.types.json import Jsonb

PATIENCE = 10.0  # seconds to wait for a condition


class Door:
    """One connection, and the contract's functions called on it with named arguments."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str = "howdah") -> None:
        self.connection, self.schema = connection, schema

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """All rows of a statement, as named tuples."""
        with self.connection.cursor(row_factory=namedtuple_row) as cursor:
            cursor.execute(statement.replace("howdah.", f"{self.schema}."), values)
            return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, *values: Any) -> Any:
        """The first value of the first row; None when there is no row."""
        found = self.rows(statement, *values)
        return found[0][0] if found else None

    def call(self, function: str, **arguments: Any) -> list[Any]:
        """`select * from howdah.function(name => value, …)`."""
        named = sql.SQL(", ").join(
            sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name))
            for name in arguments
        )
        statement = sql.SQL("select * from {}.{}({})").format(
            sql.Identifier(self.schema), sql.Identifier(function), named
        )
        with self.connection.cursor(row_factory=namedtuple_row) as cursor:
            cursor.execute(statement, {name: _sent(value) for name, value in arguments.items()})
            return cursor.fetchall()

    def value(self, function: str, **arguments: Any) -> Any:
        """The one value that a function returns."""
        return self.call(function, **arguments)[0][0]

    def enqueue(self, task: str = "work", **options: Any) -> UUID:
        return self.value("enqueue", task=task, **options)

    def enqueue_json(self, *jobs: dict[str, Any]) -> list[Any]:
        return self.call("enqueue_json", jobs=Jsonb(jobs))

    def claim(self, n: int = 1, **options: Any) -> list[Any]:
        return self.call("claim", n=n, **options)

    def take(self, **options: Any) -> Any:
        """The one job that is there to be claimed."""
        [job] = self.claim(1, **options)
        return job

    def ack(self, job: Any, **options: Any) -> None:
        self.call("ack", id=job.id, lease=job.lease, **options)

    def nack(self, job: Any, **options: Any) -> str:
        return self.value("nack", id=job.id, lease=job.lease, **options)

    def release(self, job: Any) -> None:
        self.call("release", id=job.id, lease=job.lease)

    def extend(self, job: Any, duration: str) -> Any:
        return self.value("extend", id=job.id, lease=job.lease, duration=duration)

    def finish(self, jobs: Sequence[Any], **options: Any) -> dict[UUID, str]:
        """Those refused, and why."""
        refused = self.call(
            "finish", ids=[job.id for job in jobs], leases=[job.lease for job in jobs], **options
        )
        return {row.id: row.reason for row in refused}

    def job(self, job_id: UUID) -> Any:
        """Its row of howdah.jobs, or None."""
        found = self.rows("select * from howdah.jobs where id = %s", job_id)
        return found[0] if found else None

    def state(self, job_id: UUID) -> str | None:
        return self.one("select state from howdah.jobs where id = %s", job_id)

    def why(self, job_id: UUID) -> str:
        return self.value("why", id=job_id)

    def attempts(self, job_id: UUID) -> list[Any]:
        return self.rows(
            "select * from howdah.attempts where job_id = %s order by finished_at", job_id
        )

    def chores(self, *which: str) -> dict[str, int]:
        done = self.call("chores", which=list(which)) if which else self.call("chores")
        return {row.chore: row.done for row in done}

    def worker(self, name: str = "w", **options: Any) -> UUID:
        """The id of a worker that has just registered."""
        worker = uuid4()
        self.call("heartbeat", worker=worker, name=name, **options)
        return worker

    def beat(self, worker: UUID, **options: Any) -> Any:
        """What the worker is told."""
        [control] = self.call("heartbeat", worker=worker, **options)
        return control

    def put_settings(self, **settings: Any) -> Any:
        [settings] = self.call("put_settings", **settings)
        return settings

    def counts(self) -> tuple[int, int]:
        """Live jobs, and finished ones."""
        [count] = self.rows(
            "select count(*) filter (where finished_at is null) as live,"
            " count(*) filter (where finished_at is not null) as finished from howdah.jobs"
        )
        return (count.live, count.finished)

    def transaction(self) -> AbstractContextManager[Any]:
        return self.connection.transaction()


def _sent(value: Any) -> Any:
    if isinstance(value, dict):
        return Jsonb(value)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return Jsonb(value)
    return value


@pytest.fixture
def door(db: psycopg.Connection) -> Door:
    """The SQL door of this test's database, as its owner."""
    return Door(db)


@pytest.fixture
def another_door(dsn: str) -> Iterator[Callable[..., Door]]:
    """More doors to the same database, each with a connection of its own."""
    with ExitStack() as open_connections:

        def open_door(conninfo: str = dsn, **options: Any) -> Door:
            connection = psycopg.connect(conninfo, autocommit=True, **options)
            return Door(open_connections.enter_context(connection))

        yield open_door


@pytest.fixture
def refused() -> Callable[..., AbstractContextManager[Any]]:
    """What a call is refused with: its SQLSTATE, a message, and a hint that says what to do."""

    @contextmanager
    def refused(sqlstate: str, mentions: str = "") -> Iterator[Any]:
        with pytest.raises(psycopg.Error) as caught:
            yield caught
        error = caught.value
        assert error.sqlstate == sqlstate, f"{error.sqlstate}: {error}"
        assert error.diag.message_primary
        assert error.diag.message_hint, f"no hint: {error}"
        assert mentions.lower() in str(error).lower()

    return refused


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Waits until a condition holds, and gives what it gave."""

    def eventually(condition: Callable[[], Any]) -> Any:
        until = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < until, "the condition never came true"
            time.sleep(0.005)
        return found

    return eventually


@pytest.fixture
def waits_for_lock(door: Door, eventually: Any) -> Callable[[Door], Any]:
    """Waits until the connection of a door stands before a lock."""

    def waits_for_lock(other: Door) -> None:
        pid = other.connection.info.backend_pid
        eventually(lambda: door.one("select pg_blocking_pids(%s) <> '{}'", pid))

    return waits_for_lock


@pytest.fixture
def role(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Makes roles that can log in and nothing more; they go when the test is over."""
    dsn = os.environ["HOWDAH_TEST_SERVER"].replace("DATABASE", "postgres")
    made: list[str] = []
    with psycopg.connect(dsn, autocommit=True) as connection:

        def make(options: str = "") -> str:
            made.append(name := f"role_{uuid4().hex[:12]}")
            connection.execute(f"create role {name} login {options}")
            return name

        yield make
        for name in made:
            connection.execute(f"drop role {name}")


class OwnDoor(Door):
    """A door to a database of the test's own: its clock and its schema may be changed."""

    _ahead = ""

    def forward(self, interval: str) -> None:
        """Move this store's time forward by an interval."""
        self._ahead += f" operator(pg_catalog.+) interval '{interval}'"
        self.rows(
            "create or replace function _howdah.clock() returns timestamptz language sql volatile"
            f" parallel safe as $$ select pg_catalog.clock_timestamp(){self._ahead} $$"
        )

    def partitions(self, parent: str = "finished") -> set[str]:
        """The days that a part of history has tables for."""
        found = self.rows(
            "select relid::regclass::text as name from pg_partition_tree(%s::regclass) where"
            " isleaf",
            f"_{self.schema}.{parent}",
        )
        return {row.name.split(".")[-1] for row in found}


@pytest.fixture
def own_door(own_dsn: str) -> Iterator[OwnDoor]:
    """A door to a database of the test's own."""
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        yield OwnDoor(connection)
