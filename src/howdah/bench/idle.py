"""What workers cost that have nothing to do."""

from __future__ import annotations

import asyncio

from howdah import queues
from howdah.bench.figures import Found, Round, figures
from howdah.bench.rig import Rig, repeated, rig
from howdah.bench.staff import Staff
from howdah.bench.tasks import QUEUE
from howdah.settings import Settings

SETTLE = 12.0  # seconds after the last worker has become idle: sessions count late what they did


async def idle(settings: Settings, *, workers: int, seconds: float, rounds: int) -> Found:
    """Watch idle worker processes for a while."""
    settle = min(SETTLE, seconds)
    async with rig(settings) as r:
        await r.ask(queues.resume(QUEUE))
        async with r.staff(workers) as staff:
            await asyncio.sleep(settle)
            found = await repeated(rounds, lambda: _watched(r, staff, seconds))
    return Found(
        mode="idle",
        parameters={"workers": workers, "seconds": seconds, "rounds": rounds},
        warm_up=f"{settle:g} s after the last of them has become idle",
        figures=figures(found),
        notes=[
            "statements: transactions of this database less our own, one for each statement",
            "all workers together, with the parent of their processes",
        ],
    )


async def _watched(r: Rig, staff: Staff, seconds: float) -> Round:
    before = await r.meter.counted(await r.meter.read(staff.pids))
    await asyncio.sleep(seconds)
    spent = (await r.meter.counted(await r.meter.read(staff.pids))).since(before)
    statements = spent.transactions or 0.0
    server = None if spent.server_cpu is None else spent.server_cpu / spent.seconds * 100
    return {
        "workers' CPU": (spent.client_cpu / spent.seconds * 100, "% of a core"),
        "server's CPU": (server, "% of a core"),
        "statements": (statements / spent.seconds, "per second"),
        "WAL": (spent.wal / spent.seconds, "bytes/s"),
    }
