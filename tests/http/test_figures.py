"""The figures of URL jobs: many in flight, few files, fast servers, killed dispatchers."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TARGET = HERE / "target.py"


class Target:
    """A server process that counts: hits, and how many were open at once."""

    def __init__(self, delay):
        self.process = subprocess.Popen(
            [sys.executable, str(TARGET), str(delay)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.port = int(self.process.stdout.readline())

    def counts(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def close(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def target(db):
    """Starts a target that answers after so many seconds."""
    started = []

    def start(delay):
        started.append(Target(delay))
        db.execute("select howdah.http_allow(%s)", [started[-1].url()])
        return started[-1]

    yield start
    for each in started:
        each.close()


class Dispatcher:
    """`howdah worker --http` with one process; its child does the work."""

    def __init__(self, dsn, files=None, **settings):
        limit = f"ulimit -n {files}; " if files else ""
        env = {**os.environ, "DATABASE_URL": dsn, "HOWDAH_ENV": "production"}
        env |= {f"HOWDAH_{name.upper()}": str(value) for name, value in settings.items()}
        self.process = subprocess.Popen(
            ["sh", "-c", f"{limit}exec {sys.executable} -m howdah worker --http -p 1"],
            env=env, stderr=subprocess.PIPE,
        )  # fmt: skip
        while b"worker" not in (line := self.process.stderr.readline()):
            assert line, "it did not start"

    @property
    def child(self):
        found = subprocess.check_output(["ps", "-o", "pid=", "--ppid", str(self.process.pid)])
        return int(found.split()[0])

    def threads(self):
        return len(os.listdir(f"/proc/{self.child}/task"))

    def cpu(self):
        fields = Path(f"/proc/{self.child}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self):
        for pid in (self.child, self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.communicate()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=30)


@pytest.fixture
def dispatcher(dsn):
    started = []

    def start(**options):
        started.append(Dispatcher(dsn, **options))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def insert(db, url, count, **options):
    more = "".join(f", {name} => {value}" for name, value in options.items())
    db.execute(f"select howdah.http('GET', %s{more}) from generate_series(1, %s)", [url, count])


def states(db):
    return dict(
        db.execute("select state, count(*) from howdah.http_jobs group by state").fetchall()
    )


async def until_succeeded(db, count, eventually, within):
    await eventually(lambda: states(db) == {"succeeded": count}, within=within)


async def watch(condition, see, eventually, within):
    """Until the condition holds; the greatest that was seen."""
    seen = []

    def look():
        seen.append(see())
        return condition()

    await eventually(look, within=within)
    return max(seen)


@pytest.mark.slow
async def test_500_slow_urls_are_in_flight_together(db, dispatcher, target, eventually, record):
    there, worker = target(2.0), dispatcher()
    insert(db, there.url(), 3)
    await until_succeeded(db, 3, eventually, 20)
    at_rest, cpu = worker.threads(), worker.cpu()

    began = time.monotonic()
    insert(db, there.url(), 500)
    threads = await watch(
        lambda: states(db) == {"succeeded": 503}, worker.threads, eventually, within=20
    )
    took, used = time.monotonic() - began, worker.cpu() - cpu

    peak = there.counts()["peak"]
    record("500 URLs of 2 s", [took], limit=4.0, peak=peak, threads=threads, cpu=used)
    assert peak >= 450
    assert threads == at_rest
    assert used < took
    assert took < 4.0


@pytest.mark.slow
async def test_few_files_are_enough_for_many_urls(db, dispatcher, target, eventually, record):
    there = target(0.1)
    insert(db, there.url(), 5000, timeout="'5 s'", max_attempts=1)

    began = time.monotonic()
    dispatcher(files=256)
    await until_succeeded(db, 5000, eventually, 120)

    counts = there.counts()
    record("5,000 URLs of 0.1 s with 256 files", [time.monotonic() - began], **counts)
    assert counts["peak"] <= 104
    assert counts["hits"] == 5000


@pytest.mark.slow
async def test_a_fast_server_is_kept_busy(db, dispatcher, target, eventually, record):
    there, worker = target(0), dispatcher()
    insert(db, there.url(), 500)
    await until_succeeded(db, 500, eventually, 30)

    rates, bare = [], []
    for n in range(3):
        cpu, began = worker.cpu(), time.monotonic()
        insert(db, there.url(), 6000)
        inserted = time.monotonic()
        total = 500 + (n + 1) * 6000
        await until_succeeded(db, total, eventually, 60)
        first, last = db.execute(
            "select min(started_at), max(finished_at) from howdah.http_jobs where created_at >="
            " now() - make_interval(secs => %s)",
            [time.monotonic() - began],
        ).fetchone()
        rates.append(6000 / (last - first).total_seconds())
        record(
            f"round {n}", [inserted - began], per_second=round(rates[-1]),
            cpu_us=round((worker.cpu() - cpu) / 6000 * 1e6),
        )  # fmt: skip
        bare.append(_bare(there.port))
        record(f"bare {n}", [], **{name: round(figure) for name, figure in bare[-1].items()})

    bare_rates = [round(each["per_second"]) for each in bare]
    record("finished a second", [], howdah=[*map(round, rates)], bare_aiohttp=bare_rates)
    assert max(rates) >= 2000


def _bare(port):
    """The same by the bare library, 1,000 in flight."""
    program = HERE.parents[1] / "benchmarks" / "http_libraries.py"
    said = subprocess.check_output(
        [sys.executable, str(program), "--library", "aiohttp", "--port", str(port),
         "--requests", "6000", "--in-flight", "1000"],
    )  # fmt: skip
    return json.loads(said)


SILENCE = 5.0  # seconds without a beat after which a session that is gone means a death
ROUND = 6.0  # seconds between two looks for the dead, at most


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost_after", "rescued_within"),
    [(2, 2 + 2 / 5 * 1.2), (None, SILENCE + ROUND)],
    ids=["lost-after-2s", "usual"],
)
async def test_killed_with_20_in_flight_all_end_elsewhere_within_the_rescue_time_and_two_seconds(
    db, dispatcher, target, eventually, record, lost_after, rescued_within
):
    settings = {} if lost_after is None else {"lost_after": lost_after}
    there, first = target(0.5), dispatcher(**settings)
    insert(db, there.url(), 20)
    await eventually(lambda: there.counts()["open"] == 20, within=20)

    first.kill()
    killed = time.monotonic()
    dispatcher(**settings)
    there_again = round(time.monotonic() - killed, 1)
    await until_succeeded(db, 20, eventually, 30)

    took = time.monotonic() - killed
    record(
        f"20 in flight, killed ({lost_after or 'usual'})", [took], limit=rescued_within + 2,
        started_in=there_again,
    )  # fmt: skip
    assert took < rescued_within + 2
    assert db.execute("select count(*) from howdah.running").fetchone() == (0,)


@pytest.mark.slow
async def test_killed_with_20_in_flight_none_is_called_twice_that_may_be_called_once(
    db, dispatcher, target, eventually
):
    there, first = target(1.0), dispatcher(lost_after=2)
    db.execute(
        "select howdah.http('POST', %s, '{}', delivery => 'at_most_once')"
        " from generate_series(1, 20)",
        [there.url()],
    )
    await eventually(lambda: there.counts()["open"] == 20, within=20)

    first.kill()
    dispatcher(lost_after=2)
    await eventually(lambda: states(db) == {"failed": 20}, within=20)

    assert there.counts()["hits"] == 20
    assert db.execute("select distinct outcome from howdah.attempts").fetchall() == [("lost",)]


@pytest.mark.slow
async def test_two_dispatchers_call_each_url_once(db, dispatcher, target, eventually):
    there = target(0.05)
    dispatcher()
    dispatcher()

    insert(db, there.url(), 200)
    await until_succeeded(db, 200, eventually, 30)

    assert there.counts()["hits"] == 200


@pytest.mark.slow
async def test_jobs_added_while_nobody_ran_are_done_when_somebody_does(
    db, dispatcher, target, eventually
):
    there = target(0)
    insert(db, there.url(), 10)

    dispatcher()
    began = time.monotonic()
    await until_succeeded(db, 10, eventually, 10)

    assert time.monotonic() - began < 2.0
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256
