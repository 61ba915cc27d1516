"""`howdah workers kill`: tells workers to leave within their time to shut down, or at once."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from howdah import workers
from howdah.cli.workers.choosing import Choice, choosing
from howdah.cli.workers.telling import tell


@click.command("kill")
@choosing
@click.option("--now", is_flag=True, help="Hand back at once what runs.")
def command(*, now: bool, **chosen: Any) -> None:
    """Tell workers to leave: an idle one does so at once, a busy one after its current jobs.

    What has not ended within the worker's shutdown_after (25 s, if not set otherwise) is stopped
    and handed back, uncharged. Said again to the same worker, it means --now.
    """
    tell(Choice.of(**chosen), partial(workers.kill, now=now), "leave at once" if now else "leave")
