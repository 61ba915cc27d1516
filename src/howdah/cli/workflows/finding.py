"""Which workflows are meant: by whole ids, or the ends of them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from howdah import workflows
from howdah.doors import AsyncDoor
from howdah.errors import BadInput, NotFound
from howdah.workflows import Run

NEWEST = 10_000
SHORTEST = 6


async def one_workflow(store: AsyncDoor, text: str) -> Run:
    """The workflow with this id, or an id that ends so. Raises NotFound or BadInput."""
    found = await store.run(workflows.get(await _id_of(store, text)))
    if found is None:
        raise _no_workflow(text)
    return found


async def workflow_ids(store: AsyncDoor, texts: Sequence[str]) -> list[UUID]:
    """The ids of several."""
    return [(await one_workflow(store, text)).id for text in texts]


async def _id_of(store: AsyncDoor, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        if len(text) < SHORTEST:
            raise BadInput(
                f"{text!r} is too short for the end of an id", hint="Give 6 characters or more."
            ) from None
    ids = await store.run(workflows.ids_ending(text, newest=NEWEST))
    if len(ids) > 1:
        raise BadInput(f"{text!r} ends {len(ids)} ids", hint="Give more of it.")
    if not ids:
        raise _no_workflow(text)
    return ids[0]


def _no_workflow(text: str) -> NotFound:
    return NotFound(
        f"there is no workflow {text}",
        hint="It never was, or has left history: howdah workflows list",
    )
