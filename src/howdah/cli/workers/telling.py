"""What drain and kill have in common: which workers, and how many were told."""

from __future__ import annotations

from collections.abc import Callable

from howdah import workers
from howdah.call import Call
from howdah.cli import database, show
from howdah.cli.workers.choosing import Choice, no_such_worker
from howdah.doors import AsyncDoor
from howdah.errors import BadInput


def tell(choice: Choice, call: Callable[..., Call[int]], to: str) -> None:
    """Tell the chosen workers, and say how many they were."""
    if not choice.everybody and not choice.narrows:
        raise BadInput(
            "which worker?",
            hint="Give its id, --name, --host, --version or --all: howdah workers list",
        )
    told = database.with_store(lambda store: _tell(store, choice, call))
    show.said(f"told {told} worker{'' if told == 1 else 's'} to {to}")


async def _tell(store: AsyncDoor, choice: Choice, call: Callable[..., Call[int]]) -> int:
    known = await store.run(workers.list())
    told: int = await store.run(call(**choice.among(known).patterns))
    if told == 0 and not choice.everybody and not choice.of_those(known):
        raise no_such_worker()
    return told  # 0 also where all of them were told to leave sooner already
