"""`howdah import`: what it says, and what it leaves."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from howdah.cli import command
from howdah.cli.exits import exit_code

APP = """
from howdah import App

app = App()

@app.task(name="shop.pay")
def pay(n: int): ...
"""


@pytest.fixture
def run(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """The command in this process and a folder with an App: its exit code, stdout and stderr."""
    (tmp_path / "shop_of_tests.py").write_text(APP)
    monkeypatch.setenv("DATABASE_URL", dsn)
    monkeypatch.setenv("HOWDAH_APP", "shop_of_tests:app")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))

    def run(*args: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = exit_code(command, ["import", *args])
        return code, *capsys.readouterr()

    return run


def test_it_says_what_stands_in_the_way_then_what_it_would_do_and_then_does_it(run, old_jobs, db):
    refused = run("procrastinate", "--schema", "theirs")
    options = ("--schema", "theirs", "--task", "old.pay=shop.pay", "--leave", "old.mail")
    would = run("procrastinate", *options, "--dry-run")
    did = run("procrastinate", *options, "--json")

    assert refused[0] == 5
    assert "old.pay: nobody has declared a task old.pay (2 jobs, for example 1)" in refused[2]
    assert "3 jobs cannot come, so nothing was imported" in refused[2]
    assert would[0] == 0
    assert would[1].splitlines()[1].split() == ["old.pay", "shop.pay", "2"]
    assert "2 jobs would be imported" in would[2]
    assert "1 are of tasks that are to be left: they are left where they are" in would[2]
    assert (did[0], json.loads(did[1])["jobs"]) == (0, 2)
    assert db.execute("select task from howdah.jobs").fetchall() == [("shop.pay",)] * 2


def test_a_name_without_its_counterpart_is_a_mistake(run):
    code, _, err = run("procrastinate", "--task", "old.pay")

    assert code == 2
    assert "--task old.name=new.name" in err


def test_a_password_is_not_taken_from_the_command_line(run):
    code, _, err = run("pgqueuer", "--from", "postgresql://me:secret@localhost/old")

    assert code == 2
    assert "secret" not in err
    assert "HOWDAH_IMPORT_FROM" in err


def test_where_nothing_is_that_is_said(run):
    code, _, err = run("pgqueuer", "--prefix", "our_")

    assert code == 4
    assert 'there is no table "public"."our_pgqueuer"' in err
