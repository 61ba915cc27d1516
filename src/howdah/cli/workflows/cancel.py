"""`howdah workflows cancel`: cancels workflows."""

from __future__ import annotations

import click

from howdah import workflows
from howdah.cli.options import as_json as json_option
from howdah.cli.workflows.changing import change


@click.command("cancel")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
def command(ids: tuple[str, ...], as_json: bool) -> int:
    """Cancel what waits, ask the workers of what runs to stop it, and start nothing more."""
    return change(
        ids,
        workflows.cancel,
        lambda workflow, _: f"cancelled {workflow}",
        "it has ended",
        as_json=as_json,
    )
