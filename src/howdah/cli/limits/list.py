"""`howdah limits list`: limits, and how full their keys are."""

from __future__ import annotations

import click

from howdah import limits
from howdah.cli import database, show
from howdah.cli.options import as_json as json_option
from howdah.cli.show import Column
from howdah.limits import Limit

COLUMNS: list[Column[Limit]] = [
    Column("key", lambda limit: limit.key),
    Column("limit", lambda limit: "none" if limit.most is None else f"{limit.most:,}", right=True),
    Column("rate", lambda limit: "" if limit.rate is None else f"{limit.rate:,} in {limit.per}"),
    Column("taken", lambda limit: f"{limit.taken:,}", right=True),
]


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """Limits as they were set, and each key that has had jobs."""
    show.listed(database.ask(limits.list()), COLUMNS, as_json=as_json)
