"""A right is taken away for some seconds."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import suppress

from chaos.faults.kind import PEACE, Kind
from chaos.world import World, between
from howdah.grants import grant_statements

ROLE = "chaos_worker"
FUNCTIONS = ("claim", "finish", "heartbeats", "heartbeat", "chores")
MY_WORKER = "select count(*) from pg_stat_activity where usename = $1"


class RevokedGrant(Kind):
    """A worker with a role of its own may not claim, or finish, or beat for a while.

    The run's other workers go on; this one is started for the purpose, and must end in peace.
    """

    name, longest = "revoked-grant", 45.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        await world.server.login(ROLE)
        await world.server.do(
            *(s.format(schema="howdah") for s in grant_statements(ROLE, "worker")),
            f"grant usage on schema chaos to {ROLE}",
            f"grant insert on chaos.effects to {ROLE}",
        )
        road = world.proxies["worker"]
        [parent] = await world.workers.start(
            1, {"HOWDAH_DATABASE_URL": road.dsn(user=ROLE), "HOWDAH_SCHEMA": "howdah"}
        )
        for _ in range(100):
            if await world.server.one(MY_WORKER, ROLE) >= 3:
                break
            await asyncio.sleep(0.1)
        chosen = world.random.sample(FUNCTIONS, round(between(1, 3, dose)))
        before = world.server.told()["denied"]
        try:
            await world.server.do(
                *(f"revoke execute on function howdah.{name} from {ROLE}" for name in chosen)
            )
            await asyncio.sleep(between(2.0, 6.0, dose))
        finally:
            await world.server.do(
                *(f"grant execute on function howdah.{name} to {ROLE}" for name in chosen)
            )
        seen["calls denied"] = world.server.told()["denied"] - before
        await asyncio.sleep(1.0)
        with suppress(ProcessLookupError):
            os.kill(parent, signal.SIGTERM)
        status = await world.workers.gone(parent, 25.0)
        seen["worker ended in peace" if status in PEACE else "worker ended badly"] += 1
