"""`howdah limits set`: at most so many jobs of a key run at once."""

from __future__ import annotations

import click

from howdah import limits
from howdah.cli import database, show


@click.command("set")
@click.argument("key")
@click.argument("n", type=click.IntRange(min=0))
def command(key: str, n: int) -> None:
    """Let at most N jobs of KEY run at once, in the whole fleet.

    KEY is one that jobs name (limit_keys), queue:NAME, task:NAME, or a prefix with a trailing *,
    which speaks for all keys that begin so. What runs already is counted, and not stopped.
    """
    database.ask(limits.put(key, n))
    show.said(f"at most {n} of {key} run at once")
