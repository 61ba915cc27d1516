"""`howdah enqueue`: what it stores, what it prints, and waiting for the end."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

import pytest

from howdah import jobs, queues, store
from howdah.client import on


def test_it_prints_the_id_and_nothing_else_on_stdout(run, db):
    ran = run("enqueue", "mail.send", '{"to": "ada@example.org"}')

    job = on(db).run(jobs.get(UUID(ran.out.strip())))
    assert ran.code == 0
    assert (job.task, job.args, job.queue, job.state) == (
        "mail.send", '{"to": "ada@example.org"}', "default", "ready",
    )  # fmt: skip


def test_each_option_reaches_the_job(run, db):
    ran = run(
        "enqueue", "t", "--queue", "mail", "--priority", "-3", "--in", "1h", "--max-attempts", "7",
        "--timeout", "90s", "--unique", "one", "--tag", "blue", "--json",
    )  # fmt: skip

    job = on(db).run(jobs.get(UUID(ran.json["id"])))
    assert (job.queue, job.priority, job.max_attempts, job.state) == ("mail", -3, 7, "scheduled")
    assert (job.timeout.total_seconds(), job.unique_key, job.tags) == (90, "one", ["blue"])


def test_the_same_unique_key_gives_the_same_id(run):
    first = run("enqueue", "t", "--unique", "k")
    second = run("enqueue", "t", "--unique", "k")

    assert first.out == second.out


def test_arguments_come_from_stdin_too(run, db):
    ran = run("enqueue", "t", "-", stdin='{"text": "grüße"}'.encode())

    assert on(db).run(jobs.get(UUID(ran.out.strip()))).args == '{"text": "grüße"}'


def test_a_megabyte_travels_unchanged_from_stdin(run, db):
    given = {"text": 'it\'s "ü" \\ ' + "x" * 1_000_000}

    ran = run("enqueue", "t", "-", stdin=json.dumps(given).encode())

    assert json.loads(on(db).run(jobs.get(UUID(ran.out.strip()))).args) == given


def test_strict_wants_a_declared_task(run, db):
    unknown = run("enqueue", "work.add", "--strict")
    on(db).run(store.declare_tasks('[{"name": "work.add"}]'))
    known = run("enqueue", "work.add", "--strict")

    assert (unknown.code, known.code) == (4, 0)
    assert "work.add" in unknown.err


def test_the_configured_app_checks_the_arguments_and_gives_the_queue(howdah, db, project):
    (project / "howdah.toml").write_text('app = "sums:app"\n')

    bad = howdah("enqueue", "sums.add", '{"a": 1, "b": "two"}')
    good = howdah("enqueue", "sums.add", '{"a": 1, "b": 2}', "--strict")

    assert bad.code == 2
    assert "b:" in bad.err
    assert on(db).run(jobs.get(UUID(good.out.strip()))).queue == "sums"


def test_the_apps_task_gives_its_declared_options_and_the_command_line_wins(howdah, db, project):
    (project / "howdah.toml").write_text('app = "sums:app"\n')

    declared = howdah("enqueue", "sums.add", '{"a": 1, "b": 2}')
    said = howdah("enqueue", "sums.add", '{"a": 1, "b": 2}', "--max-attempts", "9")

    found = [on(db).run(jobs.get(UUID(ran.out.strip()))) for ran in (declared, said)]
    assert [(job.queue, job.max_attempts) for job in found] == [("sums", 2), ("sums", 9)]


def test_wait_prints_the_result(howdah):
    worker = howdah.start("worker", "-p1", "--import", "work")

    ran = howdah("enqueue", "work.add", '{"a": 1, "b": 2}', "--wait")
    as_json = howdah("enqueue", "work.add", '{"a": 1, "b": 2}', "--wait", "--json")

    assert (ran.code, ran.out) == (0, "3\n")
    assert (as_json.json["state"], as_json.json["result"]) == ("succeeded", 3)
    assert worker.process.poll() is None


def test_wait_for_a_job_that_fails_ends_with_1(howdah):
    howdah.start("worker", "-p1", "--import", "work")

    ran = howdah("enqueue", "work.fail", '{"message": "sour"}', "--max-attempts", "1", "--wait")

    assert (ran.code, ran.out) == (1, "")
    assert "ValueError: sour" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.slow
def test_wait_says_once_why_nothing_happens(howdah, db):
    on(db).run(queues.pause("sums"))
    waiting = howdah.start("enqueue", "work.add", '{"a": 1, "b": 2}', "-q", "sums", "--wait")
    waiting.until("still waiting: queue sums is paused")

    on(db).run(queues.resume("sums"))
    howdah.start("worker", "-p1", "--import", "work")
    ran = waiting.ended()

    assert (ran.code, ran.out) == (0, "3\n")
    assert ran.err.count("still waiting") == 1


@pytest.mark.slow
def test_wait_says_nothing_more_of_a_job_that_runs(howdah):
    howdah.start("worker", "-p1", "--import", "work").until("tasks    3")

    ran = howdah("enqueue", "work.wait", '{"seconds": 2.5}', "--wait")

    assert (ran.code, ran.out) == (0, "null\n")
    assert "still waiting" not in ran.err


def test_a_wait_that_is_too_long_ends_with_124_and_leaves_the_job(run, db):
    ran = run("enqueue", "work.add", '{"a": 1, "b": 2}', "--wait-timeout", "0.2")

    [job] = on(db).run(jobs.list(state="ready"))
    assert (ran.code, ran.out) == (124, "")
    assert f"job {job.id} has not ended in time; it goes on" in ran.err
    assert f"howdah jobs show {job.id}" in ran.err


@pytest.mark.parametrize("verb", ["show", "why", "retry", "cancel", "delete", "run-now"])
def test_a_job_that_is_not_there_ends_with_4(run, verb):
    ran = run("jobs", verb, str(uuid4()))

    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("error: there is no job")
