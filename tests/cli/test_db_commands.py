"""`howdah db …` on a configured database."""

from __future__ import annotations

import os
import subprocess

import psycopg
import pytest

from howdah import migrate, sql
from howdah.cli import database
from howdah.connect import open_connection
from howdah.errors import HowdahError
from howdah.migrate import NEWEST

ALL = len(sql.migrations())


@pytest.fixture
def on_empty(run, empty_dsn, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", empty_dsn)
    return run


def test_migrate_installs_and_then_has_nothing_to_do(on_empty, monkeypatch):
    """J-10."""
    dry = on_empty("db", "migrate", "--dry-run", "--json").json
    before = on_empty("db", "status", "--json")
    with monkeypatch.context() as patched:  # a statement may take longer than others get
        patched.setattr(database, "open_connection", _in_a_hurry)
        first = on_empty("db", "migrate", "--json").json
    second = on_empty("db", "migrate", "--json").json
    after = on_empty("db", "status", "--json")

    assert len(dry["applied"]) == len(first["applied"]) == ALL
    assert dry["dry_run"] is True
    assert second["applied"] == []
    assert (before.code, before.json["version"], before.json["current"]) == (3, 0, False)
    assert (after.code, after.json["version"], after.json["current"]) == (0, NEWEST, True)


def _in_a_hurry(settings, *, answer_within=30.0, **others):
    """A connection on which what may take 30 s has 10 ms."""
    return open_connection(settings, answer_within=answer_within / 3000, **others)


def test_a_second_schema_name_is_a_second_installation(on_empty, monkeypatch):
    monkeypatch.setenv("HOWDAH_SCHEMA", "jobs")

    migrated = on_empty("db", "migrate")
    stored = on_empty("enqueue", "t")
    checked = on_empty("db", "check")  # definitions are full of that word
    monkeypatch.delenv("HOWDAH_SCHEMA")

    assert (migrated.code, stored.code) == (0, 0)
    assert (checked.code, checked.out) == (0, "")
    assert on_empty("jobs", "list").code == 3


def test_sql_is_what_psql_can_run(on_empty, empty_dsn):
    script = on_empty("db", "sql").out

    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(script)

    assert on_empty("db", "status").code == 0


def test_sql_drops_what_an_older_version_had_and_grants_what_is_new(run, own_dsn, monkeypatch):
    role = f"role_{os.urandom(4).hex()}"
    monkeypatch.setenv("DATABASE_URL", own_dsn)
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        connection.execute(f"create role {role}")
        run("db", "grant", role, "--as", "viewer")
        connection.execute("drop view howdah.workflows")
        connection.execute(
            "create function howdah.why(id uuid, words int default 9) returns text "
            "language sql as 'select null'"
        )

        with pytest.raises(psycopg.errors.RaiseException, match=f"at {NEWEST}, .* at 3"):
            connection.execute(run("db", "sql", "--from", "3").out)
        connection.execute("rollback")
        connection.execute(run("db", "sql", "--from", str(NEWEST)).out)
        checked = run("db", "check")
        connection.execute(f"drop owned by {role}; drop role {role}")

    assert (checked.code, checked.out) == (0, "")


def test_sql_needs_no_database(run, monkeypatch):
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("HOWDAH_ENV", "production")

    ran = run("db", "sql", "--from", "1")
    beyond = run("db", "sql", "--from", "999")

    assert (ran.code, beyond.code) == (0, 2)
    assert "0001_" not in ran.out
    assert ran.err == ""


def test_check_says_what_differs_and_ends_with_3(run, own_dsn, monkeypatch):
    role = f"role_{os.urandom(4).hex()}"
    monkeypatch.setenv("DATABASE_URL", own_dsn)
    fine = run("db", "check", "--json")
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        connection.execute(f"create role {role}")
        run("db", "grant", role, "--as", "viewer")
        connection.execute("drop function howdah.backlog; drop view howdah.pipelines")
        connection.execute("create function howdah.why(int) returns int language sql as 'select 1'")

        changed = run("db", "check")
        connection.execute(f"drop owned by {role}; drop role {role}")

    assert (fine.code, fine.json["differences"]) == (0, [])
    assert changed.code == 3
    assert "function howdah.backlog(queue text, cap integer) is missing" in changed.out
    assert "function howdah.why(integer) is not part of this version" in changed.out
    assert "granted as viewer, lacks: grant execute on function howdah.backlog" in changed.out
    assert "granted as viewer, lacks: grant select on" in changed.out


def test_an_upgrade_that_was_cut_off_before_its_functions_is_not_current(run, own_dsn, monkeypatch):
    later = sql.Migration(number=NEWEST + 1, name="later", text="select 1;")
    steps = [*sql.migrations(), later]
    monkeypatch.setenv("DATABASE_URL", own_dsn)
    monkeypatch.setattr(sql, "migrations", lambda: steps)
    monkeypatch.setattr(migrate, "NEWEST", later.number)
    with monkeypatch.context() as patched:
        patched.setattr(migrate, "_define", _cut_off)
        cut_off = run("db", "migrate")
    between = run("db", "status", "--json")

    again = run("db", "migrate")
    after = run("db", "status", "--json")

    assert (cut_off.code, between.code, again.code, after.code) == (1, 3, 0, 0)
    assert (between.json["version"], between.json["current"]) == (NEWEST, False)
    assert (after.json["version"], after.json["current"]) == (later.number, True)


async def _cut_off(*_):
    raise HowdahError("cut off")


def test_url_is_the_configured_one_without_its_password(run, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:s3cret@db.example/x")

    assert run("db", "url").out == "postgresql://u:***@db.example/x\n"


def test_two_migrations_at_once_are_one(howdah, empty_dsn):
    both = [howdah.start("db", "migrate", "--json", DATABASE_URL=empty_dsn) for _ in range(2)]

    ended = [process.ended() for process in both]

    assert [ran.code for ran in ended] == [0, 0]
    assert sum(len(ran.json["applied"]) for ran in ended) == ALL


def test_the_script_goes_through_a_pipe_to_psql(howdah, empty_dsn):
    script = howdah("db", "sql").out
    try:
        psql = subprocess.run(
            ["psql", "-qX", "-v", "ON_ERROR_STOP=1", empty_dsn],
            input=script, text=True, capture_output=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("there is no psql on this machine")

    assert psql.returncode == 0, psql.stderr


@pytest.mark.parametrize("kind", ["producer", "operator"])
def test_check_finds_all_that_was_granted_and_says_what_is_lacking(run, db, kind):
    role = f"role_{os.urandom(4).hex()}"
    db.execute(f"create role {role}")

    granted = run("db", "grant", role, "--as", kind)
    well = run("db", "check")
    db.execute(f"revoke execute on all functions in schema howdah from {role}")
    lacking = run("db", "check")
    db.execute(f"drop owned by {role}; drop role {role}")

    assert (granted.code, well.code, well.out) == (0, 0, "")
    assert lacking.code == 3
    assert f"role {role}, granted as {kind}, lacks: grant execute on function" in lacking.out


def test_whoever_uses_the_schema_sees_its_version_and_is_told_what_is_the_owners(
    run, db, dsn, monkeypatch
):
    role = f"role_{os.urandom(4).hex()}"
    db.execute(f"create role {role} login")
    run("db", "grant", role, "--as", "viewer")
    monkeypatch.setenv("DATABASE_URL", dsn.replace("//howdah@", f"//{role}@"))

    status = run("db", "status", "--json")
    targets = run("http", "allowed", "--json")
    refused = [run("db", "check"), run("db", "grant", role, "--as", "worker")]
    db.execute(f"drop owned by {role}; drop role {role}")

    assert (status.code, status.json["current"]) == (0, True)
    assert (targets.code, targets.json) == (0, [])
    assert [ran.code for ran in refused] == [5, 5]
    assert all("only the owner" in ran.err and "howdah db migrate" in ran.err for ran in refused)
