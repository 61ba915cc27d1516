"""`howdah db stop`: ends the embedded PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import click

from howdah import embedded
from howdah.cli import show
from howdah.settings import project_root


@click.command("stop")
def command() -> None:
    """Stop the project's embedded PostgreSQL; the data stay."""
    server = embedded.stop(project_root(Path.cwd()))
    show.said(f"stopped (pid {server.pid})" if server else "it was not running")
