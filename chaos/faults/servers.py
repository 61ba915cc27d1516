"""The server crashes, restarts, or takes no writes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter

import asyncpg

from chaos.faults.kind import Kind
from chaos.server import NEMESIS
from chaos.world import World, between

BACKENDS = """
select pid from pg_stat_activity
where backend_type = 'client backend' and application_name not like $1
order by (state = 'active') desc, random()
"""
BACK_WITHIN = 20.0


async def answers(world: World, seen: Counter[str], within: float = BACK_WITHIN) -> None:
    """Wait until the server takes connections and writes; counts the milliseconds."""
    began = time.monotonic()
    while time.monotonic() < began + within:
        try:
            if not await world.server.one("select pg_is_in_recovery()"):
                seen["ms until it answered"] += round((time.monotonic() - began) * 1000)
                return
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pass
        await asyncio.sleep(0.02)
    raise TimeoutError(f"the server did not come back within {within:g} s")


class KillBackend(Kind):
    """SIGKILL to one backend: the server ends all sessions and recovers."""

    name, longest, alone = "kill-backend", 25.0, True

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        pids = [row["pid"] for row in await world.server.rows(BACKENDS, f"{NEMESIS}%")]
        if not pids:
            return
        os.kill(pids[0], signal.SIGKILL)
        seen["sessions lost"] = len(pids)
        await asyncio.sleep(0.1)
        await answers(world, seen)


class _Restart(Kind):
    longest, alone = 60.0, True
    number: signal.Signals

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        rows = await world.server.rows(BACKENDS, f"{NEMESIS}%")
        seen["sessions lost"] = len(rows)
        began = time.monotonic()
        await world.server.end(self.number)
        await asyncio.sleep(between(0.0, 3.0, dose))
        await world.server.start()
        seen["ms away"] = round((time.monotonic() - began) * 1000)


class KillPostmaster(_Restart):
    """SIGKILL to the postmaster; what it leaves behind may be in the way of the next one."""

    name, number = "kill-postmaster", signal.SIGKILL


class ImmediateRestart(_Restart):
    """As `pg_ctl stop -m immediate`, and a start: crash recovery."""

    name, number = "immediate-restart", signal.SIGQUIT


class FastRestart(_Restart):
    """As `pg_ctl restart -m fast`: what an upgrade does."""

    name, number = "fast-restart", signal.SIGINT


class ReadOnlySpell(Kind):
    """For some seconds the server accepts no writes, and keeps its connections."""

    name, longest = "read-only-spell", 15.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        before = world.server.told()["read_only"]
        try:
            await world.server.set("default_transaction_read_only", "on")
            await asyncio.sleep(between(1.0, 8.0, dose))
        finally:
            await world.server.set("default_transaction_read_only", None)
        seen["writes refused"] = world.server.told()["read_only"] - before
