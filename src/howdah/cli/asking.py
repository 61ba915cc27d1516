"""Asks before something is destroyed: a question on a terminal, elsewhere the need of --yes."""

from __future__ import annotations

import sys

import click

from howdah.cli import show
from howdah.errors import Conflict
from howdah.printable import printable


def confirm(what: str, *, yes: bool, dry_run: bool) -> bool:
    """Whether to do it; raises Conflict where nobody can be asked."""
    if dry_run:
        show.said(f"{what}: nothing was done (--dry-run)")
        return False
    if yes:
        show.said(what)
        return True
    if not sys.stdin.isatty():
        raise Conflict(f"{what}?", hint="There is no terminal to ask on: say --yes, or --dry-run.")
    if not click.confirm(printable(f"{what}?"), err=True):
        raise click.Abort
    return True
