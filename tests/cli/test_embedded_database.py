"""Where a command's database comes from when none is configured; nothing is left running."""

from __future__ import annotations

import os
from pathlib import Path
from signal import SIGINT, SIGKILL

import pytest
from data_folders import lay_out

from howdah.embedded import find_binaries, running


@pytest.fixture
def data(project: Path) -> None:
    """The project's data, as an earlier command has left them."""
    lay_out(project / ".howdah" / f"pg{find_binaries().major}")


def _files(project: Path) -> Path:
    folder = project / "files"
    folder.mkdir()
    for n in range(5):
        (folder / str(n)).write_text("line\n" * n)
    return folder


def _wait_until_gone(project: Path) -> bool:
    """Until no server of the project runs; its end is a matter of moments."""
    while running(project) is not None:
        pass
    return True


def test_the_demo_starts_its_own_and_leaves_nothing_running(alone, project):
    ran = alone("demo", str(_files(project)), "--json")
    still = running(project)
    looked_at = alone("jobs", "list", "--queue", "demo", "--json")

    assert ran.code == 0
    assert (ran.json["files"], ran.json["lines"]) == (5, 10)
    assert "using embedded PostgreSQL" in ran.err
    assert os.path.join(".howdah", "pg") in ran.err
    assert "(set DATABASE_URL for your own)" in ran.err
    assert still is None
    assert len(looked_at.json) == 5
    assert running(project) is None


@pytest.mark.usefixtures("data")
def test_ctrl_c_and_kill_leave_nothing_running(alone, project):
    for number in (SIGINT, SIGKILL):
        worker = alone.start("worker", "-p1", "--import", "work")
        worker.until("tasks    3")

        worker.signal(number)
        worker.ended()

        assert _wait_until_gone(project)


@pytest.mark.usefixtures("data")
def test_start_stays_until_stop_and_all_commands_share_it(alone, project):
    started = alone("db", "start")
    stored = alone("enqueue", "work.add", '{"a": 1, "b": 2}')
    url = alone("db", "url")
    status = alone("db", "status", "--json").json
    worked = alone("worker", "--import", "work", "--burst")
    server = running(project)
    stopped = alone("db", "stop")

    assert [ran.code for ran in (started, stored, worked, stopped)] == [0, 0, 0, 0]
    assert url.out == started.out
    assert status["embedded"]["stays"] is True
    assert "✓ work.add" in worked.err
    assert server is not None
    assert running(project) is None
    assert alone("db", "url").code == 3


def test_reading_makes_no_database(alone, project):
    ran = alone("jobs", "list")

    assert ran.code == 3
    assert "hint: " in ran.err
    assert not (project / ".howdah").exists()


def test_it_is_never_used_in_production_by_a_service_or_beside_a_configured_one(alone, project):
    away = "postgresql://127.0.0.1:1/x"
    refused = [
        alone("worker", "--import", "work", HOWDAH_ENV="production"),
        alone("enqueue", "t", KUBERNETES_SERVICE_HOST="10.0.0.1"),
        alone("demo", ".", HOWDAH_DATABASE_URL=away),
        alone("enqueue", "t", PGHOST="127.0.0.1", PGPORT="1"),
    ]

    assert [ran.code for ran in refused] == [3, 3, 3, 3]
    assert all("error: " in ran.err for ran in refused)
    assert not (project / ".howdah").exists()


@pytest.mark.usefixtures("data")
def test_reset_deletes_the_data_when_told_twice(alone, project):
    alone("db", "migrate")
    asked, dry = alone("db", "reset"), alone("db", "reset", "--dry-run")
    there = (project / ".howdah").is_dir() and any((project / ".howdah").glob("pg*"))
    done, again = alone("db", "reset", "--yes"), alone("db", "reset", "--yes")

    assert (asked.code, dry.code, there) == (5, 0, True)
    assert (done.code, again.code) == (0, 0)
    assert not any((project / ".howdah").glob("pg*/PG_VERSION"))
    assert "nothing to delete" in again.err


@pytest.mark.slow
@pytest.mark.usefixtures("data")
def test_a_worker_outlives_the_command_whose_server_it_shared(alone, project):
    owner = alone.start("worker", "--import", "work")
    owner.until("tasks    3")
    sharer = alone.start("worker", "--import", "work")
    sharer.until("tasks    3")

    owner.signal(SIGINT)
    owner.ended()
    sharer.until("the database is back")
    stored = alone("enqueue", "work.add", '{"a": 1, "b": 2}')
    sharer.until("✓ work.add")
    sharer.signal(SIGINT)

    assert stored.code == 0
    assert "warning: the database is away" in sharer.err
    assert sharer.ended().code == 0
    assert _wait_until_gone(project)


@pytest.mark.slow
@pytest.mark.usefixtures("data")
def test_a_server_that_was_stopped_on_purpose_stays_stopped(alone, project):
    alone("db", "start")
    worker = alone.start("worker", "-p1", "--import", "work")
    worker.until("tasks    3")

    alone("db", "stop")
    worker.until("the database is away")
    worker.signal(SIGINT)
    worker.until("stopping")
    worker.signal(SIGINT)

    assert worker.ended().code == 0
    assert running(project) is None
