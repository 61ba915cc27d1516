"""`howdah worker`: apps and modules, bursts, signals, logs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from signal import SIGINT, SIGTERM
from uuid import UUID

import pytest

from howdah import jobs, store
from howdah.client import on
from howdah.job import Job


@pytest.fixture
def door(db):
    return on(db)


def _enqueue(door, task, args="{}"):
    return door.enqueue(Job(task, args))


def _state(door, job_id: UUID):
    return door.run(jobs.get(job_id)).state


def test_a_module_of_plain_functions_is_enough(howdah, door):
    job_id = _enqueue(door, "work.add", '{"a": 1, "b": 2}')

    ran = howdah("worker", "--import", "work", "--burst")

    assert ran.code == 0
    assert door.run(jobs.get(job_id)).result == "3"
    assert [task.name for task in door.run(store.tasks())] == ["work.add", "work.fail", "work.wait"]


def test_an_app_is_named_or_configured(howdah, door, project):
    """J-10, M-12."""
    named = _enqueue(door, "sums.add", '{"a": 1, "b": 2}')
    first = howdah("worker", "sums:app", "--burst")
    configured = _enqueue(door, "sums.add", '{"a": 1, "b": 2}')
    (project / "pyproject.toml").write_text('[tool.howdah]\napp = "sums:app"\n')
    second = howdah("worker", "--burst")

    assert (first.code, second.code) == (0, 0)
    assert (_state(door, named), _state(door, configured)) == ("succeeded", "succeeded")


def _run(howdah, project, *program):
    subprocess.run(
        [sys.executable, *program], cwd=project, env=howdah.env, check=True, capture_output=True
    )


def test_a_script_enqueues_for_workers_that_import_it(howdah, project):
    with (project / "sums.py").open("a") as script:
        script.write("if __name__ == '__main__':\n    add.enqueue_sync(1, 2)\n")
    _run(howdah, project, "sums.py")
    _run(howdah, project, "-m", "sums")

    ran = howdah("worker", "-p1", "sums:app", "--burst")

    assert ran.err.count("✓ sums.add") == 2


def test_the_processes_of_a_program_find_its_app_however_it_was_run(howdah, door, project):
    program = (
        "from howdah import App\napp = App()\n"
        "@app.task(executor='process')\ndef apart():\n    return __name__\n"
        "if __name__ == '__main__':\n    app.run_worker(burst=True)\n"
    )
    (project / "lib").mkdir()
    for file in ("program.py", "lib/deep.py"):
        (project / file).write_text(program)
    as_script, as_module = _enqueue(door, "program.apart"), _enqueue(door, "lib.deep.apart")
    _run(howdah, project, "program.py")
    _run(howdah, project, "-m", "lib.deep")

    assert _state(door, as_script) == "succeeded"
    assert _state(door, as_module) == "succeeded"


def test_a_module_with_an_apps_tasks_does_not_double_them(howdah, door):
    ran = howdah("worker", "-p1", "--import", "sums", "--burst")

    declared = door.run(store.tasks())
    assert ran.code == 0
    assert [(task.name, task.queue) for task in declared] == [("sums.add", "sums")]


def test_a_module_adds_its_functions_to_an_app(howdah, door):
    ran = howdah("worker", "-p1", "sums:app", "--import", "work", "--burst")

    assert ran.code == 0
    assert {task.name for task in door.run(store.tasks())} == {
        "sums.add", "work.add", "work.fail", "work.wait",
    }  # fmt: skip


def test_an_app_that_breaks_says_where(howdah, project):
    (project / "broken.py").write_text("x = 1\nraise RuntimeError('sour')\n")

    ran = howdah("worker", "broken:app")

    assert ran.code == 2
    assert "RuntimeError: sour" in ran.err
    assert "broken.py, line 2" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("sums.py:app", ["error: sums.py is a file", "Write sums."]),
        ("./sums", ["error: ./sums is a file", "Write sums."]),
        ("lib/deep.py:app", ["error: lib/deep.py is a file", "Write lib.deep."]),
        ("../other.py:app", ["error: ../other.py is a file", "Go to .. and write other."]),
        ("nowhere.py:app", ["there is no file nowhere.py", "yourpackage.module:app"]),
        ("lib/none:app", ["there is no file lib/none.py", "yourpackage.module:app"]),
        ("sums:ap", ["sums has no ap", "It holds sums:app."]),
        ("sour:app", ["ZeroDivisionError", "/sour.py, line 2"]),
        ("crooked:app", ["SyntaxError", "/crooked.py, line 2: def f(:"]),
        ("twice:app", ["'twice.f' is declared already", "/twice.py, line 3\n", "py, line 6."]),
    ],
)
def test_an_app_that_cannot_be_had_says_what_to_type(run, project, app, said):
    (project / "lib").mkdir()
    (project / "lib" / "deep.py").touch()
    (project.parent / "other.py").touch()
    (project / "sour.py").write_text("x = 1\n1 / 0")
    (project / "crooked.py").write_text("x = 1\ndef f(:\n")
    declared = "@app.task\ndef f():\n    pass\n"
    (project / "twice.py").write_text(f"from howdah import App\napp = App()\n{declared * 2}")

    ran = run("worker", app)

    assert ran.code == 2
    assert [words for words in said if words not in ran.err] == []
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("where", "code", "last"),
    [("before", 1, "hint: Its traceback stands above."), ("after", 0, " stopped")],
)
def test_a_lifespan_that_breaks_says_where_in_the_users_own_code(
    howdah, project, where, code, last
):
    lines = ["@contextlib.asynccontextmanager", "async def opened(_):", "    yield"]
    lines.insert(2 if where == "before" else 3, "    raise OSError('redis is away')")
    app = ["import contextlib, howdah", *lines, "app = howdah.App(lifespan=opened)"]
    (project / "living.py").write_text("\n".join(app))

    ran = howdah("worker", "living:app", "-p", "1", "--burst")

    assert ran.code == code
    assert "the app's lifespan broke: OSError: redis is away" in ran.err
    assert ran.err.rstrip().endswith(last)
    assert [line for line in ran.err.splitlines() if line.startswith("  File")] == [
        f'  File "{project / "living.py"}", line {4 if where == "before" else 5}, in opened'
    ]


def test_only_the_named_queues_are_worked(howdah, door, db):
    mail = UUID(
        str(
            db.execute("select howdah.enqueue('work.add', '{\"a\":1,\"b\":1}', 'mail')").fetchone()[
                0
            ]
        )
    )
    other = _enqueue(door, "work.add", '{"a": 1, "b": 1}')

    howdah("worker", "-p1", "--import", "work", "-q", "m*:2", "--burst")

    assert (_state(door, mail), _state(door, other)) == ("succeeded", "ready")


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_the_first_signal_lets_jobs_end(howdah, door, number):
    """D-14, M-21, X-05, MQ-11."""
    job_id = _enqueue(door, "work.wait", '{"seconds": 1}')
    worker = howdah.start("worker", "--import", "work")
    worker.until("tasks    3")
    _until_running(door, job_id)

    worker.signal(number)
    ran = worker.ended()

    assert ran.code == 0
    assert f"stopping ({number.name})" in ran.err  # it may be claimed and not yet begun
    assert "✓ work.wait" in ran.err
    assert _state(door, job_id) == "succeeded"


def test_the_second_signal_hands_them_back(howdah, door):
    """M-21, X-05."""
    job_id = _enqueue(door, "work.wait", '{"seconds": 60}')
    worker = howdah.start("worker", "--import", "work")
    worker.until("tasks    3")
    _until_running(door, job_id)

    worker.signal(SIGTERM)
    worker.until("stopping (SIGTERM)")
    worker.signal(SIGINT)
    sent = time.monotonic()
    ran = worker.ended()

    assert ran.code == 0
    assert time.monotonic() - sent < 10  # long before its time to end is over
    assert "handed back 1 job" in ran.err
    assert _state(door, job_id) == "ready"


def test_a_signal_while_it_connects_ends_it(alone, silent_server):
    worker = alone.start("worker", "--import", "work", DATABASE_URL=silent_server.url)
    silent_server.accept()

    worker.signal(SIGTERM)

    assert worker.ended().code == 0


def test_no_database_at_start_is_3(alone):
    ran = alone("worker", "--import", "work", DATABASE_URL="postgresql://u:s3cret@127.0.0.1:1/x")

    assert ran.code == 3
    assert "s3cret" not in ran.err


def test_lost_connections_are_outlived(howdah, door, db):
    """M-19, PJ-15."""
    worker = howdah.start("worker", "-p1", "--import", "work")
    worker.until("tasks    3")

    db.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where application_name like 'howdah worker%' and datname = current_database()"
    )
    job_id = _enqueue(door, "work.add", '{"a": 1, "b": 2}')
    worker.until("✓ work.add")
    worker.signal(SIGTERM)
    ran = worker.ended()

    assert ran.code == 0
    assert _state(door, job_id) == "succeeded"


def test_log_lines_for_people_have_no_arguments_and_no_control_characters(howdah, door):
    _enqueue(door, "work.add", '{"a": 12345, "b": 2}')
    bad = door.enqueue(Job("work.fail", r'{"message": "x\u001b[2J\nforged"}'))
    door.run(jobs.cancel(bad)), door.run(jobs.delete(bad))
    db_bad = door.enqueue(Job("work.fail", r'{"message": "\u001b[2Jsour"}'))

    ran = howdah("worker", "-p1", "--import", "work", "--burst")

    assert "✓ work.add" in ran.err
    assert "12345" not in ran.err
    assert r"✗ work.fail" in ran.err
    assert r"ValueError: \x1b[2Jsour" in ran.err
    assert f"…{str(db_bad)[-12:]}" in ran.err
    assert "\x1b" not in ran.err


def test_a_failed_jobs_line_says_what_went_wrong_and_where_the_rest_is(howdah, door):
    job_id = door.enqueue(Job("work.fail", r'{"message": "no such city\nlook at the map"}'))

    ran = howdah("worker", "-p1", "--import", "work", "--burst")
    line = next(line for line in ran.err.splitlines() if "✗ work.fail" in line)
    where = line.rpartition("traceback: howdah ")[2]
    shown = howdah(*where.split())

    assert "  ValueError: no such city · again in " in line
    assert where == f"jobs show {str(job_id)[-12:]}"
    assert "look at the map" in shown.out
    assert "work.py" in shown.out


def test_the_banner_has_version_database_queues_and_tasks(howdah):
    url = howdah.env["DATABASE_URL"].replace("howdah@", "howdah:s3cret@")

    ran = howdah(
        "worker",
        "-p1",
        "--import",
        "work",
        "-q",
        "mail",
        "-c",
        "3",
        "--name",
        "ann",
        "--burst",
        DATABASE_URL=url,
    )

    assert "howdah 0.1.0 · worker ann" in ran.err
    assert "howdah:***@" in ran.err
    assert "s3cret" not in ran.err
    assert "queues   mail · slots 3" in ran.err
    assert "tasks    3: work.add, work.fail, work.wait" in ran.err


def test_logs_as_json_are_one_object_a_line(howdah, door):
    job_id = _enqueue(door, "work.add", '{"a": 1, "b": 2}')
    door.enqueue(Job("work.fail", "{}"))

    ran = howdah("worker", "-p1", "--import", "work", "--burst", "--log-format", "json")

    lines = [json.loads(line) for line in ran.err.splitlines()]
    events = {line["event"] for line in lines}
    done = next(line for line in lines if line.get("job_id") == str(job_id))
    assert events == {"worker_started", "attempt_finished", "worker_stopping", "worker_stopped"}
    assert (done["task"], done["outcome"], done["attempt"], done["level"]) == (
        "work.add", "succeeded", 1, "info",
    )  # fmt: skip
    assert "args" not in done


def test_in_production_only_failures_are_logged(howdah, door):
    _enqueue(door, "work.add", '{"a": 1, "b": 2}')
    door.enqueue(Job("work.fail", "{}"))

    ran = howdah("worker", "-p1", "--import", "work", "--burst", HOWDAH_ENV="production")

    assert "✓ work.add" not in ran.err
    assert "✗ work.fail" in ran.err


def _until_running(door, job_id):
    while _state(door, job_id) != "running":
        pass
