"""`howdah demo` on a small directory: its figures are those of find and wc; failures show."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path
from signal import SIGINT
from threading import Thread

import pytest

from howdah import demo

FIND = r"find {} -type f -not -path '*/__pycache__/*'"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of many kinds of names, and things that are no files."""
    root = tmp_path / "files"
    (root / "sub" / "__pycache__").mkdir(parents=True)
    (root / "a").write_bytes(b"one\ntwo\n")
    (root / "sub" / "no newline at the end").write_bytes(b"x\ny")
    (root / "empty").write_bytes(b"")
    (root / "binary").write_bytes(bytes(range(256)) * 5000)
    (root / "new\nline").write_bytes(b"1\n")
    (root / "grüße ✓").write_bytes(b"2\n")
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9")).write_bytes(b"3\n3\n")
    (root / "sub" / "__pycache__" / "left out").write_bytes(b"4\n")
    (root / "link").symlink_to("a")
    (root / "dangling").symlink_to("nowhere")
    (root / "linked folder").symlink_to("sub")
    os.mkfifo(root / "pipe")
    return root


def _shell(command: str) -> list[int]:
    told = subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout
    return [int(word) for word in told.split()]


def test_its_figures_are_those_of_find_and_wc(howdah, folder, db):
    ran = howdah("demo", str(folder), "--json")

    find = FIND.format(folder)
    report = ran.json
    assert ran.code == 0
    assert [report["files"], report["succeeded"], report["failed"]] == [7, 7, 0]
    assert [report["files"]] == _shell(f"{find} -printf . | wc -c")
    assert [report["lines"], report["bytes"]] == _shell(f"{find} -print0 | xargs -0 cat | wc -lc")
    assert report["jobs_per_second"] > 0
    assert report["interrupted"] is False


def test_each_file_is_a_job_with_its_hash(howdah, folder, db):
    howdah("demo", str(folder))

    result = db.execute(
        "select result from howdah.jobs where queue = 'demo' and args->>'path' like '%binary'"
    ).fetchone()[0]
    assert result == {
        "bytes": 1_280_000,
        "lines": 5000,
        "sha256": hashlib.sha256(bytes(range(256)) * 5000).hexdigest(),
    }


def test_the_report_says_how_to_look_at_the_jobs(howdah, folder):
    ran = howdah("demo", str(folder))

    look = next(line for line in ran.out.splitlines() if "howdah jobs list" in line).split()
    assert "failures  0" in ran.out
    assert "7 of 7" in ran.err
    assert "\x1b" not in ran.out + ran.err
    assert len(howdah(*look[1:], "--json").json) == 7


def test_a_second_run_counts_only_its_own_jobs(howdah, folder):
    first, second = (howdah("demo", str(folder), "--json").json for _ in range(2))

    assert first["succeeded"] == second["succeeded"] == 7
    assert first["run"] != second["run"]


@pytest.mark.slow
def test_a_file_that_vanishes_is_a_failure_tried_twice_and_shown(howdah, folder, db):
    db.execute("select howdah.pause('demo')")
    running = howdah.start("demo", str(folder))
    running.until("files below")
    while db.execute("select count(*) from howdah.ready where queue = 'demo'").fetchone()[0] < 7:
        pass
    (folder / "a").unlink()
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9")).unlink()
    running.until("paused")
    db.execute("select howdah.resume('demo')")

    ran = running.ended()

    assert ran.code == 1
    assert "files     7" in ran.out
    assert "failures  2" in ran.out
    assert f"✗ {folder}/a: FileNotFoundError" in ran.out
    assert f"✗ {folder}/caf\\xe9: FileNotFoundError" in ran.out
    rows = db.execute(
        "select attempt, finished_at - created_at from howdah.jobs where state = 'failed'"
    ).fetchall()
    assert [row[0] for row in rows] == [2, 2]
    assert all(row[1].total_seconds() >= 1 for row in rows)


def test_a_folder_that_cannot_be_read_is_a_failure(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "closed").mkdir()
    listing = os.scandir

    def scandir(path):
        if os.fsdecode(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)

    found = [*demo.find_files(os.fsencode(tmp_path))]

    assert found == [os.fsencode(tmp_path / "file"), os.fsencode(tmp_path / "closed")]
    with pytest.raises(OSError, match="closed"):
        demo.count_file(str(tmp_path / "closed"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_failure(howdah, folder):
    (folder / "a").chmod(0)

    ran = howdah("demo", str(folder))

    assert ran.code == 1
    assert "PermissionError" in ran.out


def test_an_empty_folder_is_no_error(howdah, tmp_path):
    (tmp_path / "empty").mkdir()

    report = howdah("demo", str(tmp_path / "empty"), "--json").json

    assert (report["files"], report["bytes"], report["jobs_per_second"]) == (0, 0, 0)


def test_on_a_terminal_it_shows_progress(howdah, folder):
    ran = howdah.on_terminal("demo", str(folder))

    assert ran.code == 0
    assert "7/7" in ran.out
    assert "failures" in ran.out


def test_ctrl_c_ends_it_and_leaves_the_rest_to_be_done(howdah, folder, db):
    db.execute("select howdah.pause('demo')")
    running = howdah.start("demo", str(folder), "--json")
    running.until("nothing has ended for a while")

    running.signal(SIGINT)
    ran = running.ended()
    db.execute("select howdah.resume('demo')")
    rest = howdah("worker", "-p1", "howdah.demo:app", "-q", "demo", "--burst")

    assert (ran.code, ran.json["interrupted"], ran.json["succeeded"]) == (130, True, 0)
    assert rest.code == 0
    assert (
        db.execute("select count(*) from howdah.jobs where state = 'succeeded'").fetchone()[0] == 7
    )
    assert db.execute("select count(*) from howdah.workers").fetchone()[0] == 0


def test_a_run_goes_before_what_an_interrupted_one_has_left(howdah, folder, db):
    howdah("demo", str(folder))

    priorities = db.execute("select priority from howdah.jobs where queue = 'demo'").fetchall()

    assert all(priority > time.time() - 1_700_000_060 for (priority,) in priorities)


def test_two_at_once_each_count_their_own(howdah, folder):
    reports = {}

    def demo_run(number):
        reports[number] = howdah("demo", str(folder), "--json")

    threads = [Thread(target=demo_run, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [ran.json["succeeded"] for ran in reports.values()] == [7, 7]
    assert [ran.code for ran in reports.values()] == [0, 0]


def test_the_task_travels_as_json_with_any_name():
    plain, odd = demo.arguments("/tmp/grüße".encode()), demo.arguments(b"/tmp/caf\xe9")

    assert plain == {"path": "/tmp/grüße"}
    assert odd == {"path": r"/tmp/caf\xe9", "raw": "L3RtcC9jYWbp"}
