"""How fast jobs are enqueued: one by one, by many at once, in bulk; beside bare inserts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from howdah.bench import bare
from howdah.bench.bare import One
from howdah.bench.figures import Found, Round, figures
from howdah.bench.rig import Rig, repeated, rig
from howdah.bench.tasks import noop
from howdah.client import AsyncClient
from howdah.connect import closed, open_connection
from howdah.jobs import enqueue as enqueue_call
from howdah.jobs import enqueue_many
from howdah.settings import Settings
from howdah.stream import stream

WARM_UP = 100  # jobs
CALLERS = 4  # of bulk calls, at once


async def enqueue(
    settings: Settings, *, jobs: int, bulk: int, batch: int, clients: int, rounds: int
) -> Found:
    """Each round: bare insert, enqueue, the bare SQL call; the same by many; then in bulk."""
    async with rig(settings) as r, AsyncExitStack() as stack:
        roads = await _Roads.open(r, clients, stack)
        warm_up = min(WARM_UP, jobs)
        await _round(roads, warm_up, warm_up, batch)
        found = await repeated(rounds, lambda: _round(roads, jobs, bulk, batch))
    return Found(
        mode="enqueue",
        parameters={
            "jobs": jobs,
            "bulk": bulk,
            "batch": batch,
            "clients": clients,
            "rounds": rounds,
        },
        warm_up=f"a round of {warm_up} jobs; tables are emptied before each round",
        figures=figures(found),
        notes=[
            "bare insert: a row and its commit, prepared, by asyncpg",
            "it goes into a table with the columns, checks and indexes of the jobs'",
            f"all {clients} clients live on one event loop: its CPU is part of both figures",
            "nobody is idle: no worker runs",
        ],
    )


class _Roads:
    """The ways by which one job, or one row, is stored."""

    def __init__(self, r: Rig, client: AsyncClient, connections: Sequence[Any]) -> None:
        self.r, self.client, self.connections = r, client, connections
        self._call = f"select {r.settings.schema}.enqueue(task => $1, args => $2)"

    @classmethod
    async def open(cls, r: Rig, clients: int, stack: AsyncExitStack) -> _Roads:
        """Connections for so many, and a table like the jobs'."""
        client = await stack.enter_async_context(AsyncClient(r.settings, size=clients))
        connections = []
        for _ in range(clients):
            connection = await open_connection(r.settings, name="howdah bench insert")
            stack.push_async_callback(closed, connection)
            connections.append(connection)
        await bare.make_table(r.connection, r.store)
        return cls(r, client, connections)

    async def clear(self) -> None:
        """Empty tables, as new ones."""
        await self.r.connection.execute(f"truncate {self.r.store}.bare, {self.r.store}.job")

    def bare(self, client: int) -> One:
        """Insert a row on that client's connection."""
        return bare.insert(self.connections[client], self.r.store)

    def sql(self, client: int) -> One:
        """Call the function of the contract on that client's connection."""
        fetch = self.connections[client].fetch
        return lambda: fetch(self._call, noop.name, '{"n":1}')

    def python(self, _: int) -> One:
        """Enqueue as `app.enqueue` does, on a connection of the pool."""
        return lambda: self.client.run(enqueue_call(noop.job(n=1)))


async def _round(roads: _Roads, jobs: int, bulk: int, batch: int) -> Round:
    await roads.clear()
    meter = roads.r.meter
    bare_rows = await _rate(jobs, [roads.bare(0)])
    before = await meter.read()
    python = await _rate(jobs, [roads.python(0)])
    one_by_one = (await meter.read()).since(before).per_job(jobs)
    sql = await _rate(jobs, [roads.sql(0)])
    many = range(len(roads.connections))
    bare_many = await _rate(jobs, [roads.bare(n) for n in many])
    python_many = await _rate(jobs, [roads.python(n) for n in many])
    sql_many = await _rate(jobs, [roads.sql(n) for n in many])
    before = await meter.read()
    in_bulk = await _bulk_rate(roads.client, bulk, batch)
    of_bulk = (await meter.read()).since(before).per_job(bulk)
    callers = min(CALLERS, len(many))
    by_callers = await _bulk_rate(roads.client, bulk, batch, callers)
    streamed = await _stream_rate(roads.client, bulk, batch)
    return {
        "one by one": (python, "jobs/s"),
        "one by one, in SQL": (sql, "jobs/s"),
        "one by one, bare insert": (bare_rows, "rows/s"),
        "one by one / bare insert": (python / bare_rows, "ratio"),
        "one by one, in SQL / bare insert": (sql / bare_rows, "ratio"),
        f"{len(many)} clients": (python_many, "jobs/s"),
        f"{len(many)} clients, in SQL": (sql_many, "jobs/s"),
        f"{len(many)} clients, bare insert": (bare_many, "rows/s"),
        f"{len(many)} clients / bare insert": (python_many / bare_many, "ratio"),
        f"{len(many)} clients, in SQL / bare insert": (sql_many / bare_many, "ratio"),
        "bulk": (in_bulk, "jobs/s"),
        f"bulk, by {callers} at once": (by_callers, "jobs/s"),
        "bulk, as a stream": (streamed, "jobs/s"),
        "WAL, one by one": one_by_one["WAL"],
        "WAL, bulk": of_bulk["WAL"],
        "server's CPU, one by one": one_by_one["server's CPU"],
        "server's CPU, bulk": of_bulk["server's CPU"],
    }


async def _rate(count: int, clients: Sequence[One]) -> float:
    """So many jobs in all, each client awaiting one at a time; per second."""
    left = iter(range(count))

    async def work(one: One) -> None:
        for _ in left:
            await one()

    started = time.perf_counter()
    await asyncio.gather(*(work(one) for one in clients))
    return count / (time.perf_counter() - started)


async def _bulk_rate(client: AsyncClient, count: int, batch: int, callers: int = 1) -> float:
    """Jobs are made as they are sent, `batch` a call, by so many callers at once; per second."""
    starts = range(0, count, batch)
    left = iter(starts)

    async def one() -> None:
        start = next(left)
        numbers = range(start, min(count, start + batch))
        await client.run(enqueue_many([noop.job(n=n) for n in numbers]))

    return await _rate(len(starts), [one] * callers) * count / len(starts)


async def _stream_rate(client: AsyncClient, count: int, batch: int) -> float:
    """The same, while the store works on the batch before."""
    started = time.perf_counter()
    await stream(client.run, (noop.job(n=n) for n in range(count)), batch=batch)
    return count / (time.perf_counter() - started)
