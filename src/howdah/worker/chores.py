"""Does the store's chores every few seconds, with jitter; every worker does, none is special."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import NoReturn

from howdah import store
from howdah.worker.link import Link, Patience

OFTEN = ("rescue", "expire", "stage")
SELDOM = ("partitions", "prune", "unknown")
OFTEN_EVERY = 5.0  # seconds
SELDOM_EVERY = 300.0
ROUNDS = ((OFTEN, OFTEN_EVERY), (SELDOM, SELDOM_EVERY))
USUAL_LOST_AFTER = 30.0  # seconds


def rounds(lost_after: float | None) -> tuple[tuple[tuple[str, ...], float], ...]:
    """What is done how often: where workers count as lost soon, they are looked for as soon."""
    soon = (lost_after or USUAL_LOST_AFTER) / 5
    return tuple(
        (names, min(every, soon) if "rescue" in names else every) for names, every in ROUNDS
    )


def turns_of(siblings: int) -> float:
    """How many times as seldom one of so many workers of a parent need look around while asleep.

    They serve the same queues: what one sees is seen for all, and together they still look four
    times as often as one alone.
    """
    return max(1.0, min(5.0, siblings / 4))


async def keep_doing(
    link: Link,
    patience: Patience,
    names: tuple[str, ...],
    every: float,
    turns: Callable[[], float] = lambda: 1.0,
) -> NoReturn:
    """These chores, for ever; `turns` says how many times as seldom as usual."""
    longest = min(30.0, 2 * every)
    while True:
        await patience.until_done(lambda: link.run(store.chores(*names), timeout=longest))
        await asyncio.sleep(every * turns() * random.uniform(0.8, 1.2))
