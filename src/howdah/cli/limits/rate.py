"""`howdah limits rate`: at most so many jobs of a key start in a time."""

from __future__ import annotations

import click

from howdah import limits
from howdah.cli import database, show
from howdah.cli.options import DURATION


@click.command("rate")
@click.argument("key")
@click.argument("n", type=click.IntRange(min=1))
@click.option("--per", type=DURATION, default="1s", show_default=True, help="In so long a time.")
@click.option("--burst", type=click.IntRange(min=1), help="So many at once; default: a quarter.")
def command(key: str, n: int, per: float, burst: int | None) -> None:
    """Let at most N jobs of KEY start in a time, in the whole fleet.

    KEY is one that jobs name (limit_keys), queue:NAME, task:NAME, or a prefix with a trailing *.
    """
    database.ask(limits.put_rate(key, n, per, burst=burst))
    show.said(f"at most {n} of {key} start in {per:g} s")
