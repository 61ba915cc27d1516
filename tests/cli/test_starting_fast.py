"""Help loads nothing that it does not need, and every command has its own."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from howdah.cli import command

TIMED = """
import time; start = time.process_time()
from howdah.cli import command
command.main(["--help"], standalone_mode=False)
import sys
heavy = ("asyncpg", "rich", "msgspec", "howdah.app")
print(time.process_time() - start, *(name for name in heavy if name in sys.modules))
"""


def _all_commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    context, found = click.Context(group), []
    for name in group.list_commands(context):
        inner = group.get_command(context, name)
        found += (
            _all_commands(inner, (*path, name))
            if isinstance(inner, click.Group)
            else [(*path, name)]
        )
    return found


def test_help_takes_less_than_80_ms_and_imports_nothing_heavy():
    runs = [
        subprocess.run([sys.executable, "-c", TIMED], capture_output=True, text=True, check=True)
        for _ in range(4)
    ]

    times = [run.stdout.splitlines()[-1].split() for run in runs]

    assert min(float(words[0]) for words in times) < 0.08
    assert times[0][1:] == []


@pytest.mark.parametrize("path", _all_commands(command), ids=" ".join)
def test_every_command_says_how_it_is_used(run, path):
    ran = run(*path, "--help")

    assert ran.code == 0
    assert ran.out.startswith(f"Usage: howdah {' '.join(path)}")


def test_what_was_promised_is_there():
    paths = {" ".join(path) for path in _all_commands(command)}

    assert paths == {
        "bench enqueue", "bench drain", "bench latency", "bench snapshot", "bench backlog",
        "bench idle", "demo", "worker", "enqueue", "doctor", "config", "chores", "tasks list",
        "jobs list", "jobs show", "jobs why", "jobs retry", "jobs cancel", "jobs delete",
        "jobs run-now", "queues list", "queues pause", "queues resume", "queues set",
        "queues share", "limits list", "limits set", "limits rate", "limits remove",
        "cursors list", "cursors show", "cursors set", "workers list",
        "workers drain", "workers kill", "workers status", "db migrate", "db status", "db sql",
        "db check", "db grant", "db start", "db stop", "db reset", "db url",
        "schedules list", "schedules next", "schedules put", "schedules pause",
        "schedules resume", "schedules run", "schedules delete",
        "listeners list", "listeners put", "listeners pause", "listeners resume",
        "listeners emit", "listeners delete",
        "workflows list", "workflows show",
        "workflows cancel", "workflows retry", "http call", "http wait", "http allow",
        "http disallow", "http allowed", "import procrastinate", "import pgqueuer",
    }  # fmt: skip


def test_the_version_is_said(run):
    assert run("--version").out.startswith("howdah 0.")


def test_a_wrong_command_gets_a_guess(run):
    ran = run("jobs", "lst")

    assert ran.code == 2
    assert "Did you mean 'list'?" in ran.err


def test_the_package_gives_its_names_lazily():
    script = (
        "import sys, howdah; assert 'asyncpg' not in sys.modules; "
        "howdah.jobs.cancel; howdah.App; [getattr(howdah, name) for name in howdah.__all__]; "
        "assert set(howdah.__all__) <= set(dir(howdah)); assert not hasattr(howdah, 'nonsense')"
    )

    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
