"""T16: a password is never taken from, nor put into, what other users of the machine can read.

What children's arguments and environments hold: tests/parent/test_watched.py and
tests/worker/test_processes.py::test_nothing_secret_is_in_a_process_s_arguments_or_environment.
"""

from __future__ import annotations

import psycopg
import pytest

SECRET = "s3cret-enough"
URL = f"postgresql://u:{SECRET}@127.0.0.1:1/db"
ARGUMENTS = {
    "in place of an app": ["worker", URL],
    "in place of a command": [URL],
    "in place of a task": ["enqueue", URL],
    "in place of an id": ["jobs", "show", URL],
    "behind an option that is none": ["--database-url", URL, "jobs", "list"],
    "as the value of an option that is none": ["jobs", "list", f"--database-url={URL}"],
    "as a module": ["worker", "--import", URL],
    "as SQLAlchemy writes it": ["doctor", f"postgresql+asyncpg://u:{SECRET}@h/db"],
    "in the URL's query": ["doctor", f"postgres://h/db?user=u&password={SECRET}"],
    "as keywords": ["worker", f"host=h user=u password={SECRET}"],
    "as an option": ["worker", f"--password={SECRET}"],
}


@pytest.mark.parametrize("args", ARGUMENTS.values(), ids=ARGUMENTS)
def test_t16_a_password_among_the_arguments_is_refused_and_not_repeated(run, dsn, args):
    ran = run(*args)

    assert ran.code == 2
    assert SECRET not in ran.out + ran.err
    assert "every user of this machine" in ran.err
    assert "hint: Put the URL into DATABASE_URL" in ran.err
    with psycopg.connect(dsn) as connection:
        assert connection.execute("select count(*) from howdah.jobs").fetchone() == (0,)


@pytest.mark.parametrize(
    "args",
    [
        ["enqueue", "t", '{"url": "postgresql://u:p@h/d", "password": "x"}'],
        ["enqueue", "t", "--tag", "postgresql://h/d"],
        ["enqueue", "password.reset", "--queue", "a=b"],
        ["jobs", "list", "--task", "password"],
    ],
    ids=str,
)
def test_t16_what_is_no_password_of_the_database_is_taken(run, args):
    assert run(*args).code == 0
