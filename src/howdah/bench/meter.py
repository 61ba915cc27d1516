"""What the server spends: WAL, CPU, transactions, dead rows; read before and after."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import msgspec

from howdah.bench import processes
from howdah.bench.figures import Round

STATISTICS_AFTER = 0.3  # seconds until the counts of connections that were closed are in
FLUSHES_SINCE = 15  # the first version where a session can send its own counts at once


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """A reading, or the difference of two. None: cannot be known here.

    Attributes:
        seconds: of the clock on the wall.
        wal: bytes written, by the whole server.
        images: pages that were written whole into the WAL, because a checkpoint went before.
        server_cpu: seconds, of all processes of the server.
        client_cpu: seconds, of the processes that were named.
        transactions: ended in this database, without the meter's own.
        dead: rows of the scratch schema that wait for vacuum.
    """

    seconds: float
    wal: float
    images: float
    server_cpu: float | None
    client_cpu: float
    transactions: float | None = None
    dead: float | None = None

    def since(self, before: Spent) -> Spent:
        """What was spent between two readings."""
        differences: dict[str, Any] = {
            name: None if value is None or was is None else value - was
            for (name, value), was in zip(
                msgspec.structs.asdict(self).items(), msgspec.structs.astuple(before), strict=True
            )
        }
        return Spent(**differences)

    @property
    def cores(self) -> float | None:
        """How many cores were kept busy, on average."""
        if self.server_cpu is None:
            return None
        return (self.server_cpu + self.client_cpu) / self.seconds

    def per_job(self, jobs: int) -> Round:
        """The server's and the workers' cost of one job, by name."""

        def each(value: float | None, factor: int = 1) -> float | None:
            return None if value is None else value / jobs * factor

        return {
            "WAL": (each(self.wal), "bytes/job"),
            "full page images": (each(self.images), "pages/job"),
            "server's CPU": (each(self.server_cpu, 10_000), "s/10k jobs"),
            "workers' CPU": (each(self.client_cpu, 10_000), "s/10k jobs"),
            "transactions": (each(self.transactions), "per job"),
            "dead rows": (each(self.dead), "per job"),
        }


class Meter:
    """Reads what the server has spent, over a connection of its own."""

    def __init__(self, connection: Any, schema: str) -> None:
        self._connection, self._schema = connection, schema
        self._asked = 0
        self._postmaster: int | None = None
        self._flushes = connection.get_server_version().major >= FLUSHES_SINCE

    async def prepare(self) -> None:
        """Find the server's processes, if they are on this machine."""
        backend, address = await self._connection.fetchrow(
            "select pg_backend_pid(), "
            "coalesce(host(inet_server_addr()) = host(inet_client_addr()), true)"
        )
        self._postmaster = processes.postmaster_of(backend) if address else None

    async def ask(self, query: str, *values: object) -> Any:
        """One value, in a transaction that is not counted."""
        self._asked += 1
        return await self._connection.fetchval(query, *values)

    async def read(self, clients: Iterable[int] = ()) -> Spent:
        """What can be read at once, with the CPU of these processes too."""
        wal = await self.ask("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")
        images = await self.ask("select wal_fpi from pg_stat_wal")
        server = self._postmaster
        return Spent(
            seconds=time.monotonic(),
            wal=float(wal),
            images=float(images),
            server_cpu=None if server is None else processes.cpu_seconds(processes.family(server)),
            client_cpu=processes.cpu_seconds(clients),
        )

    async def counted(self, reading: Spent) -> Spent:
        """The reading, with what the server's statistics say; they come in late."""
        await self._flush()
        transactions = await self.ask(
            "select xact_commit + xact_rollback from pg_stat_database "
            "where datname = current_database()"
        )
        dead = await self.ask(
            "select coalesce(sum(n_dead_tup), 0) from pg_stat_user_tables where schemaname = $1",
            f"_{self._schema}",
        )
        return msgspec.structs.replace(
            reading, transactions=float(transactions - self._asked), dead=float(dead)
        )

    async def _flush(self) -> None:
        if self._flushes:
            await self.ask("select pg_stat_force_next_flush()")
            await self.ask("select 1")
