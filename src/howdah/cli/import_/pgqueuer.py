"""`howdah import pgqueuer`: takes the jobs that wait in pgqueuer."""

from __future__ import annotations

from typing import Any

import click

from howdah.cli.import_ import running


@click.command("pgqueuer")
@running.options
@click.option("--schema", default="public", show_default=True, help="Where its tables are.")
@click.option("--prefix", default="", help="What its tables' names begin with, PGQUEUER_PREFIX.")
@click.option(
    "--payload",
    "payloads",
    metavar="[TASK=]HOW",
    multiple=True,
    help="How payloads, or those of one task, become arguments: json, an object's members "
    "(default); text or bytes, the argument payload.",
)
def command(schema: str, prefix: str, **options: Any) -> None:
    """Move the jobs that wait in pgqueuer: enqueued here, deleted there, in one transaction.

    All are looked at first: if one cannot come, nothing is moved. Jobs that run there, or have
    failed and are held, are left; import again for what is left.
    """
    from howdah.importing import pgqueuer

    running.run(pgqueuer(schema, prefix), **options)
