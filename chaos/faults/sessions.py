"""Sessions are ended and statements cancelled; other people's sessions are in the way."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import asyncpg

from chaos.faults.kind import Kind
from chaos.world import World, between

OTHERS = "backend_type = 'client backend' and application_name not like 'chaos nemesis%'"
TERMINATE = (
    f"select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity where {OTHERS}"
)
CANCEL = (
    "select count(*) filter (where pg_cancel_backend(pid)) from pg_stat_activity "
    f"where {OTHERS} and state = 'active'"
)
LISTENERS = f"{TERMINATE} and application_name = 'howdah listener'"
BYSTANDER = "chaos bystander"  # sessions of ours that other faults need not spare
MOST_HELD = 140
GONE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class TerminateStorm(Kind):
    """pg_terminate_backend on all sessions, every 200 ms."""

    name, longest = "terminate-storm", 15.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        until = time.monotonic() + between(0.2, 6.0, dose)
        async with world.server.session() as session:
            while True:
                seen["terminated"] += await session.fetchval(TERMINATE)
                if time.monotonic() > until:
                    break
                await asyncio.sleep(0.2)


class CancelStorm(Kind):
    """pg_cancel_backend on every statement that is under way, every 20 ms."""

    name, longest = "cancel-storm", 10.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        before = world.server.told()["cancelled"]
        until = time.monotonic() + between(0.5, 4.0, dose)
        async with world.server.session() as session:
            while time.monotonic() < until:
                await session.fetchval(CANCEL)
                await asyncio.sleep(0.02)
        seen["statements cancelled"] = world.server.told()["cancelled"] - before


class KillListeners(Kind):
    """The sessions that listen are ended: notifications are lost until they listen again."""

    name, longest = "kill-listeners", 5.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        seen["listeners terminated"] = await world.server.one(LISTENERS)


class HeldSnapshot(Kind):
    """Somebody's report: a REPEATABLE READ transaction that stays open."""

    name, longest = "held-snapshot", 35.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        with suppress(*GONE):  # another fault has ended our session, and so the spell
            async with world.server.session(BYSTANDER) as session:
                await session.execute("begin isolation level repeatable read read only")
                await session.fetchval("select count(*) from howdah.queues")
                before = await session.fetchval("select txid_current_snapshot()::text")
                await asyncio.sleep(between(3.0, 25.0, dose))
                assert before == await session.fetchval("select txid_current_snapshot()::text")
                seen["transactions held back"] = await _since(world, before)


async def _since(world: World, snapshot: str) -> int:
    """How many transactions have begun since a snapshot was taken."""
    now: str = await world.server.one("select txid_current_snapshot()::text")
    return int(now.split(":")[1]) - int(snapshot.split(":", maxsplit=1)[0])


class IdleWriter(Kind):
    """Somebody has changed a job's row, or locked some, and goes for lunch."""

    name, longest = "idle-writer", 12.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        n = round(between(1, 50, dose))
        with suppress(*GONE):
            async with world.server.session(BYSTANDER) as session:
                await session.execute("begin")
                locked = await session.fetch(
                    "select from _howdah.job order by state = 'x' desc for update skip locked "
                    f"limit {n}"
                )
                seen["rows locked"] = len(locked)
                await asyncio.sleep(between(1.0, 8.0, dose))
                await session.execute("rollback")


class LockSpell(Kind):
    """LOCK TABLE … IN ACCESS EXCLUSIVE MODE for up to 5 s."""

    name, longest = "lock-spell", 12.0
    tables = ("job", "finished", "worker", "lease", "attempt")

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        table = world.random.choice(self.tables)
        with suppress(*GONE):
            async with world.server.session(BYSTANDER) as session:
                await session.execute("begin; set local lock_timeout = '5s'")
                await session.execute(f"lock table _howdah.{table} in access exclusive mode")
                await asyncio.sleep(between(0.3, 5.0, dose))
                seen["sessions that waited"] = await session.fetchval(
                    "select count(*) from pg_stat_activity where wait_event_type = 'Lock' "
                    "and pg_backend_pid() = any (pg_blocking_pids(pid))"
                )
                await session.execute("rollback")


class ConnectionStorm(Kind):
    """Short connections, up to 200 a second, and as many held as the server has room for."""

    name, longest = "connection-storm", 15.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        length, rate = between(1.0, 5.0, dose), between(50, 200, dose)
        dsn = await world.server.login("chaos_storm")  # no superuser: some places are not for it
        held: list[Any] = []
        until = time.monotonic() + length
        tries: set[asyncio.Task[None]] = set()
        while time.monotonic() < until:
            tries.add(asyncio.create_task(self._try(dsn, held, seen)))
            await asyncio.sleep(1 / rate)
        await asyncio.gather(*tries, return_exceptions=True)
        for connection in held:
            connection.terminate()

    async def _try(self, dsn: str, held: list[Any], seen: Counter[str]) -> None:
        try:
            connection = await asyncpg.connect(
                dsn, timeout=2, server_settings={"application_name": BYSTANDER}
            )
        except asyncpg.TooManyConnectionsError:
            seen["connections refused"] += 1
        except (*GONE, TimeoutError):
            seen["connections failed"] += 1
        else:
            seen["connections made"] += 1
            held.append(connection)
            if len(held) > MOST_HELD:
                held.pop(0).terminate()
