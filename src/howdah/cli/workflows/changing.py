"""What cancel and retry share: do it to each workflow that is named, and say what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import click

from howdah.call import Call
from howdah.cli import database, exits, show
from howdah.cli.workflows.finding import workflow_ids
from howdah.doors import AsyncDoor
from howdah.errors import Conflict, HowdahError


def change(
    texts: Sequence[str],
    call: Callable[[UUID], Call[Any]],
    told: Callable[[UUID, Any], str],
    refusal: str,
    *,
    as_json: bool,
) -> int:
    """Run the call for each; gives the exit code."""
    done, refused = database.with_store(lambda store: _do(store, texts, call, refusal))
    if as_json:
        show.document(
            {
                "changed": [str(workflow) for workflow in done],
                "refused": [
                    {"id": str(workflow), "error": error.message}
                    for workflow, error in refused.items()
                ],
            }
        )
    else:
        for workflow, answer in done.items():
            click.echo(told(workflow, answer))
    return exits.tell_all(refused.values())


async def _do(
    store: AsyncDoor, texts: Sequence[str], call: Callable[[UUID], Call[Any]], refusal: str
) -> tuple[dict[UUID, Any], dict[UUID, HowdahError]]:
    done: dict[UUID, Any] = {}
    refused: dict[UUID, HowdahError] = {}
    for workflow in await workflow_ids(store, texts):
        try:
            answer = await store.run(call(workflow))
        except Conflict as error:
            refused[workflow] = error
            continue
        if answer is False:
            refused[workflow] = Conflict(f"workflow {workflow}: {refusal}")
        else:
            done[workflow] = answer
    return done, refused
