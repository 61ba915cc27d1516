"""`howdah workflows list`: workflows, the newest first."""

from __future__ import annotations

import click

from howdah import workflows
from howdah.cli import database, show
from howdah.cli.options import as_json as json_option
from howdah.cli.show import Column
from howdah.workflows import Run

COLUMNS: list[Column[Run]] = [
    Column("id", lambda run: run.id),
    Column("name", lambda run: run.name),
    Column("state", lambda run: run.state),
    Column("done", lambda run: f"{int(run.percent)} %", right=True),
    Column("steps", lambda run: f"{run.steps:,}", right=True),
    Column("jobs", lambda run: f"{run.jobs:,}", right=True),
    Column("failed", lambda run: f"{run.failed:,}", right=True),
    Column("started", lambda run: run.created_at),
]


@click.command("list")
@click.option("--state", type=click.Choice(workflows.STATES), help="Only those in this state.")
@click.option("--limit", "-n", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
def command(state: str | None, limit: int, as_json: bool) -> None:
    """Workflows, the newest first."""
    found = database.ask(workflows.list(state=state, limit=limit))
    show.listed(found, COLUMNS, as_json=as_json)
