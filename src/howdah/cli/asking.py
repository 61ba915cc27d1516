"""Asks before something is destroyed: on a terminal by a question, elsewhere by the need of --yes."""

from __future__ import annotations

import sys

import click

from howdah.cli import show
from howdah.errors import Conflict


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
    if not click.confirm(show.printable(f"{what}?"), err=True):
        raise click.Abort
    return True
