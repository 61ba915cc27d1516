"""stdout is data: tables on terminals, aligned text in pipes, JSON when asked."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from howdah.client import on
from howdah.job import Job, make_options

READING = [
    ["jobs", "list"], ["queues", "list"], ["workers", "list"], ["tasks", "list"], ["doctor"],
    ["config"], ["db", "status"], ["chores"],
]  # fmt: skip
ESCAPE = "\x1b"


@pytest.fixture
def some_jobs(db):
    for n in range(3):
        on(db).enqueue(Job(f"task_{n}", '{"n": 1}', make_options(queue="mail")))


@pytest.mark.parametrize("args", READING, ids=" ".join)
def test_where_nobody_looks_it_is_plain_text_without_colour(run, some_jobs, args):
    ran = run(*args)

    assert ran.code == 0
    assert ran.out
    assert ESCAPE not in ran.out + ran.err


@pytest.mark.parametrize("args", READING, ids=" ".join)
def test_with_json_it_is_one_document_and_nothing_else(run, some_jobs, args):
    ran = run(*args, "--json")

    assert ran.json is not None
    assert ran.err == ""


@pytest.mark.parametrize("args", READING, ids=" ".join)
def test_on_a_terminal_it_is_for_people(howdah, some_jobs, args):
    ran = howdah.on_terminal(*args)

    assert ran.code == 0
    assert ran.out.strip()


def test_a_terminal_gets_colour_unless_it_wants_none(howdah, some_jobs):
    coloured = howdah.on_terminal("jobs", "list")
    plain = howdah.on_terminal("jobs", "list", NO_COLOR="1")
    forced = howdah("jobs", "list", FORCE_COLOR="1")

    assert ESCAPE in coloured.out
    assert f"{ESCAPE}[3" not in plain.out
    assert ESCAPE in forced.out
    assert "task_2" in coloured.out


def test_json_cannot_steer_the_terminal_either_and_means_the_same(run, db):
    name = "evil\x9b2J\u202egpj\x7f ü"
    on(db).enqueue(Job(name, json.dumps({"n": name}, ensure_ascii=False)))

    ran = run("jobs", "list", "--json")

    assert not {"\x9b", "\u202e", "\x7f"} & {*ran.out}
    assert "ü" in ran.out
    assert [(job["task"], job["args"]) for job in ran.json] == [(name, {"n": name})]


def test_columns_are_aligned_in_a_pipe(run, some_jobs):
    header, *rows = run("jobs", "list").out.splitlines()

    at = header.index("task")
    assert sorted(row[at : at + 6] for row in rows) == ["task_0", "task_1", "task_2"]


def test_errors_go_to_stderr_and_stdout_stays_empty(howdah):
    ran = howdah("jobs", "show", "ffffffffffff")

    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("error: ")


def test_names_cannot_steer_the_terminal(howdah, db):
    db.execute(r"select howdah.enqueue(E'evil\x1b[2J\r', '{}', E'a\nb')")

    ran = howdah("jobs", "list")
    on_terminal = howdah.on_terminal("queues", "list", NO_COLOR="1")

    assert ESCAPE not in ran.out
    assert r"evil\x1b[2J\r" in ran.out
    assert len(ran.out.splitlines()) == 2
    assert r"a\nb" in on_terminal.out


def test_a_reader_that_has_seen_enough_is_no_error(howdah, db):
    on(db).enqueue_many([Job("t", "{}", make_options(tags=["x" * 100])) for _ in range(2000)])
    process = subprocess.Popen(
        [sys.executable, "-m", "howdah", "jobs", "list", "--limit", "2000", "--json"],
        cwd=howdah.folder, env=howdah.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()

    assert process.wait(30) == 0
    assert err == b""


def test_a_terminal_that_knows_no_unicode_is_no_error(howdah, db):
    db.execute("select howdah.enqueue('done ✓')")

    ran = howdah("jobs", "list", PYTHONIOENCODING="latin-1")

    assert ran.code == 0
    assert r"done \u2713" in ran.out


def test_a_full_disk_and_a_closed_stdout_are_told_without_a_traceback(howdah, some_jobs):
    command = f"{sys.executable} -m howdah jobs list"

    full = subprocess.run(
        f"{command} > /dev/full",
        shell=True,
        cwd=howdah.folder,
        env=howdah.env,
        capture_output=True,
        check=False,
    )
    closed = subprocess.run(
        f"{command} >&-",
        shell=True,
        cwd=howdah.folder,
        env=howdah.env,
        capture_output=True,
        check=False,
    )

    assert (full.returncode, closed.returncode) == (1, 0)
    assert full.stderr.startswith(b"error: [Errno 28]")
    assert b"Traceback" not in full.stderr + closed.stderr


@pytest.mark.parametrize("args", [["--help"], ["db", "sql"]], ids=" ".join)
def test_a_reader_that_never_looked_is_no_error(howdah, args):
    running = howdah.start(*args)
    running.process.stdout.close()

    running.process.wait(30)

    assert (running.process.returncode, running.process.stderr.read()) == (0, b"")
