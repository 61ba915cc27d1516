"""What costs an idle worker little and nobody anything: missed notifications, poolers, clocks."""

from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

import howdah
from howdah import App, Retry, jobs

SKEWED = """
import datetime, sys, time
ahead, dsn = float(sys.argv[1]), sys.argv[2]
now, now_ns, Real = time.time, time.time_ns, datetime.datetime

class Skewed(Real):
    @classmethod
    def now(cls, tz=None):
        return Real.now(tz) + datetime.timedelta(seconds=ahead)

time.time, time.time_ns = lambda: now() + ahead, lambda: now_ns() + int(ahead * 1e9)
datetime.datetime = Skewed
from howdah import App, Context, Retry
app = App(dsn, poll_every=0.2, lost_after=5)

@app.task(name="t", retry=Retry(first=0.4, jitter=0), timeout=20)
async def t(context: Context):
    assert abs(context.deadline - Real.now(datetime.UTC)).total_seconds() > 3000
    if context.attempt == 1:
        raise ValueError("once")

app.run_worker()
"""
# Who may ask the machine for the time of day, and what for.
WALL_CLOCKS = {
    "ids.py": "the beginning of an id, which no rule looks at",
    "context.py": "the deadline, as a task is told it",
    "schedules.py": "to check a rule, of which nothing is kept",
    "signature.py": "when a call was signed, for who receives it elsewhere",
    "worker/urls.py": "against a date that another server gave in Retry-After",
    "logs.py": "the time of a log line",
    "importing/plan.py": "to leave out what the store, which looks itself, would refuse",
    "cli/show.py": "how long ago, for people",
    "cli/doctor_checks.py": "to compare it with the database's",
    "cli/demo_run.py": "the demo's newest run comes first",
}


@pytest.fixture
def skewed(dsn: str) -> Iterator[Any]:
    """Start a worker in a process whose clock is wrong by so many seconds."""
    with ExitStack() as stack:

        def start(ahead: float) -> subprocess.Popen[bytes]:
            process = subprocess.Popen([sys.executable, "-c", SKEWED, str(ahead), dsn])
            stack.callback(process.wait, 10)
            stack.callback(process.terminate)
            return process

        yield start


@pytest.mark.parametrize("ahead", [3600, -3600])
async def test_x08_a_workers_clock_that_is_wrong_by_an_hour_changes_nothing(
    db: psycopg.Connection, skewed: Any, until: Any, ahead: float
) -> None:
    row = db.execute("select howdah.enqueue('t', delay => '1.5 s')").fetchone()
    assert row is not None
    process = skewed(ahead)

    def succeeded() -> Any:
        return db.execute("select 1 from howdah.jobs where state = 'succeeded'").fetchone()

    await until(succeeded)
    beat, workers = db.execute(
        "select max(abs(extract(epoch from clock_timestamp() - beat_at))), count(*)"
        " from howdah.workers"
    ).fetchall()[0]
    [(late, waited)] = db.execute(
        "select extract(epoch from a.started_at - j.created_at),"
        " extract(epoch from j.started_at - a.finished_at)"
        " from howdah.jobs j join howdah.attempts a on a.job_id = j.id"
    ).fetchall()
    process.terminate()

    assert process.wait(10) == 0
    assert (workers, beat < 5) == (1, True)
    assert 1.5 <= late < 2.5
    assert 0.35 <= waited < 1.4


def test_x08_no_other_code_of_ours_looks_at_the_machines_time_of_day() -> None:
    package = Path(howdah.__file__).parent
    found = {
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if (
            isinstance(node, ast.Attribute)
            and node.attr in {"now", "utcnow", "today", "time_ns", "localtime", "gmtime"}
        )
        or (
            isinstance(node, ast.Attribute)
            and node.attr == "time"
            and isinstance(node.value, ast.Name)
            and node.value.id == "time"
        )
    }

    assert found == set(WALL_CLOCKS)


async def test_x10_an_idle_worker_looks_once_per_interval_and_claims_nothing(
    dsn: str, db: psycopg.Connection, until: Any
) -> None:
    app = App(dsn, poll_every=0.25)
    asked: Counter[str] = Counter()

    async with app, app.worker() as worker:
        parts = worker._parts
        await until(lambda: db.execute("select 1 from _howdah.idle").fetchone())
        await until(parts.fetcher.found_nothing.is_set)  # it claims once more after the mark
        links = {"claims": parts._claims, "finishes": parts._finishes, "looks": parts.looks}
        for name, link in links.items():

            async def counted(call: Any, *, run: Any = link.run, name: str = name) -> Any:
                asked[name] += 1
                return await run(call)

            link.run = counted
        await asyncio.sleep(1.5)  # nothing is to happen
        counts = {**asked}

    assert counts.keys() == {"looks"}
    assert 3 <= counts["looks"] <= 1.5 / (0.25 * 0.9) + 1


async def test_x10_a_notification_that_was_missed_costs_no_more_than_the_interval(
    dsn: str, db: psycopg.Connection, until: Any
) -> None:
    app = App(dsn, poll_every=0.5)

    @app.task(name="t")
    async def task() -> None: ...

    async with app, app.worker() as worker:
        worker._parts.listener._heard = lambda _: None
        for _ in range(3):
            await until(lambda: db.execute("select 1 from _howdah.idle").fetchone())
            await app.result(await task.enqueue(), timeout=10)
    longest = db.execute(
        "select extract(epoch from max(started_at - created_at)) from howdah.jobs"
    ).fetchone()

    assert longest is not None
    assert longest[0] < 0.5 * 1.1 + 0.3


async def test_d9_dpq11_where_nobody_can_listen_the_interval_is_the_longest_wait(
    dsn: str, db: psycopg.Connection
) -> None:
    """A pooler that hands out a session per transaction, and no direct connection beside it."""
    nowhere = "postgresql://u@127.0.0.1:1/x"
    app, every = App(dsn, listen_url=nowhere, prepare=False, poll_every=0.3), 0.3
    attempts: list[int] = []

    @app.task(name="now")
    async def at_once() -> None: ...

    @app.task(name="flaky", retry=Retry(first=0.2, jitter=0))
    async def flaky() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("once")
        return "done"

    async with app, app.worker() as worker:
        delayed = await at_once.options(delay=0.6).enqueue()
        again = await flaky.enqueue()
        with psycopg.connect(dsn) as connection:
            app.on(connection).enqueue(at_once.job())
            connection.rollback()
        plain = await at_once.enqueue()
        results = [await app.result(job_id, timeout=10) for job_id in (delayed, again, plain)]
        listening = worker.status()["listening"]
    late = {
        job_id: (job.started_at - job.run_at).total_seconds()
        for job_id in (delayed, plain)
        if (job := await app.run(jobs.get(job_id))) is not None and job.started_at is not None
    }
    await app.close()

    assert not listening
    assert (results, len(attempts)) == ([None, "done", None], 2)
    assert db.execute("select count(*) from howdah.jobs").fetchone() == (3,)
    assert 0 <= late[delayed] < 0.25
    assert 0 <= late[plain] < every * 1.1 + 0.3
