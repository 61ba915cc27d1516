"""The measurements, one function a test: each on a new database, with the peer's own adapter."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg

from harness.adapter import READY_WITHIN, Adapter
from harness.install import Installed
from harness.plan import Contender, Sizes, Turn
from howdah.bench.figures import percentile
from howdah.bench.processes import cpu_seconds, family
from howdah.embedded import Server

BATCH = 1_000  # jobs in a bulk call
FILL_WITHIN = 300.0  # seconds
POLL_EVERY = 0.005  # seconds
WARM = 2.0  # seconds that an idle worker is given before latency is measured
NANO = 1e9

Found = dict[str, float | None]


class Measurer:
    """Takes turns on a server."""

    def __init__(
        self,
        server: Server,
        peers: Mapping[str, Mapping[str, Any]],
        installed: Mapping[str, Installed],
        sizes: Sizes,
    ) -> None:
        self._server, self._peers, self._installed, self._sizes = server, peers, installed, sizes

    def take(self, turn: Turn) -> Found:
        """What was found; raises Broke, or an error of psycopg's."""
        with _Stand(self._server, turn.contender, self._peers, self._installed) as stand:
            found: Found = getattr(self, turn.test)(stand)
            return found

    def one(self, stand: _Stand) -> Found:
        """Enqueue one by one."""
        size = self._sizes
        with stand.client() as client:
            done = client.ask(60, do="one", count=size.one, within=size.within)
        return {"one": done["count"] / done["seconds"]}

    def bulk(self, stand: _Stand) -> Found:
        """Enqueue a thousand a call."""
        return {"bulk": self._sizes.bulk / stand.fill(self._sizes.bulk)}

    def drain1(self, stand: _Stand) -> Found:
        """Drain with one process; with what that costs."""
        jobs = self._jobs(stand, 0)
        stand.fill(jobs)
        before_wal, before_cpu = stand.spent()
        drained = stand.drain(jobs, 1, self._sizes.cap)
        after_wal, after_cpu = stand.spent()
        done = max(1.0, drained["done"])
        return {
            "drain1": drained["rate"],
            "wal": (after_wal - before_wal) / done,
            "server_cpu": (after_cpu - before_cpu) / done * 10_000,
            "worker_cpu": drained["cpu"] / done * 10_000,
            "drained_share": done / jobs,
        }

    def drain2(self, stand: _Stand) -> Found:
        """Drain with two processes, told to go at once."""
        jobs = self._jobs(stand, 0)
        stand.fill(jobs)
        return {"drain2": stand.drain(jobs, 2, self._sizes.cap)["rate"]}

    def latency(self, stand: _Stand) -> Found:
        """From before the call that enqueues to the job's first line, on an idle worker."""
        size = self._sizes
        with stand.worker() as worker, stand.client() as client:
            worker.tell(go=True)
            time.sleep(WARM)
            client.ask(60, do="late", count=size.late, gap=size.gap)
            deadline = time.monotonic() + size.cap
            while worker.look().get("started", 0) < size.late and time.monotonic() < deadline:
                time.sleep(POLL_EVERY)
            late = worker.stop()["late"]
        if not late:
            return {"p50": None, "p95": None, "p99": None}
        return {name: percentile(late, share) for name, share in _SHARES.items()}

    def snapshot(self, stand: _Stand) -> Found:
        """The last of some rounds under a held snapshot, as a share of the first.

        None if one did not end in time: the next would begin with what it has left.
        """
        jobs = self._jobs(stand, 1)
        rates: list[float] = []
        with stand.connection(autocommit=False) as held:
            held.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            held.execute("select count(*) from pg_class")
            for _ in range(self._sizes.held):
                stand.fill(jobs)
                drained = stand.drain(jobs, 1, self._sizes.cap)
                if drained["done"] < jobs:
                    return {"held_first": None, "held_last": None, "held": None}
                rates.append(drained["rate"])
        return {"held_first": rates[0], "held_last": rates[-1], "held": rates[-1] / rates[0]}

    def _jobs(self, stand: _Stand, place: int) -> int:
        count = stand.peer["jobs"][stand.contender.column][place]
        return max(10, int(count * self._sizes.share))


_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class _Stand:
    """A contender on a new database of its own."""

    def __init__(
        self,
        server: Server,
        contender: Contender,
        peers: Mapping[str, Mapping[str, Any]],
        installed: Mapping[str, Installed],
    ) -> None:
        self._server, self.contender = server, contender
        self.peer, self._installed = peers[contender.peer], installed[contender.peer]
        self._closing = ExitStack()

    def __enter__(self) -> _Stand:
        self._recreate()
        with self._adapter("setup") as setup:
            setup.ended()
        self._own = self._closing.enter_context(self.connection())
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()
        self._drop()

    def connection(self, *, autocommit: bool = True) -> psycopg.Connection:
        """A connection to its database."""
        return psycopg.connect(self._server.dsn(self.contender.database), autocommit=autocommit)

    @contextmanager
    def client(self) -> Iterator[Adapter]:
        """A client that is ready."""
        with self._adapter("client") as client:
            client.hear(READY_WITHIN)
            yield client

    @contextmanager
    def worker(self) -> Iterator[Adapter]:
        """A worker that is ready, and waits to be told to go."""
        with self._adapter("work") as worker:
            worker.hear(READY_WITHIN)
            yield worker

    def fill(self, jobs: int) -> float:
        """Enqueue so many in bulk; gives the seconds."""
        with self.client() as client:
            took: float = client.ask(FILL_WITHIN, do="bulk", count=jobs, batch=BATCH)["seconds"]
        return took

    def drain(self, jobs: int, processes: int, cap: float) -> dict[str, float]:
        """Let workers loose on a backlog; from the first start to the last durable end."""
        self._own.execute("analyze")
        with ExitStack() as stack:
            workers = [stack.enter_context(self.worker()) for _ in range(processes)]
            before = self._cpu(workers)
            deadline = time.monotonic() + cap
            for worker in workers:
                worker.tell(go=True)
            while time.monotonic() < deadline:
                if _started(workers) >= jobs and not self._pending():
                    break
                time.sleep(POLL_EVERY)
            ended, spent = time.monotonic(), self._cpu(workers) - before
            # Some peers count as pending only what has been claimed.
            done = min(_started(workers), jobs - self._pending())
            starts = [last["first"] for worker in workers if (last := worker.look()).get("first")]
        seconds = ended - min(starts, default=(deadline - cap) * NANO) / NANO
        return {"rate": done / seconds, "done": done, "seconds": seconds, "cpu": spent}

    def spent(self) -> tuple[float, float]:
        """WAL bytes and CPU seconds of the server, so far."""
        row = self._own.execute("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')").fetchone()
        assert row is not None
        return float(row[0]), cpu_seconds(family(self._server.pid))

    def _pending(self) -> int:
        row = self._own.execute(self.peer["pending"]).fetchone()
        assert row is not None
        return int(row[0] or 0)

    def _cpu(self, workers: list[Adapter]) -> float:
        return sum(cpu_seconds(family(worker.pid)) for worker in workers)

    def _adapter(self, what: str) -> Adapter:
        place = {
            "PGHOST": str(self._server.socket_dir),
            "PGPORT": "5432",
            "PGUSER": "howdah",
            "PGDATABASE": self.contender.database,
        }
        return Adapter(self._installed, self.contender.column, what, place)

    def _recreate(self) -> None:
        self._drop()
        with psycopg.connect(self._server.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f'create database "{self.contender.database}"')
            connection.execute("checkpoint")

    def _drop(self) -> None:
        with psycopg.connect(self._server.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f'drop database if exists "{self.contender.database}" with (force)')


def _started(workers: list[Adapter]) -> int:
    """Jobs that all of them have started."""
    return sum(worker.look().get("started", 0) for worker in workers)
