"""The command line, `howdah`: each command is a small file, loaded when it is used."""

from __future__ import annotations

import click

from howdah.cli.exits import exit_code
from howdah.cli.lazy import LazyGroup

COMMANDS = {
    "demo": "See it work: one job per file of a directory, with progress and a report.",
    "worker": "Run jobs until told to stop.",
    "enqueue": "Store a job.",
    "import": "Bring the waiting jobs of other systems over.",
    "jobs": "List, show, retry, cancel, delete jobs; ask why one waits.",
    "workflows": "List, show, cancel and retry workflows.",
    "queues": "List, pause, resume and set queues.",
    "workers": "List, drain and kill workers.",
    "limits": "Say how many jobs of a key may run at once.",
    "cursors": "List, show and set the cursors of serial keys.",
    "schedules": "List, make, pause, run and delete schedules.",
    "listeners": "List, make, pause and delete listeners; emit events.",
    "tasks": "List the tasks that workers declared.",
    "http": "Call URLs from jobs, and say which may be called.",
    "db": "Install the schema, look after it, and the embedded PostgreSQL.",
    "doctor": "Look for what could go wrong.",
    "bench": "Measure it on the database at hand.",
    "config": "Show each setting and where it came from.",
    "chores": "Do once what workers do by themselves: stage, rescue, expire, prune.",
}

command = LazyGroup(
    "howdah",
    package="howdah.cli",
    commands=COMMANDS,
    help="Howdah: a job queue that rides on PostgreSQL.",
    epilog="Data go to stdout, all else to stderr. Exit codes: 0 ok, 1 failed, 2 bad input, "
    "3 no database or schema not current, 4 not found, 5 refused, 124 waited in vain, "
    "130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
command = click.version_option(package_name="howdah", message="howdah %(version)s")(command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code."""
    raise SystemExit(exit_code(command, arguments))
