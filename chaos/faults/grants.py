"""A right is taken away for some seconds."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import suppress
from itertools import count

from chaos.faults.kind import PEACE, Kind
from chaos.world import World, between
from howdah.grants import grant_statements

FUNCTIONS = ("claim", "finish", "heartbeats", "heartbeat", "chores")
MY_WORKER = "select count(*) from pg_stat_activity where usename = $1"


class RevokedGrant(Kind):
    """A worker with a role of its own may not claim, or finish, or beat for a while.

    The run's other workers go on; this one is started for the purpose, and must end in peace.
    """

    name, longest = "revoked-grant", 45.0

    def __init__(self) -> None:
        self._numbers = count(1)

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        # Not that of another dose beside it: a worker that may not even begin says so, and leaves.
        role = f"chaos_worker_{next(self._numbers)}"
        await world.server.login(role)
        await world.server.do(
            *(s.format(schema="howdah") for s in grant_statements(role, "worker")),
            f"grant usage on schema chaos to {role}",
            f"grant insert on chaos.effects to {role}",
        )
        road = world.proxies["worker"]
        [parent] = await world.workers.start(
            1, {"HOWDAH_DATABASE_URL": road.dsn(user=role), "HOWDAH_SCHEMA": "howdah"}
        )
        for _ in range(100):
            if await world.server.one(MY_WORKER, role) >= 3:
                break
            await asyncio.sleep(0.1)
        chosen = world.random.sample(FUNCTIONS, round(between(1, 3, dose)))
        before = world.server.told()["denied"]
        try:
            await world.server.do(
                *(f"revoke execute on function howdah.{name} from {role}" for name in chosen)
            )
            await asyncio.sleep(between(2.0, 6.0, dose))
        finally:
            await world.server.do(
                *(f"grant execute on function howdah.{name} to {role}" for name in chosen)
            )
        seen["calls denied"] = world.server.told()["denied"] - before
        await asyncio.sleep(1.0)
        with suppress(ProcessLookupError):
            os.kill(parent, signal.SIGTERM)
        status = await world.workers.gone(parent, 25.0)
        seen["worker ended in peace" if status in PEACE else "worker ended badly"] += 1
