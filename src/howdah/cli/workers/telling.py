"""What drain and kill have in common: which worker, and how many were told."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import click

from howdah import workers
from howdah.call import Call
from howdah.cli import database, show
from howdah.cli.options import ID
from howdah.client import AsyncDoor
from howdah.errors import BadInput, NotFound


def telling_command(name: str, call: Callable[..., Call[int]], help_text: str) -> click.Command:
    """The command that tells workers to leave, one way or the other."""

    @click.command(name, help=help_text)
    @click.argument("worker", type=ID, required=False)
    @click.option("--name", "worker_name", help="The workers of this name.")
    @click.option("--host", help="The workers of this host.")
    @click.option("--all", "everybody", is_flag=True, help="All workers.")
    def command(
        worker: UUID | None, worker_name: str | None, host: str | None, everybody: bool
    ) -> None:
        if not everybody and worker is None and worker_name is None and host is None:
            raise BadInput(
                "which worker?", hint="Give its id, --name, --host or --all: howdah workers list"
            )
        told = database.with_store(
            lambda store: _tell(
                store, call, worker, name=worker_name, host=host, everybody=everybody
            )
        )
        if told == 0 and not everybody:
            raise NotFound("there is no such worker", hint="Run: howdah workers list")
        show.said(f"told {told} worker{'' if told == 1 else 's'} to {name}")

    return command


async def _tell(
    store: AsyncDoor,
    call: Callable[..., Call[int]],
    worker: UUID | None,
    *,
    name: str | None,
    host: str | None,
    everybody: bool,
) -> int:
    if not everybody:
        told: int = await store.run(call(worker, name=name, host=host))
        return told
    count = 0
    for each in await store.run(workers.list()):
        count += await store.run(call(each.id))
    return count
