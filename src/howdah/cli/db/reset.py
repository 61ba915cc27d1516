"""`howdah db reset`: deletes the embedded PostgreSQL's data."""

from __future__ import annotations

from pathlib import Path

import click

from howdah import embedded
from howdah.cli import show
from howdah.cli.asking import confirm
from howdah.settings import project_root


@click.command("reset")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
def command(yes: bool, dry_run: bool) -> None:
    """Stop the project's embedded PostgreSQL and delete its data, with all jobs."""
    root = project_root(Path.cwd())
    status = embedded.status(root)
    if status.data_dir is None:
        show.said("there is nothing to delete")
        return
    if confirm(f"Delete {status.data_dir} ({status.size / 1e6:.0f} MB)", yes=yes, dry_run=dry_run):
        for folder in embedded.reset(root):
            show.said(f"deleted {folder}")
