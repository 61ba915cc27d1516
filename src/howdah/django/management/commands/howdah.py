"""`manage.py howdah …`: the howdah command, with Django set up and on Django's database."""

from __future__ import annotations

import os
import sys
from argparse import REMAINDER
from contextlib import redirect_stdout
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from howdah.cli import command
from howdah.cli.exits import code_of, exit_code, tell
from howdah.django import conf
from howdah.errors import HowdahError
from howdah.settings import given

APP = "howdah.django.program:app"
DJANGOS = ("--settings", "--pythonpath")  # which manage.py has read already


class Command(BaseCommand):
    """Everything behind `manage.py howdah` is the howdah command's own."""

    help = "Run workers; look into jobs, queues, workers: manage.py howdah --help"
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own shape

    def run_from_argv(self, argv: list[str]) -> None:
        """As the command line has it."""
        program = f"{os.path.basename(argv[0])} {argv[1]}"
        code = _run(_without_djangos(argv[2:]), program)
        connections.close_all()
        sys.exit(code)

    def print_help(self, prog_name: str, subcommand: str) -> None:
        """`manage.py help howdah`."""
        _run(["--help"], f"{os.path.basename(prog_name)} {subcommand}")

    def add_arguments(self, parser: CommandParser) -> None:
        """call_command("howdah", "jobs", "list")."""
        parser.add_argument("arguments", nargs=REMAINDER)

    def handle(self, *_: Any, **options: Any) -> None:
        """From call_command."""
        with redirect_stdout(options.get("stdout") or sys.stdout):
            code = _run([str(each) for each in options["arguments"]], "manage.py howdah")
        if code:
            raise CommandError(f"howdah ended with exit code {code}", returncode=code)


def _run(arguments: list[str], program: str) -> int:
    _have_children_find_the_project()
    try:
        with given(app=APP, **conf.arguments()):
            return exit_code(command, arguments, program)
    except HowdahError as error:
        tell(error.message, error.hint)
        return code_of(error) or 1


def _have_children_find_the_project() -> None:
    """Worker processes look for modules where manage.py stands, from whatever folder it is run."""
    before = os.environ.get("PYTHONPATH", "")
    if sys.path[0] and sys.path[0] not in before.split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [sys.path[0], before]))


def _without_djangos(arguments: list[str]) -> list[str]:
    """Without the options that are Django's."""
    kept, skips = [], False
    for argument in arguments:
        if skips:
            skips = False
        elif argument in DJANGOS:
            skips = True
        elif not argument.startswith(tuple(f"{name}=" for name in DJANGOS)):
            kept.append(argument)
    return kept
