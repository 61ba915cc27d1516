"""Tasks of schedules and workflows: each returns under which lease it ran, and what it saw."""

from __future__ import annotations

import asyncio
from typing import Any

from howdah import App, Context, Retry


async def tick(_: Context) -> None:
    """What there is to say of it, its headers say."""


async def stage(
    ctx: Context,
    *,
    config: dict[str, str],
    run: int = 0,
    width: int = 0,
    place: int = 0,
    item: dict[str, Any] | None = None,
    items: list[dict[str, Any] | None] | None = None,
    fence: str | None = None,
) -> Any:
    """One step of a flow; some take a moment, and some fail the first time.

    An item is an argument in graphs, and the arguments in pipelines: the fence among them is that
    of whoever emitted it. Who gathers in a pipeline is told of the items alone; one that is not
    there yet is None, and for the checker to see.
    """
    place = place if item is None else item["place"]
    run = next((each["run"] for each in items or () if each is not None), run)
    mine = {"run": run, "fence": str(ctx.fence)}
    if (run + place) % 4 == 0:
        await asyncio.sleep(0.05)
    if (run + place) % 9 == 0 and ctx.attempt == 1:
        raise RuntimeError("the first attempt fails, as it was told to")
    if config["step"] == "emit":
        return [{**mine, "place": n} for n in range(width)]
    if config["step"] == "join":
        return {**mine, "places": [each and each["place"] for each in items or ()]}
    return {**mine, "place": place}


def declare(app: App, retry: Retry) -> None:
    """Under the names that schedules and flows know."""
    app.task(name="tick", retry=retry)(tick)
    app.task(name="stage", retry=retry)(stage)
