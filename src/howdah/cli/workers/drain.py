"""`howdah workers drain`: tells workers to finish what they run, and leave."""

from __future__ import annotations

from typing import Any

import click

from howdah import workers
from howdah.cli.workers.choosing import Choice, choosing
from howdah.cli.workers.telling import tell


@click.command("drain")
@choosing
def command(**chosen: Any) -> None:
    """Tell workers to claim no more, finish what they run, however long it takes, and leave."""
    tell(Choice.of(**chosen), workers.drain, "drain")
