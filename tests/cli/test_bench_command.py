"""`howdah bench` on small numbers: what it says, and that nothing of it stays.

The command runs in this process, unless a signal is to end it; its workers are always others.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

import asyncpg
import psycopg
import pytest

from howdah.bench.staff import Staff
from howdah.cli.bench.measuring import written
from howdah.errors import HowdahError

SMALL = {
    "enqueue": ("--jobs=20", "--bulk=50", "--batch=20", "--clients=3"),
    "drain": ("--jobs=60", "--processes=2"),
    "latency": ("--jobs=5", "--gap=5ms"),
    "snapshot": ("--jobs=40", "--rounds=2"),
    "backlog": ("--backlog=200", "--small=40"),
    "idle": ("--workers=1", "--for=0.5s"),
}
EXPECTED = {
    "enqueue": {
        "one by one / bare insert",
        "3 clients / bare insert",
        "bulk",
        "bulk, by 3 at once",
        "WAL, bulk",
    },
    "drain": {"drain", "WAL, claim to finish", "transactions, claim to finish", "WAL, enqueue"},
    "latency": {"start p50", "start p99", "floor p50", "start p50 / floor p50"},
    "snapshot": {
        "reading: round 2 / round 1",
        "writing: round 2 / round 1",
        "writing: from the commit to its job's start",
    },
    "backlog": {"claim to finish, great / small", "list_jobs", "queues", "why"},
    "idle": {"workers' CPU", "statements"},
}
LEFT = "select count(*) from pg_namespace where nspname ~ 'howdah_bench'"
LATENCY = ("bench", "latency", *SMALL["latency"], "--rounds=1")
BUSY = ("bench", "drain", "--jobs=200", "--rounds=1000")
CALM = ("bench", "latency", "--jobs=1", "--gap=0.2s", "--rounds=1000")


def left(db: psycopg.Connection) -> int:
    return db.execute(LEFT).fetchone()[0]


def worker_processes(dsn: str) -> int:
    """Processes of benchmarks on this database that still live."""
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile, or is somebody else's
            if b"howdah.bench." in (folder / "cmdline").read_bytes():
                found += (
                    f"HOWDAH_DATABASE_URL={dsn}\0".encode() in (folder / "environ").read_bytes()
                )
    return found


def look_through(ran, db, mode, expected=None):
    """One document with the mode's figures, and nothing left of what made them."""
    assert ran.code == 0, ran.err
    assert ran.json["mode"] == mode
    assert {"rounds", *ran.json["parameters"]} == set(ran.json["parameters"])
    assert set(ran.json["figures"]) >= (expected or EXPECTED[mode])
    assert left(db) == 0


@pytest.mark.slow
def test_rounds_can_be_compared_with_those_that_nobody_holds_up(run, db):
    ran = run("bench", "snapshot", "--jobs=40", "--rounds=6", "--hold=none", "--json")

    look_through(ran, db, "snapshot", {"none: round 6 / round 1", "none: last 2 rounds / first 2"})


FOR_PROOFS = {"snapshot", "backlog"}  # they take ten seconds each


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(mode, marks=pytest.mark.slow) if mode in FOR_PROOFS else mode
        for mode in SMALL
        if mode != "drain"  # whose document is read in full below
    ],
)
def test_each_mode_gives_one_document_and_leaves_nothing(run, db, mode):
    look_through(run("bench", mode, "--rounds=1", *SMALL[mode], "--json"), db, mode)


def test_the_document_says_where_it_was_measured(howdah, db):
    ran = howdah("bench", "drain", *SMALL["drain"], "--rounds=1", "--json")

    look_through(ran, db, "drain")
    document = ran.json
    assert set(document) == {
        "durable", "figures", "load", "machine", "mode", "notes", "parameters", "server",
        "versions", "warm_up",
    }  # fmt: skip
    assert set(document["versions"]) == {"howdah", "python", "asyncpg", "uvloop", "postgresql"}
    assert document["server"]["fsync"] == "off"
    assert document["durable"] is False
    assert document["machine"]["cores"] > 0
    drain = document["figures"]["drain"]
    assert (drain["unit"], len(drain["rounds"])) == ("jobs/s", 1)
    assert document["figures"]["workers at work"]["value"] in {1, 2}
    assert document["figures"]["dead rows, claim to finish"]["value"] == pytest.approx(2, abs=0.5)
    assert document["figures"]["WAL, claim to finish"]["value"] > 300
    assert document["figures"]["server's CPU, claim to finish"]["value"] > 0


def test_figures_are_a_table_for_people_and_the_rest_is_on_stderr(run):
    ran = run("bench", "latency", *SMALL["latency"], "--rounds=2")

    assert ran.out.splitlines()[0].split() == ["figure", "median", "unit", "least", "most"]
    assert "start p99" in ran.out
    assert "round 2 of 2" in ran.err
    assert "does not wait for its disk" in ran.err
    assert "warm-up: 5 jobs" in ran.err


@pytest.mark.parametrize(("number", "command"), [(SIGINT, BUSY), (SIGTERM, CALM)])
def test_a_signal_ends_it_and_the_schema_and_the_workers_are_gone(howdah, db, dsn, number, command):
    running = howdah.start(*command)
    running.until("round 2 of")

    running.signal(number)
    ran = running.ended()

    assert ran.code == 130
    assert left(db) == 0
    assert worker_processes(dsn) == 0


@pytest.mark.slow
def test_what_a_killed_one_has_left_the_next_one_drops(howdah, run, db, dsn):
    running = howdah.start(*CALM)
    running.until("round 2 of")
    while not worker_processes(dsn):
        time.sleep(0.01)
    running.signal(SIGKILL)
    running.ended()
    deadline = time.monotonic() + 10
    while worker_processes(dsn) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert worker_processes(dsn) == 0
    assert left(db) == 2

    ran = run(*LATENCY)

    assert ran.code == 0
    assert left(db) == 0


@pytest.mark.slow
def test_one_that_runs_is_left_alone_by_the_next(howdah, run, db):
    running = howdah.start(*CALM)
    running.until("round 1 of")

    run(*LATENCY)

    assert left(db) == 2
    running.signal(SIGINT)
    running.ended()
    assert left(db) == 0


def test_production_is_refused_unless_one_says_yes(run, db, monkeypatch):
    monkeypatch.setenv("HOWDAH_ENV", "production")
    refused = run(*LATENCY)
    allowed = run(*LATENCY, "--yes")

    assert refused.code == 5
    assert "production" in refused.err
    assert "--yes" in refused.err
    assert allowed.code == 0
    assert left(db) == 0


def test_a_database_with_workers_is_refused_too(run, db):
    db.execute("select howdah.heartbeat(gen_random_uuid(), name => 'somebody')")

    refused = run(*LATENCY)

    assert refused.code == 5
    assert "1 workers alive" in refused.err


def test_a_database_without_our_schema_will_do(run, empty_dsn, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", empty_dsn)

    ran = run(*LATENCY)

    assert ran.code == 0
    with psycopg.connect(empty_dsn) as connection:
        assert left(connection) == 0


async def test_workers_that_cannot_start_are_told_with_their_last_words(settings):
    connection = await asyncpg.connect(settings.database_url)
    nowhere = replace(settings, database_url="postgresql://u@127.0.0.1:1/nothing")

    with pytest.raises(HowdahError, match="did not start") as raised:
        async with Staff(connection, nowhere, 1):
            pass

    assert "127.0.0.1" in str(raised.value)
    await connection.close()


def test_a_great_backlog_is_no_smaller_than_the_small_one(run):
    ran = run("bench", "backlog", "--backlog=10", "--small=20")

    assert ran.code == 2
    assert "smaller" in ran.err


@pytest.mark.parametrize(
    ("value", "text"), [(31250.4, "31,250"), (0.8531, "0.853"), (12.44, "12.4"), (0, "0")]
)
def test_figures_are_written_for_people(value, text):
    assert written(value) == text
