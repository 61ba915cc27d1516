"""Does the store's chores every few seconds, with jitter; every worker does, none is special."""

from __future__ import annotations

import asyncio
import random
from typing import NoReturn

from howdah import store
from howdah.worker.link import Link, Patience

OFTEN = ("rescue", "expire", "stage")
SELDOM = ("partitions", "prune", "unknown")
OFTEN_EVERY = 5.0  # seconds
SELDOM_EVERY = 300.0
ROUNDS = ((OFTEN, OFTEN_EVERY), (SELDOM, SELDOM_EVERY))


async def keep_doing(
    link: Link, patience: Patience, names: tuple[str, ...], every: float
) -> NoReturn:
    """These chores, for ever."""
    longest = min(30.0, 2 * every)
    while True:
        await patience.until_done(lambda: link.run(store.chores(*names), timeout=longest))
        await asyncio.sleep(every * random.uniform(0.8, 1.2))
