"""`howdah http wait`: waits for a URL job, and prints what was answered."""

from __future__ import annotations

from uuid import UUID

import click

from howdah.cli import database
from howdah.cli.answers import wait
from howdah.cli.options import DURATION, ID
from howdah.cli.options import as_json as json_option


@click.command("wait")
@click.argument("job_id", metavar="ID", type=ID)
@click.option("--timeout", "within", type=DURATION, help="For so long at most; then exit code 124.")
@click.option("--fail", is_flag=True, help="Exit code 1 for an answer of 400 and above, too.")
@json_option
def command(job_id: UUID, within: float | None, fail: bool, as_json: bool) -> int:
    """Wait for the end of the URL job ID; print the body that was answered.

    The status goes to stderr. Exit code 1 if the job failed or was cancelled.
    """
    return wait(database.found(), job_id, within=within, fail=fail, as_json=as_json)
