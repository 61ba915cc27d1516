"""What tests of running workers share: patience, a ledger of starts, and the store's view."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import namedtuple_row

JOB = (
    "id, state, attempt, crashes, error, result, run_at, started_at, finished_at, worker, delivery"
)


async def eventually(condition: Callable[[], Any], within: float = 10.0) -> Any:
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
