"""A Django project: its own test suite, and workers on its database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

PROJECT = Path(__file__).parent / "project"
TASKS = {name: f"shop.tasks.{name}" for name in ("note", "anote", "book", "cut_off")}


class Manage:
    """manage.py of the project, on a database; run from another folder than its own."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.env = {**os.environ, "DATABASE_URL": dsn, "COLUMNS": "160"}
        self.folder = folder

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "error::ResourceWarning", PROJECT / "manage.py", *args],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, *args: str) -> str:
        process = self.start(*args)
        said, _ = process.communicate(timeout=100)
        assert process.returncode == 0, said
        return said


@pytest.fixture
def manage(empty_dsn: str, tmp_path: Path) -> Manage:
    return Manage(empty_dsn, tmp_path)


def test_a_projects_own_suite_passes(manage: Manage) -> None:
    said = manage("test", "shop", "--noinput")

    assert "Ran 34 tests" in said, said


@pytest.mark.slow
def test_two_workers_run_each_job_once_and_outlive_broken_connections(
    manage: Manage, empty_dsn: str
) -> None:
    manage("migrate", "--verbosity", "0")
    with psycopg.connect(empty_dsn, autocommit=True) as db:
        order = db.execute("insert into shop_order values (default, 'n', false) returning id")
        number = (order.fetchone() or (0,))[0]
        for task, n in (("cut_off", 12), ("note", 100), ("anote", 20), ("book", 20)):
            args = "{}" if task == "cut_off" else f'{{"order": {number}}}'
            db.execute(
                "select howdah.enqueue(%s, %s, max_attempts => 1) from generate_series(1, %s)",
                (TASKS[task], args, n),
            )

        workers = [manage.start("howdah", "worker", "--burst", "-p", "1") for _ in range(2)]
        said = [worker.communicate(timeout=60)[0] for worker in workers]

        ended = db.execute(
            "select task, state, count(*) from howdah.jobs group by 1, 2 order by 1"
        ).fetchall()
        once = db.execute("select count(*) from shop_entry").fetchone()
        threads = db.execute("select count(distinct by) from shop_entry where by <> 'loop'")

    assert [worker.returncode for worker in workers] == [0, 0], said
    assert ended == [
        (TASKS["anote"], "succeeded", 20),
        (TASKS["book"], "succeeded", 20),
        (TASKS["cut_off"], "failed", 12),
        (TASKS["note"], "succeeded", 100),
    ], said
    assert once == (120,)
    assert (threads.fetchone() or (0,))[0] > 1
    assert "✓ shop.tasks.note" in "".join(
        said
    )  # although LOGGING has silenced what was there before
