"""`howdah enqueue TASK --jsonl FILE`: a job of each line, any number of them."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from pathlib import Path
from subprocess import PIPE, Popen

import pytest


def arguments(db, queue="default"):
    """The arguments of all ready jobs in the order in which they will be claimed."""
    found = db.execute(
        "select args from howdah.claim(array[%s], 10000) with ordinality order by ordinality",
        [queue],
    )
    return [row[0] for row in found]


def lines(count, start=0):
    return b"".join(b'{"n": %d}\n' % n for n in range(start, start + count))


def count(db):
    return db.execute("select count(*) from _howdah.job").fetchone()[0]


def test_each_line_becomes_a_job_in_their_order_and_the_count_is_printed(run, db, project):
    (project / "in.jsonl").write_bytes(lines(2500))

    ran = run("enqueue", "t", "--jsonl", "in.jsonl", "--queue", "q", "--priority", "3")

    assert (ran.code, ran.out) == (0, "2500\n")
    assert arguments(db, "q") == [{"n": n} for n in range(2500)]


def test_lines_come_from_stdin_and_the_count_as_json(run, db):
    ran = run("enqueue", "t", "--jsonl", "-", "--json", stdin=b'{"n": 0}\n\n  \n{"n": 1}')

    assert ran.json == {"enqueued": 2}
    assert arguments(db) == [{"n": 0}, {"n": 1}]


def test_an_empty_file_is_no_error(run, db):
    ran = run("enqueue", "t", "--jsonl", "-")

    assert (ran.code, ran.out, count(db)) == (0, "0\n", 0)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (b"[1]", "no JSON object"),
        (b'{"n": ', "no JSON"),
        (b'{"n": "\xff"}', "no JSON"),
        (b'{"n": "\\u0000"}', "NUL"),
        (b'{"n": NaN}', "no JSON"),
        (b'{"n": ' + b"[" * 64 + b"]" * 64 + b"}", "nested more than 64"),
        (b'{"n": "' + b"x" * 1048576 + b'"}', "at most 1048576"),
    ],
)
def test_a_bad_line_is_refused_by_its_number_and_the_batches_before_it_are_in(run, db, bad, says):
    ran = run("enqueue", "t", "--jsonl", "-", stdin=lines(1100) + b"\n" + bad + b"\n" + lines(5))

    assert (ran.code, ran.out) == (2, "")
    assert "line 1102: " in ran.err
    assert says in ran.err
    assert "1000 jobs before it are enqueued" in ran.err
    assert count(db) == 1000


def test_what_only_the_store_refuses_is_said_with_the_jobs_it_is_among(run, db):
    bad = b'{"n": "\\ud800"}'

    ran = run("enqueue", "t", "--jsonl", "-", stdin=lines(1000) + bad)

    assert ran.code == 2
    assert "1000 jobs before it are enqueued" in ran.err
    assert count(db) == 1000


def test_all_or_nothing_leaves_nothing_behind_a_bad_line(run, db):
    ran = run("enqueue", "t", "--jsonl", "-", "--all-or-nothing", stdin=lines(2000) + b"no")
    good = run("enqueue", "t", "--jsonl", "-", "--all-or-nothing", stdin=lines(2000))

    assert ran.code == 2
    assert "line 2001: " in ran.err
    assert "Nothing was enqueued" in ran.err
    assert (good.out, count(db)) == ("2000\n", 2000)


def test_the_apps_declaration_checks_each_line_and_gives_the_options(howdah, db, project):
    (project / "in.jsonl").write_text('{"a": 1, "b": 2}\n{"a": 1, "b": "two"}\n')

    ran = howdah("enqueue", "sums.add", "--jsonl", "in.jsonl", "--app", "sums:app")

    assert ran.code == 2
    assert "line 2: bad arguments for sums.add: b: " in ran.err
    assert "Nothing was enqueued" in ran.err
    assert count(db) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        ("{}", "--jsonl", "-"),
        ("--jsonl", "-", "--wait"),
        ("--jsonl", "-", "--unique", "k"),
        ("--all-or-nothing",),
        ("--jsonl", "missing.jsonl"),
    ],
)
def test_what_does_not_go_together_is_refused(run, db, wrong):
    ran = run("enqueue", "t", *wrong)

    assert (ran.code, ran.out, count(db)) == (2, "", 0)


def test_strict_wants_a_declared_task_before_it_stores_anything(run, db):
    ran = run("enqueue", "t", "--jsonl", "-", "--strict", stdin=lines(3))

    assert (ran.code, count(db)) == (4, 0)


def test_a_terminal_sees_a_bar_and_a_pipe_sees_nothing(howdah, project):
    (project / "in.jsonl").write_bytes(lines(1500))

    shown = howdah.on_terminal("enqueue", "t", "--jsonl", "in.jsonl")
    piped = howdah("enqueue", "t", "--jsonl", "in.jsonl")

    assert "1,500 jobs" in shown.out
    assert "100 %" in shown.out
    assert (piped.out, "%" in piped.err) == ("1500\n", False)


@pytest.mark.parametrize(("option", "kept"), [((), 2000), (("--all-or-nothing",), 0)])
def test_ctrl_c_says_how_many_are_in(howdah, db, until_drawn, option, kept):
    command = [sys.executable, "-m", "howdah", "enqueue", "t", "--jsonl", "-", *option]
    with Popen(
        command, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=howdah.folder, env=howdah.env
    ) as process:  # the end of its input ends it, whatever happens here
        assert process.stdin is not None
        process.stdin.write(lines(2000))  # two batches, and the next line is waited for
        process.stdin.flush()
        until_drawn(2000)
        process.send_signal(signal.SIGINT)
        process.wait(30)  # its input is open still
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out) == (130, b"")
    assert (b"2000 jobs are enqueued" if kept else b"nothing was enqueued") in err
    assert b"Traceback" not in err
    assert count(db) == kept


@pytest.fixture
def until_drawn(db):
    """Waits until so many numbers have been drawn, committed or not, since the test began."""

    def last():
        return db.execute("select coalesce(pg_sequence_last_value('_howdah.seq'), 0)").fetchone()[0]

    before = last()

    def until_drawn(number):
        deadline = time.monotonic() + 30
        while last() < before + number:
            assert time.monotonic() < deadline, "they were never drawn"
            time.sleep(0.01)

    return until_drawn


@pytest.mark.slow
def test_two_hundred_thousand_lines_take_no_more_memory_than_two_thousand(howdah, db, project):
    few, many = project / "few.jsonl", project / "many.jsonl"
    few.write_bytes(lines(2_000))
    many.write_bytes(b"".join(lines(20_000, n * 20_000) for n in range(10)))

    memory = [peak(howdah, file) for file in (few, many)]

    assert count(db) == 202_000
    assert memory[1] < memory[0] + 10 * 1024  # KiB


def peak(howdah, file: Path) -> int:
    """The most memory that enqueueing the file took, in KiB."""
    child = os.fork()
    if child == 0:
        os.chdir(howdah.folder)
        os.execve(
            sys.executable,
            [sys.executable, "-m", "howdah", "enqueue", "t", "--jsonl", str(file)],
            howdah.env,
        )
    _, status, used = os.wait4(child, 0)
    assert status == 0
    assert isinstance(used, resource.struct_rusage)
    return used.ru_maxrss
