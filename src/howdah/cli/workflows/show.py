"""`howdah workflows show`: one workflow and its steps, as text, as Mermaid or as JSON."""

from __future__ import annotations

from collections.abc import Sequence

import click

from howdah import workflows
from howdah.cli import database, show
from howdah.cli.options import as_json as json_option
from howdah.cli.workflows.finding import one_workflow
from howdah.cli.workflows.graph import as_mermaid, as_text
from howdah.doors import AsyncDoor
from howdah.workflows import Run, Step

MOST_STEPS = 200  # that people are shown; --json and --mermaid have 10,000


@click.command("show")
@click.argument("workflow_id", metavar="ID")
@click.option("--mermaid", is_flag=True, help="A flowchart for Mermaid, on stdout.")
@json_option
def command(workflow_id: str, mermaid: bool, as_json: bool) -> None:
    """One workflow: how far it is, and its steps with what they wait for."""
    limit = 10_000 if mermaid or as_json else MOST_STEPS

    async def look(store: AsyncDoor) -> tuple[Run, Sequence[Step]]:
        run = await one_workflow(store, workflow_id)
        return run, await store.run(workflows.steps(run.id, limit=limit))

    run, steps = database.with_store(look)
    if as_json:
        show.document({**show.plain(run), "graph": show.plain(steps)})
    elif mermaid:
        click.echo(as_mermaid(steps))
    else:
        show.facts({name: value for name, value in _facts(run).items() if value not in (None, "")})
        click.echo()
        for line in as_text(steps):
            click.echo(line)
        if run.steps > len(steps):
            show.said(f"{run.steps - len(steps):,} more steps: --json shows up to 10,000")


def _facts(run: Run) -> dict[str, object]:
    width = 30
    full = int(width * run.percent / 100)
    counted = (
        f"{run.jobs:,} created, {run.succeeded:,} succeeded, {run.failed:,} failed, "
        f"{run.cancelled:,} cancelled"
    )
    return {
        "id": run.id,
        "name": run.name,
        "state": run.state,
        "done": f"{'█' * full}{'░' * (width - full)} {int(run.percent)} %",
        "jobs": counted,
        "priority": run.priority,
        "args": run.args,
        "started": run.created_at,
        "ended": run.finished_at,
        "result": run.result,
        "cannot go on": run.error,
    }
