"""Each kind of bad input gets an exit code and a sentence, and nothing is stored."""

from __future__ import annotations

import psycopg
import pytest

from howdah import sql
from howdah.migrate import NEWEST

BAD_ARGUMENTS = {
    "no JSON": "{",
    "no object": "[1]",
    "a number": "7",
    "NUL in a text": r'{"a": "x\u0000y"}',
    "a lone surrogate": r'{"a": "\ud800"}',
    "bytes that are no UTF-8": '{"a": "\udcff"}',
    "over 1 MiB": '{"a": "' + "x" * 1_048_577 + '"}',
    "65 deep": '{"a":' * 65 + "1" + "}" * 65,
    "100,000 deep": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "not a number": '{"a": NaN}',
    "infinity": '{"a": Infinity}',
}
BAD_OPTIONS = {
    "a moment without a zone": ["--at", "2030-01-01T00:00:00"],
    "an infinite moment": ["--at", "infinity"],
    "an impossible moment": ["--at", "2030-02-30T00:00:00Z"],
    "a moment and a delay": ["--at", "2030-01-01T00:00:00Z", "--in", "5m"],
    "an infinite delay": ["--in", "inf"],
    "a negative delay": ["--in", "-5"],
    "no delay": ["--in", "soon"],
    "a zero timeout": ["--timeout", "0"],
    "a negative timeout": ["--timeout", "-1"],
    "a priority over int4": ["--priority", "2147483648"],
    "a priority under int4": ["--priority", "-2147483649"],
    "no priority": ["--priority", "high"],
    "no attempts": ["--max-attempts", "0"],
    "a queue that is a pattern": ["--queue", "mail*"],
    "an empty queue": ["--queue", ""],
    "a long unique key": ["--unique", "k" * 201],
    "an empty unique key": ["--unique", ""],
    "a queue that is no text": ["--queue", "\udcff"],
}


def _count(db: psycopg.Connection) -> int:
    return db.execute("select count(*) from howdah.jobs").fetchone()[0]


@pytest.mark.parametrize("text", BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_arguments_are_refused_with_2(run, db, text):
    ran = run("enqueue", "t", text)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert len(ran.err) < 1000
    assert _count(db) == 0


@pytest.mark.parametrize("options", BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_bad_options_are_refused_with_2(run, db, options):
    ran = run("enqueue", "t", *options)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert _count(db) == 0


@pytest.mark.parametrize("task", ["", "a*", "x" * 121, "nul\x00", "\udcff"])
def test_bad_task_names_are_refused_with_2(run, db, task):
    ran = run("enqueue", task)

    assert ran.code == 2
    assert _count(db) == 0


@pytest.mark.parametrize(
    "args",
    [
        ["jobs", "list", "--state", "sleeping"],
        ["jobs", "list", "--limit", "0"],
        ["jobs", "list", "--before", "x"],
        ["jobs", "list", "--older", "yesterday"],
        ["jobs", "show", "nonsense"],
        ["jobs", "retry"],
        ["jobs", "retry", "--state", "sleeping", "--yes"],
        ["jobs", "cancel", "0", "--queue", "a"],
        ["queues", "pause", "a*"],
        ["queues", "pause", ""],
        ["workers", "drain"],
        ["workers", "kill", "nonsense"],
        ["workers", "kill", "--now"],
        ["workers", "kill", "--all", "--host", "h"],
        ["workers", "status", "abc"],
        ["workers", "list", "--all", "--name", "a"],
        ["chores", "dishes"],
        ["db", "grant", "somebody", "--as", "king"],
        ["worker", "--slots", "0", "--import", "work"],
        ["worker", "--import", "work", "-q", "a:0", "--burst"],
        ["worker", "--import", "work", "-q", "", "--burst"],
        ["worker", "--import", "no_such_module"],
        ["worker", "os:path"],
        ["worker"],
        ["demo", "/no/such/folder"],
        ["jobs", "list", "--nonsense"],
    ],
    ids=" ".join,
)
def test_bad_usage_is_refused_with_2_and_a_hint(run, args):
    ran = run(*args)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert "hint: " in ran.err


def test_a_wrong_password_is_refused_with_5_and_not_shown(run, dsn, db, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", dsn.replace("howdah@", "nobody_here:s3cret@"))

    ran = run("jobs", "list")

    assert ran.code == 5
    assert "s3cret" not in ran.err
    assert "nobody_here" in ran.err


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret@127.0.0.1:1/db",
        "postgresql://u:s3cret@127.0.0.1:port/db",
        "postgresql://u:a/s3cret@127.0.0.1/db",
        "postgresql://127.0.0.1:1/db?password=s3cret",
        "mysql://u:s3cret@127.0.0.1/db",
        "postgresql://u:s3cret@no-such-host.invalid/db",
        "s3cret",
    ],
)
@pytest.mark.parametrize(
    "args", [["jobs", "list"], ["config"], ["doctor"], ["db", "url"]], ids=" ".join
)
def test_no_database_is_3_and_its_password_is_never_shown(run, monkeypatch, url, args):
    if url == "s3cret" and args != ["jobs", "list"]:
        pytest.skip("that is no URL with a password in it")
    monkeypatch.setenv("DATABASE_URL", url)

    ran = run(*args)

    assert ran.code == {"jobs": 3, "config": 0, "doctor": 1, "db": 0}[args[0]]
    if url != "s3cret":
        assert "s3cret" not in ran.out + ran.err


def test_a_database_that_does_not_exist_is_3(run, dsn, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", dsn.replace("/test_", "/no_such_"))

    ran = run("queues", "list")

    assert ran.code == 3
    assert "no_such_" in ran.err


@pytest.mark.parametrize(
    "args",
    [
        ["jobs", "list"],
        ["enqueue", "t"],
        ["queues", "list"],
        ["worker", "--import", "work"],
        ["demo", "."],
    ],
    ids=" ".join,
)
def test_a_missing_schema_is_3_with_what_to_run(run, empty_dsn, monkeypatch, args):
    monkeypatch.setenv("DATABASE_URL", empty_dsn)

    ran = run(*args)

    assert ran.code == 3
    assert "hint: Run: howdah db migrate" in ran.err


def test_a_schema_that_is_too_old_is_3(run, own_dsn, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", own_dsn)
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        connection.execute("delete from _howdah.migration where number = %s", [NEWEST])

    ran = run("enqueue", "t")

    assert ran.code == 3
    assert f"is at {sql.migrations()[-2].number}, this version needs {NEWEST}" in ran.err
    assert "hint: Run: howdah db migrate" in ran.err


@pytest.mark.parametrize("args", [["enqueue", "t"], ["db", "migrate"]], ids=" ".join)
def test_a_schema_that_is_too_new_is_3(run, own_dsn, monkeypatch, args):
    monkeypatch.setenv("DATABASE_URL", own_dsn)
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        connection.execute("insert into _howdah.migration (number, name) values (9999, 'later')")

    ran = run(*args)

    assert ran.code == 3
    assert "9999" in ran.err
    assert "Upgrade the howdah package" in ran.err


@pytest.mark.parametrize(
    "args",
    [["enqueue", "t"], ["queues", "pause", "q"], ["db", "migrate"], ["worker", "--import", "work"]],
    ids=" ".join,
)
def test_a_read_only_server_is_5(run, dsn, monkeypatch, args):
    monkeypatch.setenv("DATABASE_URL", f"{dsn}&options=-c%20default_transaction_read_only%3Don")

    ran = run(*args)

    assert ran.code == 5
    assert "read-only" in ran.err


def test_reading_from_a_read_only_server_is_fine(run, dsn, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", f"{dsn}&options=-c%20default_transaction_read_only%3Don")

    assert run("jobs", "list").code == 0


def test_a_role_without_a_grant_is_refused_with_5(run, own_dsn, monkeypatch):
    role = "cli_nobody"
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        connection.execute(f"drop role if exists {role}; create role {role} login")
        monkeypatch.setenv("DATABASE_URL", own_dsn.replace("howdah@", f"{role}@"))
        before = run("enqueue", "t")
        monkeypatch.setenv("DATABASE_URL", own_dsn)
        granted = run("db", "grant", role, "--as", "producer")
        monkeypatch.setenv("DATABASE_URL", own_dsn.replace("howdah@", f"{role}@"))
        enqueued, paused = run("enqueue", "t"), run("queues", "pause", "q")
        connection.execute(f"drop owned by {role}; drop role {role}")

    assert (before.code, granted.code, enqueued.code, paused.code) == (5, 0, 0, 5)


def test_granting_to_nobody_is_4(run):
    ran = run("db", "grant", "no such role", "--as", "viewer")

    assert ran.code == 4
