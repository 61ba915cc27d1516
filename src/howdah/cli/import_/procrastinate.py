"""`howdah import procrastinate`: takes the jobs that wait in procrastinate."""

from __future__ import annotations

from typing import Any

import click

from howdah.cli.import_ import running


@click.command("procrastinate")
@running.options
@click.option("--schema", default="public", show_default=True, help="Where its tables are.")
@click.option(
    "--queue", "queues", metavar="THERE=HERE", multiple=True, help="A queue's name, if it changes."
)
def command(schema: str, **options: Any) -> None:
    """Move the jobs that wait in procrastinate: enqueued here, cancelled there, in one transaction.

    All are looked at first: if one cannot come, nothing is moved. Jobs that run there are left, as
    are those that wait for them by a lock; import again for what is left.
    """
    from howdah.importing import procrastinate

    running.run(procrastinate(schema), **options)
