"""What a worker without a parent says, and where: a program's own logging comes first."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from howdah import App

PROGRAM = """
import logging, sys
from howdah import App

app = App()

@app.task(name="work")
def work() -> None:
    pass

app.enqueue_sync(work.job())
"""


@pytest.fixture
def program(dsn, tmp_path):
    """Runs a program with one task and one job, and these lines at its end; gives its stderr."""

    def run(*lines: str) -> str:
        file = Path(tmp_path, "program.py")
        file.write_text(PROGRAM + "\n".join(lines))
        ran = subprocess.run(
            [sys.executable, str(file)],
            env={"DATABASE_URL": dsn},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stderr

    return run


def test_run_worker_says_what_howdah_worker_says(program):
    said = program("app.run_worker(name='ann', burst=True)")

    assert "· worker ann" in said
    assert "tasks    1: work" in said
    assert said.count("✓ work") == 1
    assert said.rstrip().endswith("stopped")


def test_run_worker_runs_in_any_thread(program):
    said = program(
        "from threading import Thread",
        "thread = Thread(target=app.run_worker, kwargs={'burst': True})",
        "thread.start()",
        "thread.join()",
    )

    assert said.count("✓ work") == 1
    assert said.rstrip().endswith("stopped")


def test_a_job_that_may_not_be_tried_again_is_not_said_to_be(program):
    said = program(
        '@app.task(name="once", delivery="at_most_once")',
        "def once() -> None:",
        '    raise ValueError("no such city")',
        "app.enqueue_sync(once.job())",
        "app.run_worker(burst=True)",
    )

    [line] = [line for line in said.splitlines() if "✗ once" in line]
    assert "ValueError: no such city · not again: at most once" in line
    assert "again in" not in line


@pytest.mark.parametrize("name", ["", "howdah"])
def test_a_program_that_logs_in_its_own_way_keeps_it(program, name):
    said = program(
        f"logger = logging.getLogger({name!r})",
        "logger.addHandler(logging.StreamHandler())",
        "logger.handlers[0].setFormatter(logging.Formatter('mine: %(message)s'))",
        "logger.setLevel('INFO')",
        "app.run_worker(burst=True)",
    )

    assert all(line.startswith("mine: ") for line in said.splitlines())
    assert said.count("mine: ✓ work") == 1


def test_a_worker_inside_a_program_sets_up_no_logging(program):
    said = program(
        "import asyncio",
        "async def main():",
        "    async with app.worker() as worker:",
        "        await worker.idle()",
        "    await app.close()",
        "asyncio.run(main())",
    )

    assert said == ""


async def test_two_workers_of_an_app_write_one_line_for_a_job(app: App, caplog):
    @app.task(name="work")
    async def work() -> None:
        pass

    await app.enqueue(work.job())
    with caplog.at_level(logging.INFO, "howdah"):
        async with app.worker() as one, app.worker() as other:
            await one.idle()
            await other.idle()

    assert [record.message[:6] for record in caplog.records].count("✓ work") == 1
