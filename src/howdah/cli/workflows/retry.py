"""`howdah workflows retry`: tries workflows again."""

from __future__ import annotations

from functools import partial

import click

from howdah import workflows
from howdah.cli.options import as_json as json_option
from howdah.cli.workflows.changing import change


@click.command("retry")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--whole", is_flag=True, help="All jobs again, not only those that failed.")
@json_option
def command(ids: tuple[str, ...], whole: bool, as_json: bool) -> int:
    """Try workflows that have ended again, from their failed and cancelled jobs on."""
    return change(
        ids,
        partial(workflows.retry, whole=whole),
        lambda workflow, jobs: f"retried {workflow}: {jobs:,} job{'' if jobs == 1 else 's'}",
        "nothing to do",
        as_json=as_json,
    )
