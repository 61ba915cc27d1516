"""Rows and notifications that mean no good."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

import asyncpg

from chaos.faults.kind import Kind
from chaos.world import World, between

KEYS = 8_000_000_000  # of all jobs that faults enqueue
HOSTILE_ARGS = {  # what the store takes, and a decoder may choke on
    "a number of 5,000 digits": '{"key": %d, "hold": ' + "9" * 5000 + "}",
    "a float beyond all": '{"key": %d, "hold": 1e400}',
    "60 lists deep": '{"key": %d, "hold": ' + "[" * 60 + "]" * 60 + "}",
    "a key that is no number": '{"key": "%d \\u2028 \\ud83d\\ude00", "hold": null}',
    "names that are no names": '{"": %d, "self": 1, "__class__": "x", "key;": 2}',
    "a long text": '{"key": %d, "hold": "' + "x" * 100_000 + '"}',
    "nothing": "{}",
}
REFUSED_ARGS = {  # what the store must not take
    "1,500 lists deep": '{"key": %d, "hold": ' + "[" * 1500 + "]" * 1500 + "}",
    "a NUL": '{"key": %d, "hold": "\\u0000"}',
    "half a pair": '{"key": %d, "hold": "\\ud800"}',
    "no object": "[%d]",
    "2 MB": '{"key": %d, "hold": "' + "0123456789abcdef" * 131_072 + '"}',
}
# As the owner would by hand, past enqueue and all that it checks.
BY_HAND = """
insert into _howdah.job (seq, created_at, run_at, id, state, queue, task, args)
values (nextval('_howdah.seq'), now(), $2::text::timestamptz, gen_random_uuid(),
        case when $2::text is null then 'r' else 's' end::"char", 'default', 'co', $1::text::jsonb)
returning id
"""
STATES = "select state, count(*) as n from howdah.jobs where id = any ($1::uuid[]) group by state"


class HostileRows(Kind):
    """Jobs that cannot be decoded, each alone to fail; and some that the store must refuse."""

    name, longest = "hostile-rows", 20.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        stored = []
        for n in range(round(between(1, 5, dose))):
            for args in HOSTILE_ARGS.values():
                key = KEYS + world.random.randrange(10**9)
                stored.append(
                    await world.server.one(BY_HAND, args % key if "%d" in args else args, None)
                )
            await self._refused(world, seen, every=n == 0)
        seen["hostile rows stored"] = len(stored)
        until = time.monotonic() + 12.0
        while time.monotonic() < until:
            found = {row["state"]: row["n"] for row in await world.server.rows(STATES, stored)}
            if found.keys() <= {"failed", "succeeded", "cancelled"}:
                break
            await asyncio.sleep(0.1)
        seen.update({f"hostile rows {state}": n for state, n in found.items()})

    async def _refused(self, world: World, seen: Counter[str], *, every: bool) -> None:
        if not every:
            return
        key = KEYS + world.random.randrange(10**9)
        tried = [(args % key, None) for args in REFUSED_ARGS.values()]
        tried += [(json.dumps({"key": key}), time) for time in ("infinity", "20000-01-01")]
        for args, run_at in tried:
            try:
                await world.server.one(BY_HAND, args, run_at)
            except asyncpg.PostgresError:
                seen["rows refused"] += 1
            else:
                seen["rows not refused"] += 1


class NotifyFlood(Kind):
    """A stranger floods our channel: thousands a second, of garbage and of what looks like ours."""

    name, longest = "notify-flood", 12.0

    async def harm(self, world: World, dose: float, seen: Counter[str]) -> None:
        until = time.monotonic() + between(1.0, 6.0, dose)
        async with world.server.session() as session:
            channel = await session.fetchval("select _howdah.channel()")
            while time.monotonic() < until:
                payload = world.random.choice(
                    ["", "w", "c", "f", "w ", "ping", "\\u0000", "w" * 7999, "🐘" * 500,
                     "w " + "00000000 " * 50, "f " + "z" * 36, '{"x": 1}', "%s %d", "f,,,,", "\x7f"]
                )  # fmt: skip
                seen["notifications"] += await session.fetchval(
                    "select count(pg_notify($1, $2 || case when length($2) < 4000 then n::text "
                    "else '' end)) from generate_series(1, 500) n",
                    channel, payload,
                )  # fmt: skip
                await asyncio.sleep(between(0.2, 0.03, dose))
